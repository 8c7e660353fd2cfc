"""What a search chose, stopped and saved, read from its Parquet files."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pytest

from results.figures.parallel_coordinates import broken, parallel_coordinates
from results.parquet.files import read_trials
from results.parquet.schema import SEARCH_METADATA, TRIALS_SCHEMA
from results.parquet.search_results import (
    SearchResults,
    best_so_far,
    params_text,
    reached,
    read_search,
    spent,
    stopped_by_epoch,
)
from results.store.pareto import dominates
from results.tables.search_table import sweep_table
from tests.results_tests.result_samples import make_config, make_trial
from tests.results_tests.searched_stores import BATCH_SIZES, SETTINGS, SWEEP, write_search


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> SearchResults:
    found = read_search(read_trials(write_search(tmp_path_factory.mktemp("store")), SWEEP))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> SearchResults:
    store = write_search(tmp_path_factory.mktemp("store"), two_objectives=True, name="two")
    found = read_search(read_trials(store, "two"))
    assert found is not None
    return found


def test_the_best_is_the_smallest_value_of_those_that_ran_to_the_end(search: SearchResults) -> None:
    complete = [trial for trial in search.trials if trial.is_complete]
    values = [trial.values[0] for trial in search.best if trial.values]
    assert values == sorted(values)
    assert len(values) == len(complete) < len(search.trials)
    assert {trial.number for trial in search.best} & {trial.number for trial in search.stopped} == set()
    assert (
        [trial.number for trial in search.chosen]
        == [trial.number for trial in search.best[:2]]
        == [*search.confirmed]
    )


def test_confirmations_are_repeats_of_their_proposal(search: SearchResults) -> None:
    assert [cell.test_errors for cell in search.confirmed.values()] == [[8.0, 9.0, 10.0], [7.0, 8.0, 9.0]]
    assert {cell.config.holdout for cell in search.confirmed.values()} == {0.0}


def test_of_two_objectives_the_front_is_chosen(two: SearchResults) -> None:
    losses = [trial.values for trial in two.trials if trial.is_complete and trial.values]
    front = [trial.values for trial in two.best if trial.values]
    assert 1 < len(front) < len(losses)
    assert not any(dominates(other, member) for member in front for other in losses)
    assert all(any(dominates(member, other) for member in front) for other in losses if other not in front)


def test_the_best_so_far_only_falls_and_ends_at_the_best(search: SearchResults) -> None:
    steps = best_so_far(search, 0)
    assert [value for _, value in steps] == sorted((value for _, value in steps), reverse=True)
    assert steps[-1] == (search.best[0].number, search.best[0].values[0] if search.best[0].values else None)


def test_rungs_and_what_they_saved(search: SearchResults) -> None:
    rungs = stopped_by_epoch(search)
    assert [*rungs] == [1, 3]
    assert sum(map(len, rungs.values())) == len(search.stopped)
    assert reached(search, 1) == len(search.trials)
    found = spent(search)
    assert found.full_epochs - found.epochs == 8 * len(rungs[1]) + 6 * len(rungs[3])
    saved = sum(
        trial.trial.row.total_seconds * (9 / trial.trial.row.epochs_done - 1)
        for stopped in rungs.values()
        for trial in stopped
    )
    assert found.full_seconds - found.seconds == pytest.approx(saved)


def test_parameters_are_fields_or_variables(search: SearchResults) -> None:
    assert [parameter.name for parameter in search.parameters] == ["base_lr", "batch_size"]
    for trial in search.trials:
        assert trial.params["batch_size"] in BATCH_SIZES
        base_lr, batch_size = trial.params["base_lr"], trial.params["batch_size"]
        assert isinstance(base_lr, float)
        assert isinstance(batch_size, int)
        assert trial.trial.config.lr == pytest.approx(base_lr * batch_size / 128)


def test_a_scaled_trial_is_shown_as_it_was_proposed(tmp_path: Path) -> None:
    table = read_trials(write_search(tmp_path, num_trials=1, confirm=False), SWEEP)
    variables = [
        json.dumps({**json.loads(text), "published_batch_size": 4096}) for text in table["variables"].to_pylist()
    ]
    index = table.column_names.index("variables")
    found = read_search(table.set_column(index, table.schema.field(index), [variables]))
    assert found is not None
    assert params_text(found.trials[0]).endswith("batch_size 4096")


RECIPES: list[dict[str, object]] = [
    {"optimizer": "sgd", "batch_size": 30, "ghost_batch_size": 30, "label_smoothing": 0},
    {"optimizer": "adamw", "batch_size": 30, "ghost_batch_size": 10, "label_smoothing": 0.1},
]


def recipe_search() -> pa.Table:
    """Return the two trials of a search over the recipe."""
    trials = [
        make_trial(make_config(**recipe), 9.0, purpose="search", proposal=number, objective_values=(9.0 - number,))
        for number, recipe in enumerate(RECIPES)
    ]
    choices = {"optimizer": ["sgd", "adamw"], "ghost_batch_size": [10, 30], "label_smoothing": [0, 0.1]}
    settings = {
        **SETTINGS,
        "parameters": {name: {"kind": "categorical", "choices": values} for name, values in choices.items()},
    }
    rows = [{**trial.config.to_dict(), **dataclasses.asdict(trial.row)} for trial in trials]
    table = pa.Table.from_pylist(rows, schema=TRIALS_SCHEMA)
    return table.replace_schema_metadata({SEARCH_METADATA.encode(): json.dumps(settings).encode()})


def test_a_value_that_training_takes_for_none_is_shown_as_it_was_proposed() -> None:
    """A ghost batch of the whole batch and a label smoothing of 0 are None in a configuration."""
    search = read_search(recipe_search())
    assert search is not None
    assert [dict(trial.params) for trial in search.trials] == [
        {name: recipe[name] for name in search.parameter_names} for recipe in RECIPES
    ]
    drawn = parallel_coordinates(search)
    assert drawn is not None
    assert [text for _, text in drawn.scales[1].ticks] == ["10", "30"]
    assert broken("label_smoothing test error (%)") == "label_\nsmoothing test\nerror (%)"


def test_the_table_of_a_search_shows_all_that_was_searched() -> None:
    """In a table of one row nothing differs, and AdamW must be seen nevertheless."""
    table = recipe_search().slice(1)
    header, _, row, *rest = sweep_table(table, "markdown", with_mean=False).splitlines()[2:]
    assert [name.strip() for name in header.split("|")][3:6] == ["optimizer", "batch size", "ghost batch size"]
    assert [value.strip() for value in row.split("|")][3:6] == ["AdamW", "30", "10"]
    assert "label_smoothing" in header
    assert rest == []


def test_a_plain_sweep_is_no_search(tmp_path: Path) -> None:
    table = read_trials(write_search(tmp_path, num_trials=1, confirm=False), SWEEP)
    metadata = {key: value for key, value in table.schema.metadata.items() if key != SEARCH_METADATA.encode()}
    assert read_search(table.replace_schema_metadata(metadata)) is None
    assert make_trial(make_config(), 9.0).row.purpose == "planned"
