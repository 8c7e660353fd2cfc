"""Test error against learning rate: what is drawn, and that it is drawn."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from results.figures.error_by_lr import Line, draw_error_by_lr, error_by_lr, line_axes, published
from results.figures.points import Point, Source, error_bars, sweep_points
from results.figures.style import image, save
from results.parquet.trials import group_repeats
from tests.results_tests.figure_samples import make_point, overlaps
from tests.results_tests.result_samples import make_config, make_trial


def points_of(*runs: tuple[Mapping[str, object], float | None]) -> list[Point]:
    status = {True: "DIVERGED", False: "COMPLETE"}
    trials = (make_trial(make_config(**fields), error, status=status[error is None]) for fields, error in runs)
    return sweep_points(group_repeats(trials), "mine")


def make_line(label: str, lrs: list[float], errors: list[float]) -> Line:
    return Line(label, [make_point(lr=lr, errors=(error,)) for lr, error in zip(lrs, errors, strict=True)])


def drawn(line: Line) -> tuple[str, list[float], list[float]]:
    return line.label, [point.lr for point in line.points], [point.error for point in line.points]


def test_a_line_for_every_batch_size_smallest_first() -> None:
    lines = error_by_lr(
        points_of(
            ({"batch_size": 256, "lr": 0.2}, 8.0),
            ({"batch_size": 64, "lr": 0.4}, 7.0),
            ({"batch_size": 64, "lr": 0.1}, 9.0),
        )
    )
    assert [drawn(line) for line in lines] == [("64", [0.1, 0.4], [9.0, 7.0]), ("256", [0.2], [8.0])]


def test_repeats_give_a_mean_and_a_span() -> None:
    runs = [({"lr": 0.1, "seed": seed}, error) for seed, error in enumerate((8.0, 9.0, 13.0))]
    (line,) = error_by_lr(points_of(*runs))
    assert drawn(line)[2] == [10.0]
    assert error_bars(line.points) == [(2.0,), (3.0,)]
    assert "means of 3 runs" in draw_error_by_lr([line], "title").get_suptitle()


def test_trials_without_an_error_are_marked_at_the_edge() -> None:
    lines = error_by_lr(
        points_of(
            ({"batch_size": 64, "lr": 0.1}, 9.0),
            ({"batch_size": 64, "lr": 9.0}, None),
            ({"batch_size": 128, "lr": 9.0}, None),
        )
    )
    assert [drawn(line) for line in lines] == [("64", [0.1], [9.0]), ("128", [], [])]
    assert [[point.lr for point in line.lost] for line in lines] == [[9.0], [9.0]]
    (axes,) = draw_error_by_lr(lines, "title").axes
    crosses = np.array([line.get_xydata() for line in axes.get_lines() if line.get_marker() == "x"])
    assert crosses[:, 0, 0].tolist() == [9.0, 9.0]
    assert len({*crosses[:, 0, 1]}) == 2
    assert [text.get_text() for text in legend_of(axes)] == ["64", "128", "diverged or failed"]


@pytest.mark.parametrize(
    ("field", "values", "title", "labels"),
    [
        ("model", ("resnet_20", "resnet_110"), "model", ["ResNet-20", "ResNet-110"]),
        ("epochs", (20, 10), "number of epochs", ["10", "20"]),
        ("weight_decay", (1e-3, 1e-4), "weight decay", ["0.0001", "0.001"]),
        ("schedule", ("linear", "cosine"), "schedule", ["linear", "cosine"]),
    ],
)
def test_any_field_that_differs_makes_lines(
    field: str, values: tuple[object, object], title: str, labels: list[str]
) -> None:
    lines = error_by_lr(points_of(*(({field: value, "lr": lr}, 9.0) for value in values for lr in (0.1, 0.2))))
    assert len(lines) == 2
    (axes,) = draw_error_by_lr(lines, "title").axes
    legend = axes.get_legend()
    assert legend is not None
    assert (legend.get_title().get_text(), [line.label for line in lines]) == (title, labels)


def test_any_other_field_that_differs_makes_a_line_of_its_own() -> None:
    lines = error_by_lr(
        points_of(*(({"weight_decay": decay, "lr": lr}, 9.0) for decay in (0.0, 1e-4) for lr in (0.1, 0.2)))
    )
    assert [drawn(line)[1] for line in lines] == [[0.1, 0.2], [0.1, 0.2]]
    assert len({line.label for line in lines}) == 2


def test_the_published_lines() -> None:
    lines = {line.label: line for line in error_by_lr(published())}
    assert list(lines) == ["32", "64", "128", "256", "512", "1024", "2048", "4096"]
    assert drawn(lines["4096"]) == ("4096", [0.8, 1.6, 3.2], [10.71, 10.32, 10.57])
    assert drawn(lines["32"]) == ("32", [0.025, 0.05, 0.1, 0.2], [8.0, 7.45, 7.25, 7.64])
    assert sum(len(line.points) for line in lines.values()) == 39


def test_fields_that_are_free_make_no_lines() -> None:
    points = [
        make_point(lr=lr, epochs=epochs, schedule=schedule, other=(("momentum", momentum),))
        for lr, epochs, schedule, momentum in [
            (0.1, 2, "cosine", 0.9),
            (0.2, 1, "constant", 0.5),
            (0.3, 3, "cosine", 0.7),
        ]
    ]
    assert len(error_by_lr(points)) == 3
    (line,) = error_by_lr(points, line_axes(points, ["lr", "epochs", "schedule", "momentum"]))
    assert drawn(line)[:2] == ("128", [0.1, 0.2, pytest.approx(0.3)])
    lines = error_by_lr(points, line_axes(points, ["epochs", "momentum"]))
    assert [line.label for line in lines] == ["cosine", "constant"]


def test_points_are_joined_only_where_they_differ_in_lr_alone() -> None:
    lines = error_by_lr(RANDOM)
    for free, style in ((["lr"], "-"), (["lr", "momentum"], "None")):
        (axes,) = draw_error_by_lr(lines, "title", line_axes(RANDOM, free)).axes
        assert axes.containers[0].lines[0].get_linestyle() == style  # type: ignore[attr-defined]


def test_rates_drawn_from_a_range_are_not_what_the_axis_is_labelled_with() -> None:
    rates = [0.086194, 0.091892, 0.0953]
    points = [make_point(lr=lr) for lr in rates]
    (axes,) = draw_error_by_lr(error_by_lr(points), "title", line_axes(points, ["lr"])).axes
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(shown) >= 2
    assert not set(shown) & set(rates)


NARROW = [
    Line("64", [make_point(lr=0.1, errors=(8.5, 8.5, 10.0)), make_point(lr=0.4, errors=(7.0,))]),
    make_line("256", [0.2], [8.0]),
]
WIDE = [make_line("64", [0.1, 0.4], [90.0, 7.0])]


@pytest.mark.parametrize(
    ("lines", "scale"),
    [(NARROW, "linear"), (WIDE, "log"), ([make_line("64", [0.1, 0.2], [0.0, 90.0])], "linear")],
)
def test_the_error_is_logarithmic_where_it_spans_much(lines: list[Line], scale: str) -> None:
    (axes,) = draw_error_by_lr(lines, "title").axes
    assert axes.get_xscale() == "log"
    assert axes.get_yscale() == scale


def test_title_labels_and_legend() -> None:
    figure = draw_error_by_lr(NARROW, "a title")
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert figure.get_suptitle() == "a title\nmeans of 1 to 3 runs; error bars: from the lowest to the highest"
    assert [text.get_text() for text in legend.get_texts()] == ["64", "256"]
    assert axes.get_xlabel()
    assert "%" in axes.get_ylabel()


def test_the_published_axis_has_the_ticks_of_the_original() -> None:
    """`change_lr` of the seed: 0.025 to 3.2, and a linear error."""
    (axes,) = draw_error_by_lr(error_by_lr(published()), "title").axes
    assert list(axes.get_xticks()) == [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert axes.get_yscale() == "linear"


def marks(axes: Axes) -> list[tuple[object, object, object]]:
    """(colour, marker, marker's face) of every line."""
    lines = [container.lines[0] for container in axes.containers if isinstance(container, ErrorbarContainer)]
    return [(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in lines]


def test_lines_are_distinguishable_without_colour() -> None:
    (axes,) = draw_error_by_lr(error_by_lr(published()), "title").axes
    assert len({marker for _, marker, _ in marks(axes)}) == 8


def test_one_batch_size_looks_alike_in_both_sources_hollow_where_published() -> None:
    own = [make_point(), make_point(batch_size=16, lr=0.2), make_point(batch_size=16)]
    both = [*own, make_point(source=Source.PUBLISHED, origin="published")]
    (axes,) = draw_error_by_lr(error_by_lr(both), "title").axes
    sixteen, theirs, ours = marks(axes)
    assert theirs[:2] == ours[:2] != sixteen[:2]
    assert theirs[2] == "white"
    assert ours[2] == ours[0]


BOTH = [*published(), *(make_point(batch_size=2**n, lr=0.1 * 2**k) for n in range(3, 13) for k in range(-5, 6))]
WORDY = [
    make_point(lr=0.1 * n, other=tuple((f"a_field_with_a_name_{k}", f"0.{n}") for k in range(6)))
    for n in range(1, 30)
]
RANDOM = [make_point(lr=0.001 * 1.17**n, errors=(7.0 * 1.05**n,)) for n in range(50)]


@pytest.mark.parametrize(
    "points",
    [published(), BOTH, RANDOM, [make_point()], WORDY],
    ids=["published", "both", "random", "one", "wordy"],
)
def test_nothing_overlaps(points: list[Point]) -> None:
    assert overlaps(draw_error_by_lr(error_by_lr(points), "a title\nin two lines")) == []


def test_a_vector_and_a_pixel_image_are_written(tmp_path: Path) -> None:
    svg, png = save(draw_error_by_lr(NARROW, "title"), tmp_path / "figures" / "error.by_lr")
    assert [svg.name, png.name] == ["error.by_lr.svg", "error.by_lr.png"]
    assert b"<svg" in svg.read_bytes()[:1000]
    assert png.read_bytes().startswith(b"\x89PNG\r\n")


def test_the_last_bit_of_a_position_does_not_show() -> None:
    """The layout may differ in it between processes."""
    images = []
    for left in (0.1, math.nextafter(0.1, 1)):
        figure = Figure()
        for bottom in (0.1, 0.6):
            figure.add_axes((left, bottom, 0.8, 0.3)).plot([1, 2])
        images.append(image(figure, "svg"))
    assert images[0] == images[1]
    assert images[0].count(b"url(#clip1)") == 1


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(draw_error_by_lr(NARROW, "title"), tmp_path / name)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_each_optimizer_has_a_panel_with_learning_rates_of_its_own() -> None:
    """LARS has rates 100 times smaller; a batch size has one look in both panels, and one legend entry."""
    own = points_of(
        *(({"batch_size": size, "lr": lr}, 9.0) for size in (64, 128) for lr in (0.8, 1.6)),
        *(({"batch_size": size, "lr": lr, "optimizer": "lars"}, 8.0) for size in (64, 128) for lr in (0.01, 0.02)),
    )
    lines = error_by_lr(own)
    assert [(line.panel, line.label) for line in lines] == [
        *(("SGD", "64"), ("LARS", "64")),
        *(("SGD", "128"), ("LARS", "128")),
    ]
    figure = draw_error_by_lr(lines, "title")
    sgd, lars = figure.axes
    assert (sgd.get_title(), lars.get_title()) == ("SGD", "LARS")
    assert sgd.get_xlim()[0] > 0.1 > lars.get_xlim()[1]
    assert sgd.get_ylim() == lars.get_ylim()
    assert [text.get_text() for text in legend_of(lars)] == ["64", "128"]
    assert overlaps(figure) == []


def legend_of(axes: Axes) -> list[Text]:
    legend = axes.get_legend()
    assert legend is not None
    return legend.get_texts()


def test_published_rows_are_those_of_the_sweeps_optimizers() -> None:
    assert {point.optimizer for point in published()} == {""}
    assert {point.optimizer for point in published({"sgd", "lars"})} == {"SGD", "LARS"}
    (own,) = points_of(({"lr": 0.01, "optimizer": "lars"}, 9.0))
    lars = published({"lars"})
    assert {point.optimizer for point in (own, *lars)} == {""}
    assert max(point.lr for point in lars) == 0.04
    assert published({"adamw"}) == []
