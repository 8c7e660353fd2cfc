"""Figures of spaces that are not batch size x lr: what is on each of them, against what was worked out by hand."""

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from results.figures import error_by_epochs, error_by_lr, parallel_coordinates
from results.figures.figure_data import Results
from results.figures.gallery import draw, pages
from results.figures.heat_map import heat_maps, map_axes
from tests.results_tests import space_samples
from tests.results_tests.figure_samples import make_point, overlaps
from trainable.errors import UserError
from trainable.records import Status

NO_GRID = "a search over ranges fills no grid and is not judged by test error (see error_by_lr)"
GENERATION = "a trial of a population is only one generation of a training"
OF_CONFIGURATIONS = ("error_by_lr", "error_by_epochs", "heat_map", "pareto_front")


def series(axes: Axes) -> list[list[list[float]]]:
    """The points of each line with error bars, without those of bars and edges."""
    lines = [container.lines[0] for container in axes.containers if isinstance(container, ErrorbarContainer)]
    return [np.asarray(line.get_xydata()).round(6).tolist() for line in lines]


def crosses(axes: Axes) -> list[float]:
    """The x of each cross at the upper edge."""
    return [
        float(x)
        for line in axes.get_lines()
        if line.get_marker() == "x"
        for x, y in np.asarray(line.get_xydata())
        if y > 0.8
    ]


def legend(axes: Axes) -> tuple[str, list[str]]:
    found = axes.get_legend()
    assert found is not None
    return found.get_title().get_text(), [text.get_text() for text in found.get_texts()]


def refusals(results: Results, names: tuple[str, ...]) -> dict[str, str]:
    """Figure -> why it would show nothing."""
    found = {}
    for name in names:
        with pytest.raises(UserError) as refused:
            draw(name, results)
        found[name] = str(refused.value).partition("would be empty: ")[2]
    return found


def test_errors_of_a_grid_of_lr_and_weight_decay() -> None:
    results = space_samples.grid()
    figure = draw("error_by_lr", results)["error_by_lr"]
    (axes,) = figure.axes
    assert series(axes) == [
        [[0.1, 8.0], [0.2, 7.75]],
        [[0.05, 9.25], [0.1, 9.0], [0.2, 8.5]],
        [[0.05, 10.25], [0.1, 10.0]],
    ]
    assert (axes.get_xscale(), list(axes.get_xticks())) == ("log", [0.05, 0.1, 0.2])
    assert legend(axes) == ("weight decay", ["1e-05", "0.0001", "0.001", "diverged or failed"])
    assert crosses(axes) == [0.2, 0.2]
    assert figure.get_suptitle().split("\n") == [
        "decays, ResNet-preact-20, cifar10, cosine, 20 epochs, batch size 128",
        "configurations without an error: 1 incomplete",
        "means of 1 to 2 runs; error bars: from the lowest to the highest",
    ]
    assert results.notes == ["error_by_lr: configurations without an error: 1 incomplete"]
    assert overlaps(figure) == []


def test_one_map_of_a_grid_of_lr_and_weight_decay() -> None:
    results = space_samples.grid()
    figure = draw("heat_map", results)["heat_map"]
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.05", "0.1", "0.2"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.001", "0.0001", "1e-05"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("initial learning rate", "weight decay")
    cells = ["10.25", "10.00", "×", "9.25", "9.00", "8.50×", "–", "8.00", "7.75"]
    assert [text.get_text() for text in axes.texts] == cells
    assert [text.get_text() for found in figure.legends for text in found.get_texts()] == [
        "–  no run finished",
        "×  runs diverged or failed",
    ]
    assert (results.notes, overlaps(figure)) == ([], [])


def test_published_rows_have_maps_of_their_own_fields() -> None:
    figure = draw("heat_map", dataclasses.replace(space_samples.grid(), published=True))["heat_map"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["batch size", "weight decay"]
    assert figure.get_suptitle().split("\n")[1:] == [
        "published, ResNet-preact-20, cifar10, cosine, 200 epochs",
        "decays, ResNet-preact-20, cifar10, cosine, 20 epochs, batch size 128",
        "means of 1 to 2 runs",
    ]


def test_what_a_grid_of_lr_and_weight_decay_cannot_show() -> None:
    assert refusals(space_samples.grid(), ("error_by_epochs", "pareto_front")) == {
        "error_by_epochs": "the number of epochs does not vary",
        "pareto_front": "every run costs the same, whatever its lr, weight_decay",
    }


def test_errors_of_a_search_over_six_fields() -> None:
    """The optimiser explains most, so each has a panel; three trials have no error."""
    figure = draw("error_by_lr", results := space_samples.six_fields())["error_by_lr"]
    assert [axes.get_title() for axes in figure.axes] == ["SGD", "Muon", "AdamW"]
    assert sum(len(line) for axes in figure.axes for line in series(axes)) == 21
    assert sum(len(crosses(axes)) for axes in figure.axes) == 3
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    means = [np.mean([error for line in series(axes) for _, error in line]) for axes in figure.axes]
    assert np.diff(means).round() == pytest.approx([2, 4])
    assert "points also differ in batch_size, schedule, nesterov, ghost_batch_size" in figure.get_suptitle()
    assert (results.notes, overlaps(figure)) == ([], [])


def test_coordinates_of_a_search_over_six_fields() -> None:
    results = space_samples.six_fields()
    assert results.search is not None
    found = parallel_coordinates.parallel_coordinates(results.search)
    assert found is not None
    assert (found.num_trials, len(found.lines), len(found.lost)) == (21, 21, 3)
    ticks = {scale.name: [text for _, text in scale.ticks] for scale in found.scales[1:-1]}
    assert ticks == {
        "optimizer": ["SGD", "Muon", "AdamW"],
        "schedule": ["linear", "cosine"],
        "batch_size": ["64", "128", "256"],
        "ghost_batch_size": ["16", "64", "whole batch"],
        "nesterov": ["false", "true"],
    }
    assert found.scales[0].ticks[0] == (0.0, "0.001")
    figure = draw("parallel_coordinates", results)["parallel_coordinates"]
    assert [text.get_text() for found in figure.legends for text in found.get_texts()] == [
        "proposal 6: best",
        "diverged or failed",
    ]
    assert overlaps(figure) == []


def test_what_a_search_over_six_fields_cannot_show() -> None:
    results = space_samples.six_fields()
    assert refusals(results, OF_CONFIGURATIONS[1:]) == dict.fromkeys(OF_CONFIGURATIONS[1:], NO_GRID)
    assert results.notes == [f"{name} is left out: {NO_GRID}" for name in OF_CONFIGURATIONS[1:]]


@pytest.mark.parametrize(
    ("results", "num_epochs", "lost"),
    [(space_samples.six_fields(), 21 * 9 + 3, [10, 56, 120]), (space_samples.population(), 11, [11])],
    ids=["search", "population"],
)
def test_the_best_by_epochs_marks_what_was_lost(results: Results, num_epochs: int, lost: list[int]) -> None:
    figure = draw("best_by_epochs", results)["best_by_epochs"]
    (axes,) = figure.axes
    assert crosses(axes) == lost
    labels = [text.get_text() for found in figure.legends for text in found.get_texts()]
    assert labels[0].endswith(f", {num_epochs} epochs")
    assert labels[1:] == ["diverged or failed"]
    assert overlaps(figure) == []


def test_figures_of_a_population() -> None:
    results = space_samples.population()
    names = ("error_by_lr", "error_by_epochs", "heat_map", "pareto_front", "parameter_importance")
    assert refusals(results, names) == dict.fromkeys(names, GENERATION)
    assert results.search is not None
    found = parallel_coordinates.parallel_coordinates(results.search)
    assert found is not None and found.best is not None
    assert ([scale.name for scale in found.scales], found.best.number) == (["lr", "momentum", "holdout error (%)"], 4)
    assert [len(found.lines), len(found.lost)] == [5, 1]
    assert [name for name, _ in pages("parallel_coordinates", results)] == ["parallel_coordinates"]


def test_words_are_categories_on_the_axis() -> None:
    points = [
        make_point(schedule=name, epochs=n, errors=(n / 10,)) for n in (10, 20) for name in ("linear", "cosine")
    ]
    axes = map_axes(points)
    assert axes is not None
    (heat_map,) = heat_maps(points, axes)
    assert (heat_map.columns, heat_map.rows) == ([10, 20], ["linear", "cosine"])


def test_an_optimizer_with_an_lr_of_its_own_is_a_category() -> None:
    points = [
        make_point(lr=lr, other=(("optimizer", name),), errors=(error,))
        for name, lr, error in (("sgd", 0.1, 9.0), ("adamw", 0.001, 8.0), ("lars", 0.01, 7.0))
    ]
    (line,) = error_by_lr.error_by_lr(points)
    assert [point.value("optimizer") for point in line.points] == ["sgd", "adamw", "lars"]
    figure = error_by_lr.draw_error_by_lr([line], "title")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "optimizer (with it: initial learning rate)"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["SGD", "AdamW", "LARS"]
    assert series(axes) == [[[0.0, 9.0], [1.0, 8.0], [2.0, 7.0]]]
    assert axes.containers[0].lines[0].get_linestyle() == "None"  # type: ignore[attr-defined]


def test_zero_stands_beside_a_geometric_series() -> None:
    points = [make_point(other=(("weight_decay", value),), errors=(9.0,)) for value in (1e-3, 0.0, 1e-5, 1e-4)]
    (axes,) = error_by_lr.draw_error_by_lr(error_by_lr.error_by_lr(points), "title").axes
    assert axes.get_xscale() == "symlog"
    assert list(axes.get_xticks()) == [0.0, 1e-5, 1e-4, 1e-3]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1e-05", "0.0001", "0.001"]


def test_values_that_form_a_grid_are_all_named() -> None:
    points = [
        make_point(lr=lr, other=(("momentum", momentum), ("weight_decay", decay)), defaults=frozenset({"momentum"}))
        for lr in (0.1, 0.2)
        for momentum in (0.95, 0.9)
        for decay in (1e-3, 1e-4)
    ]
    assert [line.label for line in error_by_lr.error_by_lr(points)] == [
        f"momentum {momentum}, weight decay {decay}" for momentum in (0.9, 0.95) for decay in (0.0001, 0.001)
    ]


def test_a_linear_rule_has_no_map_of_its_diagonal() -> None:
    points = [make_point(batch_size=size, lr=size / 1280, epochs=n) for size in (64, 128) for n in (10, 20)]
    axes = map_axes(points)
    assert axes is not None
    assert ((axes.rows.name, axes.columns.name), axes.panels) == (("batch_size", "epochs"), ())
    (heat_map,) = heat_maps(points, axes)
    assert len(heat_map.errors) == 4
    assert [line.label for line in error_by_lr.error_by_lr(points)] == ["10", "20"]
    assert map_axes(points[::2]) is None


def test_bars_are_ordered_by_numbers() -> None:
    points = [
        make_point(batch_size=size, epochs=n, other=(("weight_decay", decay),))
        for size in (64, 128)
        for n in (10, 20)
        for decay in (1e-3, 1e-5, 1e-4)
    ]
    labels = [series.label for series in error_by_epochs.error_by_epochs(points).by_batch_size]
    assert labels[:3] == ["10, weight decay 1e-05", "10, weight decay 0.0001", "10, weight decay 0.001"]


def test_bars_are_drawn_once_and_what_has_another_lr_is_counted() -> None:
    rule = [make_point(batch_size=size, lr=size / 1280, epochs=n) for size in (64, 128) for n in (10, 20)]
    others = [make_point(batch_size=64, lr=0.051, epochs=10), make_point(batch_size=64, lr=0.9, epochs=10)]
    lost = make_point(batch_size=256, lr=0.2, epochs=10, errors=(), without_error=(Status.DIVERGED,))
    panels = error_by_epochs.error_by_epochs([*rule, *others, lost])
    assert (panels.points, panels.num_points, panels.num_off) == ([*rule, lost], 4, 2)
    figure = error_by_epochs.draw_error_by_epochs(panels, "title")
    assert [crosses(axes) for axes in figure.axes[:2]] == [[2.0], [pytest.approx(0.28)]]
    assert "×: runs diverged or failed" in figure.get_suptitle()
    assert [len(axes.patches) for axes in figure.axes[:2]] == [4, 4]
