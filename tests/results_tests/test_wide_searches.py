"""Figures and reports of searches over many parameters, of those that came to nothing, and of a whole front."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import results.figures.parameter_importance as parameter_importance
from results.figures.error_by_lr import AXES_WIDTH
from results.figures.figure_data import Results
from results.figures.gallery import draw
from results.figures.learning_curves import MOST_PANELS_OF_SEARCH, search_curves
from results.figures.points import title
from results.parquet.files import read_epochs, read_trials
from results.parquet.search_results import Objective, SearchResults, free_fields, read_search
from results.parquet.trials import epochs_from_table, group_repeats, trials_from_table
from results.report.content import Report, make_report
from results.report.files import write_report
from results.report.markdown import render_markdown
from results.statistics.importance import Importance, importance
from results.store.local_store import LocalStore
from results.tables.search_table import sweep_table
from tests.results_tests.figure_samples import make_point, overlaps, texts_of
from tests.results_tests.searched_stores import SWEEP, write_search
from tests.results_tests.wide_stores import CHOICES, WIDE, write_diverged_search, write_wide_search
from trainable.errors import UserError
from trainable.records import EpochRecord


def reported(store: LocalStore, name: str) -> Report:
    return make_report(read_trials(store, name), read_epochs(store, name), name)


def results_of(store: LocalStore, name: str) -> Results:
    table = read_trials(store, name)
    return Results(
        name,
        group_repeats(trials_from_table(table)),
        epochs=lambda: epochs_from_table(read_epochs(store, name)),
        search=read_search(table),
    )


@pytest.fixture(scope="module", params=[{}, CHOICES], ids=["ranges", "choices too"])
def wide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return results_of(write_wide_search(tmp_path_factory.mktemp("store"), request.param), WIDE)


def test_all_figures_can_be_read(wide: Results) -> None:
    for name, figure in draw("all", wide).items():
        assert overlaps(figure) == [], name


def test_a_search_over_ranges_fills_no_grid(wide: Results) -> None:
    drawn = draw("all", wide)
    for name in ("heat_map", "error_by_epochs", "pareto_front"):
        assert name not in drawn
        with pytest.raises(UserError, match="ranges fills no grid"):
            draw(name, wide)


def test_rates_are_distinguished_by_batch_size_and_the_rest_is_named(wide: Results) -> None:
    figure = draw("error_by_lr", wide)["error_by_lr"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["32", "64", "128"]
    assert "points also differ in" in figure.get_suptitle()
    assert figure.axes[0].get_window_extent().width > 0.7 * AXES_WIDTH * figure.dpi


def test_free_is_what_the_choices_do_not_settle(wide: Results) -> None:
    """`momentum` is free though some trials have its default; a batch size that is chosen settles itself."""
    assert wide.search is not None
    assert free_fields(wide.search) == ["lr", "momentum", "weight_decay"]


def test_colours_are_named_no_longer_than_their_bar(wide: Results) -> None:
    figure = draw("parallel_coordinates", wide)["parallel_coordinates"]
    figure.draw_without_rendering()
    _, bar = figure.axes
    label = bar.yaxis.label.get_window_extent()
    assert label.height <= bar.get_window_extent().height


def test_learning_curves_are_those_of_the_best_and_what_confirms_them(tmp_path: Path) -> None:
    store = write_search(tmp_path)
    results = results_of(store, SWEEP)
    assert results.search is not None
    labels = [panel.label for panel in search_curves(results.search, results.epochs())]
    assert len(labels) == MOST_PANELS_OF_SEARCH
    assert [label.split(":")[0] for label in labels[:4]] == [
        "proposal 5",
        "proposal 5 on all training images",
        "proposal 23",
        "proposal 23 on all training images",
    ]
    assert labels[1].endswith(": 3 runs")
    assert labels[-1].startswith("proposal 17 (stopped): base_lr")
    figure = draw("learning_curves", results)["learning_curves"]
    assert "the best 8 of 27 curves" in figure.get_suptitle()


def test_where_all_diverge_a_report_says_so(tmp_path: Path) -> None:
    store = write_diverged_search(tmp_path)
    report = reported(store, "lost")
    assert dict(report.facts)["chosen"] == "none: all 5 trials diverged"
    assert dict(report.facts)["trials"] == "5 proposed: 5 diverged"
    page, text = (path.read_text() for path in write_report(store, "lost", tmp_path / "out"))
    for form in (page, text):
        assert "all 5 trials diverged." in form
        assert "The 0 of" not in form
    assert sweep_table(read_trials(store, "lost"), "markdown", with_mean=False).startswith("Search (random, ")


def test_plurals_are_right(tmp_path: Path) -> None:
    assert title([make_point(epochs=1)]).endswith("cosine, 1 epoch")
    store = write_diverged_search(tmp_path, num_trials=1)
    assert dict(reported(store, "lost").facts)["chosen"] == "none: its only trial diverged"


def test_curves_of_one_epoch_have_one_tick(tmp_path: Path) -> None:
    figure = draw("learning_curves", results_of(write_diverged_search(tmp_path), "lost"))["learning_curves"]
    ticks = figure.axes[-2].xaxis.get_ticklabels()  # the last axes are the legend
    assert [text.get_text() for text in texts_of(figure) if text in ticks] == ["1"]


def test_the_front_is_whole_whether_confirmed_or_not(tmp_path: Path) -> None:
    store = write_search(tmp_path, two_objectives=True, name="two")
    table = read_trials(store, "two")
    search = read_search(table)
    assert search is not None
    number = max(search.confirmed)
    rows = zip(table["purpose"].to_pylist(), table["proposal"].to_pylist(), strict=True)
    kept = [row != ("confirm", number) for row in rows]
    report = make_report(table.filter(kept), read_epochs(store, "two"), "two")
    assert report.search_section is not None
    (front,) = (table for table in report.search_section.tables if table.heading == "Pareto front")
    assert [int(row[0]) for row in front.rows] == [trial.number for trial in search.best]
    errors = {int(row[0]): row[-3] for row in front.rows}
    assert errors.pop(number) == "-"
    assert "-" not in errors.values()
    assert "(-: not confirmed)" in front.note
    assert "one of 2 trials on the Pareto front" in dict(report.facts)["how it was chosen"]


def test_importances_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_search(tmp_path, two_objectives=True, name="two")
    calls: list[int] = []

    def counted(search: SearchResults, epochs: Mapping[str, Sequence[EpochRecord]], index: int) -> Importance | None:
        calls.append(index)
        return importance(search, epochs, index)

    monkeypatch.setattr(parameter_importance, "importance", counted)
    write_report(store, "two", tmp_path / "out")
    assert calls == [0, 1]


def test_what_a_forest_does_not_know_is_not_shown(wide: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameter_importance, "LEAST_EXPLAINED", 1.0)
    with pytest.raises(UserError, match="do not predict the objective"):
        draw("parameter_importance", wide)


def test_figures_of_configurations_are_of_the_search_alone(tmp_path: Path) -> None:
    """What confirms was trained on more images."""
    results = results_of(write_search(tmp_path), SWEEP)
    points = results.points(list, scattered=True)
    assert {point.origin for point in points} == {"tuned (trials of the search)"}
    assert len(points) == 25
    assert results.points(list) == []


def test_before_it_is_over_there_is_only_a_best_so_far(tmp_path: Path) -> None:
    report = reported(write_search(tmp_path, confirm=False), SWEEP)
    assert dict(report.facts)["best so far"].startswith("proposal 5: ")
    assert "chosen" not in dict(report.facts)
    assert "### The best so far" in render_markdown(report)


def test_trials_name_their_proposal(tmp_path: Path) -> None:
    report = reported(write_search(tmp_path), SWEEP)
    trials = report.trials
    assert report.search is not None
    (column,) = (column for column in trials.columns if column.header == "proposal")
    assert column.values.count("5, confirmed") == 3
    assert {"0", "5", "26"} <= set(column.values)
    (steered,) = (column for column in trials.columns if column.header == "holdout error (%)")
    stopped = report.search.stopped[0]
    assert steered.values[column.values.index("5, confirmed")] == "-"
    assert steered.values[column.values.index(str(stopped.number))] == f"{stopped.values[0]:.4g}"


def test_a_value_is_written_with_its_unit() -> None:
    assert Objective("train_seconds").value_text(12.3456) == "training time 12.35 s"
    assert Objective("unknown").value_text(2) == "unknown 2"
