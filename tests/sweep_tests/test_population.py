"""Population based training as a search: generations, selection, perturbation, resumes; without Ray."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from results.store.journal import LocalJournal
from results.store.search_log import Params, ProposalRecord, read_log
from search_spaces.expansion import expand
from search_spaces.expressions import Expression
from search_spaces.parameters import SearchParameter
from search_spaces.schema import SchedulerSpec
from sweep.search.population import Population
from sweep.search.search import Search
from sweep.search.settings import SearchSettings
from tests.search_spaces_tests.space_samples import load_text
from tests.sweep_tests.driven_searches import (
    LR,
    NUMBERS,
    SPACE,
    Crash,
    active_among,
    drive,
    epoch_record,
    make_trial,
    open_search,
    params_of,
    settings,
)
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.records import Status

SIZE = 4
GENERATIONS = 5
PBT = SchedulerSpec(type="pbt", population=SIZE, quantile=0.25)
LOG = "search.jsonl"
PARENT = "0123456789abcdef"


def wanted(parameters: Sequence[SearchParameter] = NUMBERS, generations: int = GENERATIONS) -> SearchSettings:
    return dataclasses.replace(settings("random", parameters, SIZE * generations), scheduler=PBT)


def error_of(config: TrainConfig, epoch: int) -> float:
    """Best at lr 0.1; every member has an error of its own."""
    return 10 + 5 * abs(math.log10(config.lr) + 1) + 1 / epoch + config.seed / 1000


def rough(config: TrainConfig, epoch: int) -> float | None:
    """Errors of trials some of which diverge or fail."""
    if config.lr < 0.02:
        raise Crash
    return None if config.lr > 0.4 and epoch == 2 else error_of(config, epoch)


def generation(search: Search, number: int) -> list[ProposalRecord]:
    return search.record.proposals[number * SIZE : (number + 1) * SIZE]


def key_of(proposal: ProposalRecord) -> str:
    assert proposal.config is not None
    return proposal.config.trial_key


def parent_of(proposal: ProposalRecord) -> str | None:
    assert proposal.config is not None
    return proposal.config.parent


def value_of(proposal: ProposalRecord) -> float:
    assert proposal.values is not None
    assert proposal.values[0] is not None
    return proposal.values[0]


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    """Nor does the order in which members end: nobody knows more than the generation before."""
    found = []
    for num_workers in (1, 2, 3, 9):
        search = open_search(tmp_path / str(num_workers), wanted(SPACE))
        drive(search, rough, num_workers)
        found.append([(proposal.params, proposal.config) for proposal in search.record.proposals])
    assert len(found[0]) == SIZE * GENERATIONS
    assert found.count(found[0]) == 4


def test_another_seed_is_another_search(tmp_path: Path) -> None:
    other = wanted()
    other = dataclasses.replace(other, search=other.search.model_copy(update={"seed": 1}))
    searches = [open_search(tmp_path / "0", wanted()), open_search(tmp_path / "1", other)]
    for search in searches:
        drive(search, error_of)
    assert params_of(searches[0]) != params_of(searches[1])


def test_the_worst_continues_from_the_best_and_the_others_from_themselves(tmp_path: Path) -> None:
    search = open_search(tmp_path, wanted())
    drive(search, error_of, num_workers=3)
    changes = 0
    for number in range(1, GENERATIONS):
        before = generation(search, number - 1)
        best, worst = min(before, key=value_of), max(before, key=value_of)
        for was, now in zip(before, generation(search, number), strict=True):
            if was is worst:
                assert parent_of(now) == key_of(best)
                changes += now.params != best.params
            else:
                assert (parent_of(now), now.params) == (key_of(was), was.params)
    assert changes == GENERATIONS - 1
    assert [parent_of(proposal) for proposal in generation(search, 0)] == [None] * SIZE


def test_every_segment_has_randomness_of_its_own(tmp_path: Path) -> None:
    search = open_search(tmp_path, wanted())
    drive(search, error_of)
    seeds = [proposal.config.seed for proposal in search.record.proposals if proposal.config]
    assert seeds == list(range(SIZE * GENERATIONS))


def test_a_generation_waits_for_the_one_before(tmp_path: Path) -> None:
    search = open_search(tmp_path, wanted(generations=2))
    first = [search.next() for _ in range(SIZE)]
    assert None not in first
    for proposal in first:
        assert search.next() is None
        assert not search.is_over
        assert proposal is not None
        config = proposal.trial.config
        for epoch in range(1, config.epochs + 1):
            search.report(config.trial_key, epoch_record(epoch, 20.0))
        search.end(config.trial_key, Status.COMPLETE)
    second = [search.next() for _ in range(SIZE)]
    assert [len(proposal.ancestors) for proposal in second if proposal] == [1] * SIZE
    assert search.next() is None
    assert not search.is_over
    for proposal in second:
        assert proposal is not None
        search.end(proposal.trial.config.trial_key, Status.DIVERGED)
    assert search.is_over


def test_ancestors_are_the_whole_training_first_one_first(tmp_path: Path) -> None:
    search = open_search(tmp_path, wanted())
    drive(search, error_of, num_steps=4 * SIZE * (GENERATIONS - 1))
    proposal = search.next()
    assert proposal is not None
    chain = [*proposal.ancestors, proposal.trial.config]
    assert len(chain) == GENERATIONS
    assert chain[0].parent is None
    assert [config.parent for config in chain[1:]] == [config.trial_key for config in chain[:-1]]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_driver_killed_at_any_event_rebuilds_the_population(tmp_path: Path, num_workers: int) -> None:
    whole = open_search(tmp_path / "whole", wanted(SPACE, generations=3))
    drive(whole, rough, num_workers)
    lines = (tmp_path / "whole" / LOG).read_bytes().splitlines(keepends=True)
    assert len(lines) > 40
    for cut in range(len(lines)):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / LOG).write_bytes(b"".join(lines[:cut]) + lines[cut][: cut % len(lines[cut])])
        again = open_search(folder, wanted(SPACE, generations=3))
        drive(again, rough, num_workers)
        assert again.record == whole.record
        assert read_log(LocalJournal(folder / LOG)) == whole.record


def test_more_generations_continue_as_if_asked_for_at_once(tmp_path: Path) -> None:
    whole = open_search(tmp_path / "whole", wanted())
    drive(whole, error_of)
    drive(open_search(tmp_path / "grown", wanted(generations=2)), error_of)
    grown = open_search(tmp_path / "grown", wanted())
    drive(grown, error_of)
    assert grown.record == whole.record


def test_a_failed_or_diverged_member_continues_from_another(tmp_path: Path) -> None:
    search = open_search(tmp_path, wanted((LR,), generations=12))
    drive(search, rough, num_workers=2)
    lost = [proposal for proposal in search.record.proposals[:-SIZE] if proposal.status is not Status.COMPLETE]
    assert {proposal.status for proposal in lost} == {Status.FAILED, Status.DIVERGED}
    assert {key_of(proposal) for proposal in lost}.isdisjoint(
        {parent_of(proposal) for proposal in search.record.proposals}
    )


def test_an_impossible_member_is_replaced(tmp_path: Path) -> None:
    def picky(params: Params) -> Any:  # noqa: ANN401
        if params["lr"] > 0.1:
            raise UserError("lr is too large for this machine")
        return make_trial(params)

    search = open_search(tmp_path, wanted((LR,)), picky)
    drive(search, error_of)
    impossible = [proposal for proposal in search.record.proposals if proposal.config is None]
    assert impossible
    assert len(search.record.proposals) == SIZE * GENERATIONS
    assert search.is_over


def test_a_population_that_has_died_out_ends_the_search(tmp_path: Path) -> None:
    search = open_search(tmp_path, wanted())
    drive(search, lambda config, epoch: None)
    assert len(search.record.proposals) == SIZE
    assert search.is_over
    assert search.record.over == "no member of generation 1 came to its end"


STEPPED = SearchParameter("batch_size", "int", 16, 64, step=16)
CHOICES = SearchParameter("momentum", "categorical", choices=(0.9, 0.5, 0.7))
WORDS = SearchParameter("augmentation", "categorical", choices=("crop", "none"))
CONDITIONAL = SearchParameter("weight_decay", "float", 0.1, 0.2, when=Expression("batch_size >= 48"))
WIDE = (LR, STEPPED, CHOICES, WORDS, CONDITIONAL)


def ended(number: int, params: Params, config: TrainConfig, value: float) -> ProposalRecord:
    return ProposalRecord(number, params, config, {}, None, None, [], Status.COMPLETE, (value,))


def explored(
    given: Params,
    resample_probability: float,
    count: int = 200,
    parameters: Sequence[SearchParameter] = WIDE,
) -> list[Params]:
    """Parameters that a parent's values become, for many proposal numbers."""
    spec = SchedulerSpec(type="pbt", population=2, quantile=0.5, resample_probability=resample_probability)
    config = TrainConfig()
    found = []
    for seed in range(count):
        population = Population(spec, parameters, active_among(parameters), seed)
        before = [ended(0, given, config, 1.0), ended(1, {}, config, 2.0)]
        kept, parent = population.next_member(before)
        assert (kept, parent) == (given, config.trial_key)
        before.append(ended(2, given, config, 1.0))
        found.append(population.next_member(before)[0])
    return found


def test_perturbed_parameters_lie_a_step_away_and_inside_their_ranges() -> None:
    given = {"lr": 0.95, "batch_size": 48, "momentum": 0.7, "augmentation": "crop", "weight_decay": 0.15}
    found = explored(given, resample_probability=0.0)
    assert {values["lr"] for values in found} == {0.95 * 0.8, 1.0}
    assert {values["batch_size"] for values in found} == {32, 64}
    assert {values["momentum"] for values in found} == {0.5, 0.9}
    assert {values["augmentation"] for values in found} == {"crop"}
    for values in found:
        assert ("weight_decay" in values) == (values["batch_size"] >= 48)
    assert {values.get("weight_decay") for values in found} == {None, 0.15 * 0.8, 0.15 * 1.2}


@pytest.mark.parametrize(
    ("parameter", "given", "expected"),
    [
        (SearchParameter("lr", "float", 0.0, 1.0), 0.0, {0.0, 0.01}),
        (SearchParameter("lr", "float", 0.0, 1.0), 5e-324, {0.0, 0.01}),
        (SearchParameter("lr", "float", 0.0, 1.0), 0.5, {0.4, 0.6}),
        (SearchParameter("x", "float", -1.0, 1.0), -0.01, {-0.03, 0.01}),
        (SearchParameter("x", "float", -1.0, 0.0), 0.0, {-0.01, 0.0}),
        (SearchParameter("lr", "float", 0.0, 1.0, step=0.25), 0.0, {0.0, 0.25}),
        (SearchParameter("epochs", "int", 0, 9, step=1), 0, {0, 1}),
        (SearchParameter("epochs", "int", 0, 9, step=1), 1, {0, 2}),
        (SearchParameter("x", "int", -9, 9, step=3), 0, {-3, 3}),
        (SearchParameter("lr", "float", 1e-9, 1.0, log=True), 1e-6, {0.8e-6, 1.2e-6}),
        (SearchParameter("x", "categorical", choices=(0, 0.1, 0.5)), 0, {0, 0.1}),
        (SearchParameter("x", "categorical", choices=(False, True)), False, {False}),
    ],
)
def test_a_parameter_leaves_0_by_perturbation(parameter: SearchParameter, given: Any, expected: set[Any]) -> None:  # noqa: ANN401
    found = explored({parameter.name: given}, resample_probability=0.0, parameters=(parameter,))
    assert {values[parameter.name] for values in found} == expected
    unmoved = SchedulerSpec(type="pbt", population=2, perturb=[1.0], resample_probability=0.0)
    population = Population(unmoved, (parameter,), active_among((parameter,)), 0)
    config = TrainConfig()
    before = [ended(0, {parameter.name: given}, config, 1.0), ended(1, {}, config, 2.0), ended(2, {}, config, 1.0)]
    assert population.next_member(before)[0] == {parameter.name: given}


def test_resampled_parameters_cover_their_ranges() -> None:
    found = explored({"lr": 0.95, "batch_size": 16, "momentum": 0.7, "augmentation": "crop"}, 1.0)
    rates = [values["lr"] for values in found]
    assert all(0.001 <= rate <= 1.0 for rate in rates)
    assert sum(rate < math.sqrt(0.001) for rate in rates) == pytest.approx(100, abs=30)  # half, on the log scale
    assert {values["batch_size"] for values in found} == {16, 32, 48, 64}
    assert {values["momentum"] for values in found} == {0.5, 0.7, 0.9}
    assert {values["augmentation"] for values in found} == {"crop", "none"}
    new = [values["weight_decay"] for values in found if "weight_decay" in values]
    assert new
    assert all(0.1 <= value <= 0.2 for value in new)


SEARCH = "search: {algorithm: random, num_trials: 16}\nscheduler: {type: pbt}\n"
SCHEDULE = "defaults: {schedule: constant, epochs: 2}\n"
RATE = "parameters: {lr: {min: 0.1, max: 0.2}}\n"


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        expand(load_text(folder, text), {})
    return str(caught.value).rpartition("/")[2]


def test_a_population_is_declared(tmp_path: Path) -> None:
    search = expand(load_text(tmp_path, SEARCH + SCHEDULE + RATE), {}).search
    assert search is not None
    assert search.scheduler.population == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SEARCH.replace("random", "tpe") + SCHEDULE + RATE, "a population begins at random: algorithm: random"),
        (SEARCH.replace("16", "20") + SCHEDULE + RATE, "a multiple of population 8, for example 16, got 20"),
        (SEARCH.replace("16", "8") + SCHEDULE + RATE, "a multiple of population 8, for example 16, got 8"),
        (SEARCH + RATE, "schedule: constant in defaults"),
        (SEARCH + "defaults: {schedule: cosine}\n" + RATE, "3: defaults.schedule: pbt finds the schedule itself"),
        (SEARCH + SCHEDULE + RATE + "confirm: {top: 1}\n", "5: confirm: pbt finds a schedule, not a configuration"),
        (
            SEARCH + SCHEDULE + RATE.replace("}}", "}, model: {values: [resnet_8, resnet_20]}}"),
            "model must be the same in all of a population",
        ),
        (
            SEARCH
            + SCHEDULE.replace("}", ", model: 'tests.integration_tests.my_net:SmallCNN'}")
            + RATE.replace("}}", "}, model_args.width: {values: [16, 32]}}"),
            "model_args must be the same in all of a population",
        ),
        (
            SEARCH + SCHEDULE + RATE.replace("}}", "}, optimizer: {values: [sgd, lars]}}"),
            "optimizer must be the same in all of a population",
        ),
        (
            SEARCH + SCHEDULE.replace("}", ", warmup_epochs: 0.5}") + RATE,
            "pbt would warm up anew in each generation: leave warmup_epochs out",
        ),
        (
            SEARCH + "defaults: {schedule: constant}\n" + RATE + "derive: {epochs: round(lr * 100)}\n",
            "epochs must be the same in all of a population",
        ),
    ],
)
def test_what_cannot_be_searched_by_a_population(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_a_parent_is_not_set_by_hand(tmp_path: Path) -> None:
    text = SEARCH + SCHEDULE.replace("}", f", parent: '{PARENT}'}}") + RATE
    assert "'parent' is computed by the program and cannot be set" in refusal(tmp_path, text)
