"""A search whose space gives the first points: they are its first proposals, whatever proposes the others."""

import dataclasses
from pathlib import Path

import pytest

from results.store.search_log import Params
from search_spaces.schema import Algorithm
from sweep.search.opening import search_settings
from sweep.search.settings import SearchSettings
from tests.search_spaces_tests.search_samples import maker_of
from tests.sweep_tests.driven_searches import WARMUP, bowl, drive, open_search, params_of, settings
from tests.sweep_tests.test_search_sequence import ALGORITHMS, space_for
from trainable.errors import UserError

FIRST: tuple[Params, ...] = (
    {"lr": 0.1, "batch_size": 64, "momentum": 0.9},
    {"batch_size": 256},
    {"lr": 0.01, "momentum": 0.5},
)
NUM_TRIALS = 7


def with_first(algorithm: Algorithm, first: tuple[Params, ...] = FIRST) -> SearchSettings:
    space = (*space_for(algorithm), WARMUP) if algorithm == "cmaes" else space_for(algorithm)  # it needs two numbers
    return dataclasses.replace(settings(algorithm, space, NUM_TRIALS), first=first)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_first_points_are_the_first_proposals_and_may_be_partial(algorithm: Algorithm, tmp_path: Path) -> None:
    search = open_search(tmp_path, with_first(algorithm))
    drive(search)
    proposed = params_of(search)
    assert proposed[0].items() >= FIRST[0].items()
    assert proposed[1]["batch_size"] == 256
    assert proposed[1]["momentum"] is not None  # chosen by the sampler, as is lr
    assert proposed[2]["lr"] == 0.01
    assert proposed[2].get("momentum", 0.5) == 0.5  # small batches have none
    assert len({repr(params) for params in proposed}) == NUM_TRIALS
    other = tmp_path / "without"
    other.mkdir()
    without = open_search(other, with_first(algorithm, ()))
    assert "first" not in without.settings.canonical()
    assert search.record.settings["first"] == list(FIRST)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("num_steps", [2, 9])
def test_a_search_with_first_points_resumes_as_if_uninterrupted(
    algorithm: Algorithm, num_steps: int, tmp_path: Path
) -> None:
    proposed = []
    for name, steps in (("whole", None), ("cut", num_steps)):
        folder = tmp_path / name
        folder.mkdir()
        drive(open_search(folder, with_first(algorithm)), bowl, 1, steps)
        search = open_search(folder, with_first(algorithm))
        drive(search)
        proposed.append(params_of(search))
    assert proposed[0] == proposed[1]


def test_other_first_points_are_another_search(tmp_path: Path) -> None:
    open_search(tmp_path, with_first("random", FIRST[:1]))
    with pytest.raises(UserError, match=r"begun with other settings: first was .* and is .* now"):
        open_search(tmp_path, with_first("random"))


def test_a_grid_begins_with_the_first_points_and_still_tries_everything(tmp_path: Path) -> None:
    first: tuple[Params, ...] = ({"batch_size": 256, "lr": 0.1}, {"lr": 0.1, "batch_size": 16}, {"batch_size": 16})
    wanted = dataclasses.replace(settings("grid", space_for("grid"), 100), first=first)
    search = open_search(tmp_path, wanted)
    drive(search)
    proposed = [tuple(params.values()) for params in params_of(search)]
    assert proposed[:3] == [(0.1, 256, 0.5), (0.1, 16), (0.01, 16)]
    assert len(set(proposed)) == len(proposed) == 10


def test_rows_are_proposed_as_one_choice_and_the_trials_have_their_fields(tmp_path: Path) -> None:
    text = (
        "search: {algorithm: tpe, num_trials: 3}\ndefaults: {epochs: 2, dataset: digits}\n"
        "parameters: {recipe: {rows: [{lr: 0.1, batch_size: 32}, {lr: 0.2, batch_size: 64}, {lr: 0.4, epochs: 4}]}}\n"
        "first: [{recipe: {lr: 0.2, batch_size: 64}}]\n"
    )
    maker = maker_of(tmp_path, text)
    wanted = search_settings("mine", maker, dataset="digits", fingerprint="")
    search = open_search(tmp_path, wanted, maker.trial)
    drive(search)
    assert params_of(search)[0] == {"recipe": "lr=0.2 batch_size=64"}
    configs = [proposal.config for proposal in search.record.proposals if proposal.config and proposal.is_trained]
    assert sorted((config.lr, config.batch_size, config.epochs) for config in configs) == [
        (0.1, 32, 2), (0.2, 64, 2), (0.4, 128, 4),
    ]  # fmt: skip
    assert all(proposal.variables == proposal.params for proposal in search.record.proposals)
    assert open_search(tmp_path, wanted, maker.trial).is_over
