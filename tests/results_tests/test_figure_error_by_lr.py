"""Test error against learning rate: what is drawn, and that it is drawn."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from results.figures.error_by_lr import Line, draw_error_by_lr, error_by_lr, title
from results.figures.style import save
from results.trials import Cell, group_repeats
from tests.results_tests.result_samples import make_config, make_trial


def cells_of(*runs: tuple[Mapping[str, object], float | None]) -> list[Cell]:
    status = {True: "DIVERGED", False: "COMPLETE"}
    return group_repeats(
        make_trial(make_config(**fields), error, status=status[error is None]) for fields, error in runs
    )


def test_a_line_for_every_batch_size_smallest_first() -> None:
    lines = error_by_lr(
        cells_of(
            ({"batch_size": 256, "lr": 0.2}, 8.0),
            ({"batch_size": 64, "lr": 0.4}, 7.0),
            ({"batch_size": 64, "lr": 0.1}, 9.0),
        )
    )
    assert lines == [
        Line("64", [0.1, 0.4], [9.0, 7.0], [(0.0, 0.0), (0.0, 0.0)]),
        Line("256", [0.2], [8.0], [(0.0, 0.0)]),
    ]


def test_repeats_give_a_mean_and_a_span() -> None:
    runs = [({"lr": 0.1, "seed": seed}, error) for seed, error in enumerate((8.0, 9.0, 13.0))]
    (line,) = error_by_lr(cells_of(*runs))
    assert line.errors == [10.0]
    assert line.spreads == [(2.0, 3.0)]


def test_trials_without_an_error_are_no_points() -> None:
    lines = error_by_lr(
        cells_of(
            ({"batch_size": 64, "lr": 0.1}, 9.0),
            ({"batch_size": 64, "lr": 9.0}, None),
            ({"batch_size": 128, "lr": 9.0}, None),
        )
    )
    assert [(line.label, line.lrs) for line in lines] == [("64", [0.1])]


@pytest.mark.parametrize(("field", "values"), [("model", ("resnet_20", "resnet_110")), ("epochs", (10, 20))])
def test_models_and_lengths_are_lines_of_their_own(field: str, values: tuple[object, object]) -> None:
    lines = error_by_lr(cells_of(*(({field: value, "lr": 0.1}, 9.0) for value in values)))
    assert len(lines) == 2
    for line, value in zip(lines, values, strict=True):
        assert str(value) in line.label
        assert line.label.startswith("128")


def test_any_other_field_that_differs_makes_a_line_of_its_own() -> None:
    lines = error_by_lr(
        cells_of(*(({"weight_decay": decay, "lr": lr}, 9.0) for decay in (0.0, 1e-4) for lr in (0.1, 0.2)))
    )
    assert [line.lrs for line in lines] == [[0.1, 0.2], [0.1, 0.2]]
    assert len({line.label for line in lines}) == 2


def test_the_title_names_what_all_have_in_common() -> None:
    assert title("mine", cells_of(({"epochs": 5}, 9.0))) == "mine, ResNet-preact-20, cifar10, 5 epochs"
    several = cells_of(({"epochs": 5}, 9.0), ({"epochs": 6, "model": "resnet_20"}, 9.0))
    assert title("mine", several) == "mine, cifar10"


NARROW = [Line("64", [0.1, 0.4], [9.0, 7.0], [(0.5, 1.0), (0.0, 0.0)]), Line("256", [0.2], [8.0], [(0.0, 0.0)])]
WIDE = [Line("64", [0.1, 0.4], [90.0, 7.0], [(0.0, 0.0), (0.0, 0.0)])]


@pytest.mark.parametrize(
    ("lines", "scale"),
    [(NARROW, "linear"), (WIDE, "log"), ([Line("64", [0.1, 0.2], [0.0, 90.0], [(0.0, 0.0)] * 2)], "linear")],
)
def test_the_error_is_logarithmic_where_it_spans_much(lines: list[Line], scale: str) -> None:
    (axes,) = draw_error_by_lr(lines, "title").axes
    assert axes.get_xscale() == "log"
    assert axes.get_yscale() == scale


def test_title_labels_and_legend() -> None:
    (axes,) = draw_error_by_lr(NARROW, "a title").axes
    legend = axes.get_legend()
    assert legend is not None
    assert axes.get_title() == "a title"
    assert [text.get_text() for text in legend.get_texts()] == ["64", "256"]
    assert axes.get_xlabel()
    assert "%" in axes.get_ylabel()


def test_a_vector_and_a_pixel_image_are_written(tmp_path: Path) -> None:
    svg, png = save(draw_error_by_lr(NARROW, "title"), tmp_path / "figures" / "error.by_lr")
    assert [svg.name, png.name] == ["error.by_lr.svg", "error.by_lr.png"]
    assert b"<svg" in svg.read_bytes()[:1000]
    assert png.read_bytes().startswith(b"\x89PNG\r\n")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(draw_error_by_lr(NARROW, "title"), tmp_path / name)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_a_sweep_in_which_everything_diverged_is_drawn_without_complaint(tmp_path: Path) -> None:
    save(draw_error_by_lr([], "title"), tmp_path / "empty")
    assert (tmp_path / "empty.svg").exists()
