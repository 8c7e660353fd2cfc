"""Figures of many configurations: what is drawn is bounded, and a line says what is not."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from results.figures import (
    error_by_epochs,
    error_by_lr,
    heat_map,
    learning_curves,
    parallel_coordinates,
    pareto_front,
)
from results.figures.figure_data import Results
from results.figures.gallery import DRAWERS, draw, pages
from results.figures.learning_curves import MOST_PANELS, ROWS_PER_PAGE
from results.figures.ranks import ALL_RANKS, Ranks, parse_ranks, shown_words
from results.figures.style import MOST_VECTOR, save
from results.parquet.files import read_epochs, read_trials
from results.parquet.search_results import read_search
from results.parquet.trials import Trial, epochs_from_table, group_repeats, trials_from_table
from results.report.figures import inline_svg
from tests.conftest import Cli
from tests.results_tests.figure_samples import make_point
from tests.results_tests.result_samples import make_config, make_epoch, make_trial
from tests.results_tests.searched_stores import SWEEP, write_search
from trainable.errors import UserError

NUM_MANY = 60


def many(num: int = NUM_MANY, curves: Ranks | None = None) -> Results:
    """Configurations of rising lr and falling error, of one epoch each."""
    trials: list[Trial] = [
        make_trial(make_config(epochs=1, lr=round(0.01 * (n + 1), 2)), 90.0 - n) for n in range(num)
    ]
    records = {trial.row.trial_key: [make_epoch(1, trial.row.test_error_percent)] for trial in trials}
    return Results("mine", group_repeats(trials), epochs=lambda: records, curves=curves)


def searched(folder: Path) -> Results:
    """A search of 25 trials."""
    store = write_search(folder)
    table = read_trials(store, SWEEP)
    records = epochs_from_table(read_epochs(store, SWEEP))
    return Results(SWEEP, group_repeats(trials_from_table(table)), epochs=lambda: records, search=read_search(table))


def labels(results: Results) -> list[str]:
    """The labels of the panels of learning curves, or those in the legend of a panel that is shared."""
    found = [axes for figure in draw("learning_curves", results).values() for axes in figure.axes]
    shared = [text.get_text() for axes in found if (legend := axes.get_legend()) for text in legend.get_texts()]
    return shared or [title for axes in found if (title := axes.get_title(loc="left"))]


def test_curves_are_those_of_the_best_and_a_line_says_so() -> None:
    results = many()
    figures = draw("learning_curves", results)
    assert len(figures) == MOST_PANELS // ROWS_PER_PAGE == 6
    words = "the best 24 of 60 configurations; plot --curves all draws all"
    assert results.notes == [f"learning_curves: {words}"]
    assert all(words in figure.get_suptitle().replace("\n", " ") for figure in figures.values())
    assert labels(many()) == [f"batch size 128, lr {0.01 * (n + 1):.4g}" for n in range(36, 60)]


@pytest.mark.parametrize(
    ("text", "lrs", "note"),
    [
        ("1", ["0.6"], "the best 1 of 60 configurations"),
        ("59-100", ["0.01", "0.02"], "ranks 59 to 60 of 60 configurations, the best first"),
        ("all", [f"{0.01 * (n + 1):.4g}" for n in range(60)], ""),
        ("60", [f"{0.01 * (n + 1):.4g}" for n in range(60)], ""),
    ],
)
def test_others_can_be_chosen(text: str, lrs: list[str], note: str) -> None:
    results = many(curves=parse_ranks(text))
    assert [label.rpartition(" ")[2] for label in labels(results)] == lrs
    assert [words.partition(";")[0] for words in results.notes] == [f"learning_curves: {note}"] * bool(note)


def test_ranks_that_nothing_has_are_refused() -> None:
    with pytest.raises(UserError, match="--curves 61-70: there are only 60 configurations"):
        draw("learning_curves", many(curves=Ranks(61, 70)))


@pytest.mark.parametrize("text", ["", "0", "-3", "5-4", "0-4", "best", "1.5", "9" * 40, "1-2-3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--curves "):
        parse_ranks(text)


def test_words_say_what_is_shown() -> None:
    assert shown_words(Ranks(1, 8), 8, "panels") == shown_words(ALL_RANKS, 8, "panels") == ""
    assert shown_words(Ranks(1, 8), 9, "panels") == "the best 8 of 9 panels"
    assert shown_words(Ranks(3), 9, "panels") == "ranks 3 to 9 of 9 panels, the best first"


def test_a_page_is_drawn_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def draw_page(panels: object, title: str) -> Figure:
        drawn.append(title)
        return Figure()

    monkeypatch.setattr(learning_curves, "_draw_page", draw_page)
    waiting = pages("learning_curves", many(curves=ALL_RANKS))
    next(waiting)
    assert len(drawn) == 1
    assert len(list(waiting)) == 14


def test_curves_of_a_search_can_be_chosen(tmp_path: Path) -> None:
    results = searched(tmp_path)
    figure = draw("learning_curves", results)["learning_curves"]
    assert "the best 8 of" in figure.get_suptitle().replace("\n", " ")
    (note,) = results.notes
    assert note.startswith("learning_curves: the best 8 of ")


def test_lines_against_lr_are_bounded() -> None:
    points = [
        make_point(lr=0.1 * (n + 1) * factor, batch_size=n + 1, errors=(50.0 - n / 10,))
        for n in range(100)
        for factor in (1, 2)
    ]
    lines = error_by_lr.best_lines(error_by_lr.error_by_lr(points))
    assert [line.label for line in lines] == [str(n + 1) for n in range(100 - error_by_lr.MOST_LINES, 100)]


def test_bars_are_bounded() -> None:
    points = [make_point(lr=0.001 * n, batch_size=n, epochs=n, errors=(100.0 / n,)) for n in range(1, 201)]
    panels = error_by_epochs.error_by_epochs([p for p in points if p.lr])
    assert panels.num_points == 200
    assert [point.batch_size for point in panels.points] == list(range(201 - error_by_epochs.MOST_BARS, 201))


def test_maps_are_bounded_and_those_left_out_are_counted() -> None:
    points = [make_point(epochs=n + 1) for n in range(20)]
    assert (len(heat_map.heat_maps(points)), heat_map.left_out(points)) == (heat_map.MOST_MAPS, 12)
    wide = [make_point(batch_size=n + 1) for n in range(heat_map.MOST_CELLS + 1)]
    assert (heat_map.heat_maps(wide), heat_map.left_out(wide)) == ([], 1)


def test_a_map_that_is_not_drawn_is_told() -> None:
    trials = [
        make_trial(make_config(lr=round(0.01 * (n + 1), 2), weight_decay=decay), 90.0)
        for n in range(NUM_MANY)
        for decay in (0.0, 0.1)
    ]
    results = Results("mine", group_repeats(trials))
    assert list(DRAWERS["heat_map"](results)) == []
    assert results.notes == ["heat_map is left out: at most 8 maps are drawn, each of at most 24 columns"]


def test_lines_of_parallel_coordinates_are_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_coordinates, "MOST_LINES", 3)
    results = searched(tmp_path)
    assert results.search is not None
    found = parallel_coordinates.parallel_coordinates(results.search)
    assert found is not None
    assert len(found.lines) == 3 < found.num_trials
    assert found.best in found.lines
    draw("parallel_coordinates", results)
    assert results.notes == [
        f"parallel_coordinates: the best 3 of {found.num_trials} trials",
        "parallel_coordinates: 1 trial without a value",
    ]


def test_many_marks_are_pixels(tmp_path: Path) -> None:
    def written(num: int) -> bytes:
        points = [make_point(hours=1 + n / 100, errors=(10 + (n * 7 % 13) / 100,)) for n in range(num)]
        figure = pareto_front.draw_pareto_front(pareto_front.clouds(points), "a title")
        assert ("data:image/png" in inline_svg("one", figure)) == (num > MOST_VECTOR)
        return save(figure, tmp_path / str(num))[0].read_bytes()

    assert b"data:image/png" in written(MOST_VECTOR + 1)
    assert len(written(20 * MOST_VECTOR)) < len(written(MOST_VECTOR))


def test_the_command_says_what_it_leaves_out(cli: Cli) -> None:
    refused = cli("plot", "published", "--curves", "few")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--curves few: write all" in refused.stderr
