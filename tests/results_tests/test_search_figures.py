"""The figures of a search: what they hold, and that nothing on them overlaps."""

import dataclasses
from pathlib import Path

import pytest

from results.figures import SEARCH_FIGURE_NAMES
from results.figures.best_by_epochs import best_by_epochs
from results.figures.fields import Roles
from results.figures.figure_data import Results
from results.figures.gallery import draw
from results.figures.objective_front import objective_front
from results.figures.optimisation_history import COMPLETE, STOPPED, optimisation_history
from results.figures.parallel_coordinates import parallel_coordinates
from results.parquet.files import read_epochs, read_trials
from results.parquet.search_results import read_search, spent
from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
from tests.conftest import ROOT, Cli
from tests.results_tests.figure_samples import overlaps
from tests.results_tests.searched_stores import write_search
from trainable.errors import UserError


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


def test_the_best_improves_over_the_epochs_of_all_proposals(results: Results) -> None:
    assert results.search is not None
    for index, (course,) in enumerate(best_by_epochs({"it": results.search}).values()):
        complete = [trial for trial in results.search.trials if trial.is_complete]
        assert [value for _, value in course.complete] == [trial.values[index] for trial in complete if trial.values]
        assert (
            course.total_epochs
            == spent(results.search).epochs
            == sum(trial.trial.row.epochs_done for trial in results.search.trials)
        )
        assert [epochs for epochs, _ in course.complete] == sorted({epochs for epochs, _ in course.complete})
        assert course.best[-1][1] == min(value for _, value in course.complete)
        assert set(course.best) <= set(course.complete)
        assert course.complete[0][0] >= complete[0].trial.row.epochs_done


def test_two_searches_are_drawn_together_where_they_can_be_compared(tmp_path: Path) -> None:
    one, other = (make_results(tmp_path / name, name, num_trials=num) for name, num in (("one", 24), ("other", 9)))
    assert one.search is not None and other.search is not None
    both = dataclasses.replace(one, against={"other": other.search})
    figure = draw("best_by_epochs", both)["best_by_epochs"]
    assert overlaps(figure) == []
    (courses,) = best_by_epochs({"one": one.search, "other": other.search}).values()
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == [*(course.label for course in courses), "diverged or failed"]
    assert labels[1].startswith("other (tpe, scheduler asha): 10 trials, ")


def test_searches_with_other_objectives_or_images_are_refused(tmp_path: Path) -> None:
    one, two = make_results(tmp_path / "one", "one"), make_results(tmp_path / "two", "two", two=True)
    assert one.search is not None and two.search is not None
    with pytest.raises(UserError, match="one and two have different objectives"):
        draw("best_by_epochs", dataclasses.replace(one, against={"two": two.search}))
    first = one.search.trials[0]
    config = dataclasses.replace(first.trial.config, train_subset=7)
    trials = [dataclasses.replace(first, trial=dataclasses.replace(first.trial, config=config))]
    with pytest.raises(UserError, match="one and less have different images"):
        best_by_epochs({"one": one.search, "less": dataclasses.replace(one.search, trials=trials)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("published", "--against", "quickstart"), "write `plot SWEEP --against published`"),
        (("quickstart", "--against", "quickstart"), "--against quickstart: quickstart is no search"),
    ],
)
def test_only_searches_are_held_against_each_other(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    refused = cli("plot", *arguments, "--store", str(ROOT / "results" / "examples"))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert message in refused.stderr


def test_coordinates_lie_in_order_and_the_best_on_top(results: Results) -> None:
    assert results.search is not None
    bundle = parallel_coordinates(results.search)
    assert bundle is not None
    assert bundle.lines[-1].number == results.search.best[0].number
    assert all(0 <= height <= 1 for path in bundle.lines for height in path.heights)
    batch_size = bundle.scales[1]
    assert batch_size.ticks == [(0.0, "32"), (0.5, "64"), (1.0, "128")]
    by_lr = sorted(bundle.lines, key=lambda path: path.heights[0])
    rates = {trial.number: trial.params["base_lr"] for trial in results.search.trials}
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


def test_which_objective_is_drawn_is_told(results: Results) -> None:
    asked = dataclasses.replace(results, roles=Roles(y="objective"), notes=[])
    (figure,) = draw("scatter", asked).values()
    told = "objective: the first of 2, holdout error (%)"
    assert [told in text for text in (figure.get_suptitle(), *asked.notes)] == [results.sweep == "two"] * 2


def test_a_search_that_has_just_begun_has_no_figure_to_break(tmp_path: Path) -> None:
    drawn = draw("all", results := make_results(tmp_path, "young", num_trials=1))
    assert "parameter_importance" not in drawn
    assert [note for note in results.notes if "importance" in note] == [
        "parameter_importance is left out: 1 trial can be compared, and 10 are needed"
    ]
    assert "objective_front" not in " ".join(results.notes)
    assert all(overlaps(figure) == [] for name, figure in drawn.items() if name in SEARCH_FIGURE_NAMES)
