"""A search for the mean over several seeds: what is trained, what the sampler is told, and resumes; without Ray."""

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from optuna.trial import TrialState

from results.store.configurations import best, over_seeds, trainings
from results.store.search_log import ProposalRecord
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, ConfirmSpec, ObjectiveSpec, SchedulerSpec
from sweep.search.search import Search
from sweep.search.settings import SearchSettings
from tests.search_spaces_tests.search_samples import LR as RANGE
from tests.search_spaces_tests.search_samples import SEARCH
from tests.search_spaces_tests.space_samples import refusal
from tests.sweep_tests.driven_searches import BATCH_SIZE, SPACE, Crash, HalfStops, bowl, drive, open_search, settings
from trainable.config import TrainConfig
from trainable.records import Status

SEEDS = 3
LOG = "search.jsonl"
COARSE = (SearchParameter("lr", "float", 0.02, 0.1, step=0.02), BATCH_SIZE)


def wanted(
    num_trials: int,
    *,
    stops: bool = False,
    algorithm: Algorithm = "tpe",
    parameters: Sequence[SearchParameter] = SPACE,
) -> SearchSettings:
    objective = ObjectiveSpec(metric="holdout_error_percent", seeds=SEEDS)
    made = settings(algorithm, parameters, num_trials, objectives=(objective,), confirm=ConfirmSpec(top=2, repeats=2))
    return dataclasses.replace(made, scheduler=SchedulerSpec(type="asha" if stops else "none"))


def opened(folder: Path, settings: SearchSettings) -> Search:
    return open_search(folder, settings, scheduler=None if settings.scheduler.type == "none" else HalfStops())


def noisy(config: TrainConfig, epoch: int) -> float:
    """An error whose noise depends on the seed."""
    return min(100.0, bowl(config, epoch) + (7 * config.seed + config.batch_size) % 5)


def rough(config: TrainConfig, epoch: int) -> float | None:
    """Errors of trials some of which diverge or fail, with one of the seeds or all."""
    if config.batch_size == 16 and config.lr < 0.05 and config.seed == 1:
        raise Crash
    is_lost = config.lr > 0.6 or (config.lr > 0.1 and config.seed == 1)
    return None if is_lost and epoch == 2 else noisy(config, epoch)


def configurations(search: Search) -> list[list[ProposalRecord]]:
    firsts = [proposal for proposal in search.record.proposals if proposal.is_trained and proposal.seed_of is None]
    return [trainings(search.record, first) for first in firsts]


def seeds_of(training: Sequence[ProposalRecord]) -> list[int]:
    return [proposal.config.seed for proposal in training if proposal.config is not None]


def test_a_configuration_is_trained_with_each_seed_and_told_once(tmp_path: Path) -> None:
    search = opened(tmp_path, wanted(8))
    drive(search, noisy, num_workers=2)
    found = configurations(search)
    assert [seeds_of(training) for training in found] == [[0, 1, 2]] * 8
    assert len({tuple(sorted(training[0].params.items())) for training in found}) == 8
    assert len({each.config.trial_key for training in found for each in training if each.config}) == 8 * SEEDS
    told = search.sampler.study.get_trials()
    means = [statistics.fmean(each.values[0] or 0 for each in training if each.values) for training in found]
    assert [trial.value for trial in told] == pytest.approx(means)
    assert [trial.params for trial in told] == [training[0].params for training in found]
    assert told[0].intermediate_values[1] == pytest.approx(
        statistics.fmean(each.reports[0].values[0] or 0 for each in found[0])
    )
    ranked = sorted(range(8), key=lambda index: means[index])
    assert [proposal.number for proposal in best(search.record)] == [found[index][0].number for index in ranked]
    assert best(search.record)[0].values == pytest.approx((min(means),))
    chosen = search.confirmations()
    assert [trial.config.seed for trial in chosen] == [0, 1, 0, 1]
    assert chosen[0].config == dataclasses.replace(found[ranked[0]][0].config or TrainConfig(), holdout=0, seed=0)


def test_what_diverged_is_not_repeated_and_is_told_as_diverged(tmp_path: Path) -> None:
    search = opened(tmp_path, wanted(16))
    drive(search, rough)
    ends = {tuple(str(each.status) for each in training) for training in configurations(search)}
    assert ends >= {("DIVERGED",), ("COMPLETE", "DIVERGED"), ("COMPLETE",) * SEEDS}
    for trial, training in zip(search.sampler.study.get_trials(), configurations(search), strict=True):
        status = over_seeds(search.record, training[0]).status
        expected = {Status.COMPLETE: TrialState.COMPLETE, Status.DIVERGED: TrialState.PRUNED}
        assert trial.state is expected.get(status or Status.FAILED, TrialState.RUNNING)
        assert not trial.intermediate_values or status is not Status.DIVERGED
    assert all(over_seeds(search.record, proposal).status is Status.COMPLETE for proposal in best(search.record))


def test_a_scheduler_judges_first_seeds_and_what_it_stops_is_not_repeated(tmp_path: Path) -> None:
    settings = wanted(14, stops=True)
    scheduler = HalfStops()
    search = open_search(tmp_path, settings, scheduler=scheduler)
    drive(search, noisy, num_workers=3)
    found = configurations(search)
    assert {tuple(str(each.status) for each in training) for training in found} == {
        ("STOPPED",), ("COMPLETE",) * SEEDS
    }  # fmt: skip
    assert {call[1] for call in scheduler.calls} == {training[0].number for training in found}
    states = {trial.state for trial in search.sampler.study.get_trials()}
    assert states == {TrialState.PRUNED, TrialState.COMPLETE}
    assert search.is_over


@pytest.mark.parametrize(
    ("algorithm", "parameters", "num_trials", "stops", "every"),
    [
        ("random", SPACE, 6, False, 2),
        ("tpe", SPACE, 12, True, 5),
        ("tpe", COARSE, 6, False, 11),
        ("random", COARSE, 20, True, 23),
    ],
)
def test_a_search_cut_at_any_event_is_the_uninterrupted_one(
    algorithm: Algorithm,
    parameters: Sequence[SearchParameter],
    num_trials: int,
    stops: bool,
    every: int,
    tmp_path: Path,
) -> None:
    settings = wanted(num_trials, stops=stops, algorithm=algorithm, parameters=parameters)
    whole = opened(tmp_path / "whole", settings)
    drive(whole, rough)
    assert Status.STOPPED in {proposal.status for proposal in whole.record.proposals} or not stops
    lines = (tmp_path / "whole" / LOG).read_bytes().splitlines(keepends=True)
    for kept in range(0, len(lines) + 1, every):
        folder = tmp_path / str(kept)
        folder.mkdir()
        (folder / LOG).write_bytes(b"".join(lines[:kept]))
        again = opened(folder, settings)
        drive(again, rough)
        assert again.record == whole.record, f"cut after line {kept}"
        assert [trial.values for trial in again.sampler.study.get_trials()] == [
            trial.values for trial in whole.sampler.study.get_trials()
        ]


def test_more_trials_continue_as_if_asked_for_at_once(tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole", wanted(9))
    drive(whole, noisy)
    drive(opened(tmp_path / "grown", wanted(4)), noisy)
    grown = opened(tmp_path / "grown", wanted(9))
    drive(grown, noisy)
    assert grown.record == whole.record


def test_a_seed_that_failed_is_tried_again_before_the_next(tmp_path: Path) -> None:
    search = opened(tmp_path, wanted(20))
    drive(search, rough)
    broken = [training for training in configurations(search) if training[-1].status is Status.FAILED]
    assert [seeds_of(training) for training in broken] == [[0, 1]] * len(broken) != []
    again = opened(tmp_path, wanted(20))
    again.try_again()
    drive(again, noisy)
    assert all(
        len(training) == SEEDS for training in configurations(again) if training[0].number == broken[0][0].number
    )
    assert again.is_over
    assert TrialState.RUNNING not in {trial.state for trial in again.sampler.study.get_trials()}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("objective: {seeds: 0}", "objective.seeds: must be at least 1, got 0"),
        (
            "objective: [{metric: holdout_error_percent, seeds: 2}, {metric: train_seconds}]",
            "objective: two objectives are of single trainings: leave seeds out, or one objective",
        ),
        (
            "objective: {seeds: 2}\nscheduler: {type: pbt}",
            "objective.seeds: is not for pbt, which compares single trainings: leave seeds out, or use asha",
        ),
    ],
)
def test_seeds_are_for_one_objective_of_single_trainings(tmp_path: Path, lines: str, message: str) -> None:
    assert refusal(tmp_path, f"{SEARCH}{RANGE}{lines}\n") == f"FILE:3: {message}"
