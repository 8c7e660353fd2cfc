"""What a search proposes: the same for the same seed, inside the space, each configuration once."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
from optuna.trial import TrialState

from results.store.journal import LocalJournal
from results.store.search_log import Earlier, Params, ProposalRecord, all_finite, read_log
from search_spaces.expressions import Expression
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm
from sweep.search.search import Search
from tests.sweep_tests.driven_searches import (
    BATCH_SIZE,
    EPOCHS,
    ERROR,
    LR,
    NUMBERS,
    SECONDS,
    SPACE,
    Crash,
    HalfStops,
    bowl,
    drive,
    epoch_record,
    make_trial,
    open_search,
    params_of,
    refuse_large_lr,
    settings,
)
from trainable.config import TrainConfig
from trainable.records import Status

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
NUM_TRIALS = dict.fromkeys(ALGORITHMS, 14) | {"gp": 11}
"""The first ten are drawn at random; one by a Gaussian process takes a second."""
GRID = (
    SearchParameter("lr", "categorical", choices=(0.01, 0.1)),
    BATCH_SIZE,
    SearchParameter("momentum", "categorical", choices=(0.5, 0.9), when=Expression("batch_size >= 64")),
)
MIXED = (*NUMBERS, BATCH_SIZE)


def space_for(algorithm: Algorithm) -> tuple[SearchParameter, ...]:
    return GRID if algorithm == "grid" else SPACE


def test_samples_speak_of_every_algorithm() -> None:
    assert set(ALGORITHMS) == {"grid", "random", "tpe", "gp", "mfgp", "cmaes", "qmc"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_same_seed_same_sequence(algorithm: Algorithm, tmp_path: Path) -> None:
    sequences = []
    for index, seed in enumerate((0, 0, 1)):
        search = open_search(
            tmp_path / str(index), settings(algorithm, space_for(algorithm), NUM_TRIALS[algorithm], seed)
        )
        drive(search)
        sequences.append(params_of(search))
    assert sequences[0] == sequences[1]
    assert (sequences[0] != sequences[2]) or algorithm == "grid"


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "grid"])
def test_proposals_lie_in_the_space_and_obey_conditions(algorithm: Algorithm, tmp_path: Path) -> None:
    search = open_search(tmp_path, settings(algorithm, num_trials=NUM_TRIALS[algorithm]))
    drive(search)
    for params in params_of(search):
        assert 0.001 <= params["lr"] <= 1.0
        assert params["batch_size"] in (16, 64, 256)
        assert type(params["batch_size"]) is int
        assert ("momentum" in params) == (params["batch_size"] >= 64)
        assert params.get("momentum", 0.5) in (0.5, 0.6, 0.7, 0.8, 0.9)
    assert {"momentum" in params for params in params_of(search)} == {True, False}


def test_a_step_is_kept_also_on_a_logarithmic_scale(tmp_path: Path) -> None:
    decay = SearchParameter("weight_decay", "float", 0.002, 0.5, step=0.002, log=True)
    search = open_search(tmp_path, settings("tpe", (LR, decay), 15))
    drive(search)
    values = [params["weight_decay"] for params in params_of(search)]
    assert [round(value / 0.002) * 0.002 for value in values] == pytest.approx(values, rel=1e-12)
    assert all(len(str(value)) <= 6 for value in values)
    assert len({*values}) > 5


def test_quantised_whole_numbers_on_a_logarithmic_scale(tmp_path: Path) -> None:
    batch_size = SearchParameter("batch_size", "int", 16, 512, step=16, log=True)
    search = open_search(tmp_path, settings("tpe", (LR, batch_size), 15))
    drive(search)
    assert all(params["batch_size"] % 16 == 0 for params in params_of(search))
    assert all(type(params["batch_size"]) is int for params in params_of(search))


def test_a_grid_is_tried_in_the_order_in_which_it_is_written_and_ends(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("grid", GRID, 100))
    drive(search)
    assert [tuple(params.values()) for params in params_of(search)] == [
        (lr, *rest)
        for lr in (0.01, 0.1)
        for rest in [(16,), (64, 0.5), (64, 0.9), (256, 0.5), (256, 0.9)]
    ]  # fmt: skip
    assert search.record.over == "the space holds 10 different configurations, all were proposed: 100 asked for"


@pytest.mark.parametrize("algorithm", ["random", "tpe", "cmaes", "qmc"])
def test_a_finite_space_ends_when_all_was_tried(algorithm: Algorithm, tmp_path: Path) -> None:
    search = open_search(tmp_path, settings(algorithm, GRID, 100))
    drive(search)
    assert len({repr(params) for params in params_of(search)}) == 10
    assert sum(proposal.is_trained for proposal in search.record.proposals) == 10
    assert search.record.over == "the space holds 10 different configurations, all were proposed: 100 asked for"
    assert search.is_over


def test_a_repeated_configuration_is_answered_from_the_record(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("random", GRID, 9))
    trained = drive(search)
    repeated = [proposal for proposal in search.record.proposals if proposal.same_as is not None]
    assert repeated
    assert len(trained) == len({*trained}) == 9 * 4
    for proposal in repeated:
        source = search.record.source(proposal)
        assert (proposal.config, proposal.status, proposal.values) == (source.config, Status.COMPLETE, source.values)
    told = [trial.values for trial in trials(search)]
    assert told == [list(proposal.values or ()) for proposal in search.record.proposals]


def test_a_derived_duplicate_is_one_training(tmp_path: Path) -> None:
    """Two proposals with other parameters and the same configuration."""

    def rounded(params: Params) -> Any:  # noqa: ANN401
        return make_trial({"lr": round(params["lr"], 1) + 0.1})

    search = open_search(tmp_path, settings("random", (LR,), 5), rounded)
    trained = drive(search)
    assert any(proposal.same_as is not None for proposal in search.record.proposals)
    assert len(trained) == len({*trained}) == 5 * 4


def test_a_repeat_of_a_running_trial_waits_for_it(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("random", GRID, 9))
    running = []
    while not (waiting := [proposal for proposal in search.record.proposals if proposal.same_as is not None]):
        proposal = search.next()
        assert proposal is not None
        running.append(proposal)
    assert trials(search)[waiting[0].number].state is TrialState.RUNNING
    key = next(proposal for proposal in running if proposal.number == waiting[0].same_as).trial.config.trial_key
    for epoch in range(1, 5):
        search.report(key, epoch_record(epoch, 40.0 / epoch))
    search.end(key, Status.COMPLETE)
    assert (waiting[0].status, waiting[0].values) == (Status.COMPLETE, (10.0,))
    assert trials(search)[waiting[0].number].value == 10.0


def test_two_workers_train_nothing_twice_and_all_is_reported(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("tpe", GRID, 10), scheduler=HalfStops())
    trained = drive(search, num_workers=2)
    assert len(trained) == len({*trained})
    assert all(proposal.status is not None for proposal in search.record.proposals)
    assert len(trials(search)) == len(search.record.proposals)
    assert all(trial.state.is_finished() for trial in trials(search))


def test_the_log_holds_the_whole_record(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("tpe"), scheduler=HalfStops())
    drive(search, num_workers=2)
    assert read_log(LocalJournal(tmp_path / "search.jsonl")) == search.record


def trials(search: Search) -> list[Any]:
    return search.sampler.study.get_trials()


def test_a_stopped_trial_is_pruned_with_what_it_had_reached(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("tpe", num_trials=20), scheduler=HalfStops())
    drive(search)
    stopped = [proposal for proposal in search.record.proposals if proposal.status is Status.STOPPED]
    assert len(stopped) > 3
    for proposal in stopped:
        trial = trials(search)[proposal.number]
        assert trial.state is TrialState.PRUNED
        assert trial.intermediate_values == {report.epoch: report.values[0] for report in proposal.reports}
        assert 1 <= len(proposal.reports) < 4
        assert [report.stop for report in proposal.reports] == [False] * (len(proposal.reports) - 1) + [True]


def test_diverged_and_failed_trials_are_reported_as_such(tmp_path: Path) -> None:
    def rough(config: TrainConfig, epoch: int) -> float | None:
        if config.batch_size == 16:
            raise Crash
        return None if config.lr > 0.1 and epoch == 3 else bowl(config, epoch)

    search = open_search(tmp_path, settings("tpe", num_trials=20))
    drive(search, rough)
    seen = set()
    for proposal, trial in zip(search.record.proposals, trials(search), strict=True):
        seen.add(proposal.status)
        if proposal.status is Status.DIVERGED:
            assert (trial.state, trial.intermediate_values, proposal.values) == (TrialState.PRUNED, {}, None)
            assert proposal.reports[-1].values == (None,)
        elif proposal.status is Status.FAILED:
            assert (trial.state, proposal.values) == (TrialState.RUNNING, None)  # until the next run tries it again
    assert seen == {Status.COMPLETE, Status.DIVERGED, Status.FAILED}


def test_a_loss_that_diverged_is_pruned_without_a_value(tmp_path: Path) -> None:
    loss = ERROR.model_copy(update={"metric": "holdout_loss"})
    search = open_search(tmp_path, settings("tpe", objectives=(loss,)))
    drive(search, lambda config, epoch: None if epoch == 2 else 1.0)
    assert all(trial.state is TrialState.PRUNED and not trial.intermediate_values for trial in trials(search))


def test_an_error_that_is_not_finite_is_no_value_and_goes_to_no_sampler(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("tpe", num_trials=3), scheduler=(scheduler := HalfStops()))
    drive(search, lambda config, epoch: float("nan") if epoch == 4 else 50.0)
    assert [proposal.reports[-1].values for proposal in search.record.proposals] == [(None,)] * 3
    assert all(proposal.status is Status.COMPLETE for proposal in search.record.proposals)
    assert [(trial.state, trial.intermediate_values) for trial in trials(search)] == [(TrialState.PRUNED, {})] * 3
    assert ("report", 0, 4, None) in scheduler.calls
    assert search.best(3) == []


def test_impossible_proposals_are_reported_and_do_not_count(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("random", (LR,), 6), refuse_large_lr)
    drive(search)
    impossible = [proposal for proposal in search.record.proposals if proposal.config is None]
    assert impossible
    assert {proposal.error for proposal in impossible} == {"lr is too large for this machine"}
    assert all(trials(search)[proposal.number].state is TrialState.PRUNED for proposal in impossible)
    assert sum(proposal.is_trained for proposal in search.record.proposals) == 6


def test_a_search_of_impossible_proposals_ends_with_the_reason(tmp_path: Path) -> None:
    high = SearchParameter("lr", "float", 0.5, 1.0)
    search = open_search(tmp_path, settings("random", (high,), 3), refuse_large_lr)
    assert search.next() is None
    assert len(search.record.proposals) == 30
    assert search.is_over
    assert search.record.over == "30 proposals gave 0 different configurations, 3 asked for"
    assert {proposal.error for proposal in search.record.proposals} == {"lr is too large for this machine"}


@pytest.mark.parametrize("algorithm", ["tpe", "gp", "random", "qmc"])
def test_two_objectives_make_a_front(algorithm: Algorithm, tmp_path: Path) -> None:
    search = open_search(
        tmp_path, settings(algorithm, (LR, BATCH_SIZE), NUM_TRIALS[algorithm], objectives=(ERROR, SECONDS))
    )
    drive(search, steep)
    front = search.best(15)
    assert 1 < len(front) < 15
    points = [values_of(proposal) for proposal in front]
    assert points == sorted(points)
    complete = [values_of(proposal) for proposal in search.record.proposals if proposal.is_trained]
    for point in complete:
        beaten = any(a <= point[0] and b <= point[1] and (a, b) != point for a, b in complete)
        assert beaten == (point not in points)
    assert all(values_of(proposal)[1] == 64 / proposal.params["batch_size"] for proposal in front)


def values_of(proposal: ProposalRecord) -> tuple[float, float]:
    values = all_finite(proposal.values)
    assert values is not None
    error, seconds = values
    return error, seconds


def steep(config: TrainConfig, epoch: int) -> float:
    return bowl(config, epoch) + config.batch_size / 4


def test_with_two_objectives_what_diverges_is_not_on_the_front(tmp_path: Path) -> None:
    def fast_end(config: TrainConfig, epoch: int) -> float | None:
        return None if config.batch_size == 256 else bowl(config, epoch)

    search = open_search(tmp_path, settings("tpe", MIXED, 20, objectives=(ERROR, SECONDS)))
    drive(search, fast_end)
    assert any(proposal.status is Status.DIVERGED for proposal in search.record.proposals)
    assert all(proposal.status is Status.COMPLETE for proposal in search.best(20))
    told = {trial.params["batch_size"]: trial.state for trial in trials(search)}
    assert told == {16: TrialState.COMPLETE, 64: TrialState.COMPLETE, 256: TrialState.PRUNED}


@pytest.mark.parametrize("algorithm", ["tpe", "gp", "mfgp", "cmaes"])
def test_earlier_results_are_learned_from(algorithm: Algorithm, tmp_path: Path) -> None:
    """Proposals come closer to the best of what is known, which is 0.1 in [0.001, 1], than at random."""
    known = [{"lr": 10 ** (-i / 8), "weight_decay": 0.001} for i in range(25)]
    earlier = [Earlier(params, (bowl(make_trial(params).config, EPOCHS),)) for params in known]
    search = open_search(tmp_path, settings(algorithm, NUMBERS, 4 if algorithm == "gp" else 16), earlier=earlier)
    drive(search)
    distances = [abs(math.log10(params["lr"]) + 1) for params in params_of(search)]
    at_random = (1**2 / 2 + 2**2 / 2) / 3
    assert sum(distances) / len(distances) < 0.5 * at_random
    assert search.notes == []


def results_of(search: Search) -> list[Earlier]:
    """What another search can begin with."""
    complete = [proposal for proposal in search.record.proposals if proposal.status is Status.COMPLETE]
    return [
        Earlier(proposal.params, values)
        for proposal in complete
        if (values := all_finite(proposal.values)) is not None
    ]


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "grid"])
def test_a_search_with_earlier_results_proposes_none_of_them_again(algorithm: Algorithm, tmp_path: Path) -> None:
    """This holds also while the sampler still draws at random, and from one search to the next."""
    proposed: list[Params] = []
    earlier: list[Earlier] = []
    for index in range(3):
        search = open_search(
            tmp_path / str(index), settings(algorithm, NUMBERS, 6), scheduler=HalfStops(), earlier=earlier
        )
        drive(search)
        proposed += params_of(search)
        earlier = results_of(search)
        assert 0 < len(earlier) <= 6
    assert len({params["lr"] for params in proposed}) == len({params["weight_decay"] for params in proposed}) == 18


def test_earlier_results_outside_of_the_space_are_left_out(tmp_path: Path) -> None:
    inside = Earlier({"lr": 0.1, "batch_size": 64.0, "momentum": 0.9, "epochs": 3}, (12.0,))
    outside = [
        Earlier({"lr": 5.0, "batch_size": 16}, (1.0,)),
        Earlier({"lr": 0.1, "batch_size": 32}, (1.0,)),
        Earlier({"lr": 0.1, "batch_size": 64}, (1.0,)),
        Earlier({"lr": 0.1}, (1.0,)),
        Earlier({"lr": 0.1, "batch_size": 16}, (1.0, 2.0)),
    ]
    search = open_search(tmp_path, settings("tpe"), earlier=[inside, *outside])
    assert search.notes == ["1 of 6 earlier results lie inside the space and are used"]
    [trial] = trials(search)
    assert (trial.params, trial.value) == ({"lr": 0.1, "batch_size": 64, "momentum": 0.9}, 12.0)


def test_a_warm_start_that_changes_nothing_is_said(tmp_path: Path) -> None:
    search = open_search(tmp_path, settings("qmc"), earlier=[Earlier({"lr": 0.1, "batch_size": 16}, (1.0,))])
    assert search.notes == ["search.algorithm qmc learns nothing from search.warm_start"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_optuna_says_nothing(algorithm: Algorithm, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    search = open_search(tmp_path, settings(algorithm, space_for(algorithm), 12))
    drive(search, num_workers=2)
    assert capfd.readouterr() == ("", "")
