"""The figures of a search: what they hold, and that nothing on them overlaps."""

from pathlib import Path

import pytest

from results.figures import SEARCH_FIGURE_NAMES
from results.figures.gallery import Results, draw
from results.figures.objective_front import objective_front
from results.figures.optimisation_history import COMPLETE, STOPPED, optimisation_history
from results.figures.parallel_coordinates import parallel_coordinates
from results.parquet import read_epochs, read_trials
from results.search_results import read_search
from results.trials import epochs_from_table, group_repeats, trials_from_table
from tests.results_tests.figure_samples import overlaps
from tests.results_tests.searched_stores import write_search


def make_results(folder: Path, name: str, *, two: bool = False, num_trials: int = 24) -> Results:
    store = write_search(folder, two_objectives=two, name=name, num_trials=num_trials)
    table = read_trials(store, name)
    return Results(
        name,
        group_repeats(trials_from_table(table)),
        epochs=lambda: epochs_from_table(read_epochs(store, name)),
        search=read_search(table),
    )


@pytest.fixture(scope="module", params=["one", "two"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return make_results(tmp_path_factory.mktemp("store"), request.param, two=request.param == "two")


def test_all_draws_those_of_the_search_too(results: Results) -> None:
    expected = [name for name in SEARCH_FIGURE_NAMES if name != "objective_front" or results.sweep == "two"]
    assert [name for name in draw("all", results) if name in SEARCH_FIGURE_NAMES] == expected


@pytest.mark.parametrize("name", SEARCH_FIGURE_NAMES)
def test_nothing_overlaps(results: Results, name: str) -> None:
    if name == "objective_front" and results.sweep == "one":
        return
    assert overlaps(draw(name, results)[name]) == []


def test_the_history_holds_every_trial_that_ended(results: Results) -> None:
    assert results.search is not None
    for history in optimisation_history(results.search):
        numbers = [number for points in history.values.values() for number, _ in points] + history.lost
        assert sorted(numbers) == list(range(24))
        assert {number for number, _ in history.best} <= {number for number, _ in history.values[COMPLETE]}
        assert len(history.values[STOPPED]) == len(results.search.stopped)
        assert len(history.lost) == 3


def test_coordinates_lie_in_order_and_the_best_on_top(results: Results) -> None:
    assert results.search is not None
    bundle = parallel_coordinates(results.search)
    assert bundle is not None
    assert bundle.paths[-1].number == results.search.best[0].number
    assert all(0 <= height <= 1 for path in bundle.paths for height in path.heights)
    batch_size = bundle.scales[1]
    assert batch_size.ticks == [(0.0, "32"), (0.5, "64"), (1.0, "128")]
    by_lr = sorted(bundle.paths, key=lambda path: path.heights[0])
    rates = {one.number: one.params["base_lr"] for one in results.search.trials}
    found = [rates[path.number] for path in by_lr]
    assert found == sorted(found, key=lambda rate: float(rate or 0))


def test_the_front_needs_two_objectives(results: Results) -> None:
    assert results.search is not None
    found = objective_front(results.search)
    assert (found is not None) == (results.sweep == "two")
    if found is not None:
        assert found.front == sorted(found.front)
        assert [error for _, error in found.front] == sorted((error for _, error in found.front), reverse=True)
        assert len(found.others) + len(found.front) == 21


def test_a_search_that_has_just_begun_has_no_figure_to_break(tmp_path: Path) -> None:
    drawn = draw("all", make_results(tmp_path, "young", num_trials=1))
    assert "parameter_importance" not in drawn
    assert all(overlaps(figure) == [] for name, figure in drawn.items() if name in SEARCH_FIGURE_NAMES)
