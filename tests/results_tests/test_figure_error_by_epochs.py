"""Grouped bars under the linear rule."""

import pytest

from results.figures.error_by_epochs import (
    bar_positions,
    draw_error_by_epochs,
    error_by_epochs,
    linear_rule,
    published,
)
from results.figures.points import Point, Source, error_bars, title
from tests.results_tests.figure_samples import make_point, overlaps, texts_of

BATCH_SIZES = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]


def test_the_published_bars() -> None:
    panels = error_by_epochs(published())
    assert panels.base_lrs == [0.1]
    assert [series.label for series in panels.by_batch_size] == ["200", "400", "800"]
    assert [series.label for series in panels.by_epochs] == [str(size) for size in BATCH_SIZES]
    for series in panels.by_batch_size:
        assert series.groups == BATCH_SIZES
    for series in panels.by_epochs:
        assert series.groups == [200, 400, 800]
    assert [point.error for point in panels.by_batch_size[0].points[:2]] == [7.70, 7.75]
    assert (panels.by_batch_size[2].groups[-1], panels.by_batch_size[2].points[-1].errors) == (4096, (8.14,))
    assert [point.error for point in panels.by_epochs[-1].points] == [10.57, 8.97, 8.14]


def test_the_rule_that_holds_most_points_is_taken() -> None:
    grid = [make_point(batch_size=size, lr=lr) for size in (64, 128, 256) for lr in (0.1, 0.2, 0.4)]
    assert [(p.batch_size, p.lr) for p in linear_rule(grid)] == [(64, 0.1), (128, 0.2), (256, 0.4)]


def test_among_equal_rules_the_published_one() -> None:
    assert [p.lr for p in linear_rule([make_point(lr=lr) for lr in (0.01, 0.1, 1.0)])] == [0.1]
    assert linear_rule([]) == []


def test_repeats_have_a_range() -> None:
    panels = error_by_epochs([make_point(errors=(7.0, 8.0, 12.0))])
    (series,) = panels.by_epochs
    assert (series.groups, [point.error for point in series.points]) == ([200], [9.0])
    assert error_bars(series.points) == [(2.0,), (3.0,)]
    assert "means of 3 runs" in draw_error_by_epochs(panels, "title").get_suptitle()


def test_points_without_an_error_have_no_bar() -> None:
    assert error_by_epochs([make_point(errors=())]).points == []


def test_bars_are_centred_on_their_group() -> None:
    points = [make_point(epochs=10), make_point(epochs=20), make_point(batch_size=256, lr=0.2, epochs=20)]
    ten, twenty = bar_positions(error_by_epochs(points).by_batch_size, [128, 256])
    assert ten == pytest.approx([-0.15])
    assert twenty == pytest.approx([0.15, 1.0])


OURS = [make_point(batch_size=size, lr=size / 1280, epochs=n) for size in BATCH_SIZES for n in (10, 20, 40)]


@pytest.mark.parametrize(
    "points", [published(), [*published(), *OURS], [make_point()]], ids=["published", "both", "one"]
)
def test_nothing_overlaps(points: list[Point]) -> None:
    panels = error_by_epochs(points)
    assert overlaps(draw_error_by_epochs(panels, title(panels.points))) == []


def test_bars_are_distinguishable_without_colour_and_published_ones_are_hollow() -> None:
    both = [*published(), *OURS]
    axes = draw_error_by_epochs(error_by_epochs(both), title(both)).axes[1]
    bars = [container.patches[0] for container in axes.containers]  # type: ignore[attr-defined]
    hollow = [bar.get_facecolor() == (1.0, 1.0, 1.0, 1.0) for bar in bars]
    assert hollow == [True] * 10 + [False] * 10
    assert len({bar.get_hatch() for bar in bars[:10]}) == 10
    assert [bar.get_hatch() for bar in bars[:10]] == [bar.get_hatch() for bar in bars[10:]]
    assert all(bar.get_edgecolor() != bar.get_facecolor() for bar in bars)


def heading(points: list[Point]) -> str:
    return draw_error_by_epochs(error_by_epochs(points), title(points)).get_suptitle()


def test_the_title_says_equal_only_where_all_are() -> None:
    assert "lr = 0.1 × batch size / 128" in heading(
        [make_point(batch_size=2**n, lr=0.1 * 2**n / 128) for n in (6, 7)]
    )
    assert "lr ≈ 0.1 × batch size / 128" in heading([make_point(lr=0.1), make_point(batch_size=64, lr=0.0508)])


def test_long_names_are_shortened() -> None:
    wordy = [
        make_point(epochs=n, other=tuple((f"a_field_with_a_name_{k}", f"0.{n}") for k in range(6)))
        for n in range(1, 8)
    ]
    figure = draw_error_by_epochs(error_by_epochs(wordy), title(wordy))
    assert overlaps(figure) == []
    assert any("more" in text.get_text() for text in texts_of(figure))


def test_both_sources_keep_their_own_rule() -> None:
    ours = [make_point(batch_size=size, lr=size / 320, epochs=10) for size in (16, 64)]
    panels = error_by_epochs([*published(), *ours])
    assert panels.base_lrs == [0.1, 0.4]
    assert [series.points[0].source for series in panels.by_batch_size] == [*[Source.PUBLISHED] * 3, Source.OURS]
