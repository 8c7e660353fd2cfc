"""Errors in cells."""

import pytest

from results.figures.error_by_lr import published
from results.figures.heat_map import MOST_COLUMNS, draw_heat_maps, heat_maps
from results.figures.points import Point, title
from results.figures.style import BLACK, WHITE, text_color
from tests.results_tests.figure_samples import make_point, overlaps


def test_the_published_map() -> None:
    (heat_map,) = heat_maps(published())
    assert heat_map.columns == [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 3.2]
    assert heat_map.rows == [4096, 2048, 1024, 512, 256, 128, 64, 32]
    assert len(heat_map.errors) == 39
    assert heat_map.errors[32, 0.1] == 7.25
    assert (4096, 0.1) not in heat_map.errors


def test_what_did_not_finish_is_not_what_was_not_asked_for() -> None:
    (heat_map,) = heat_maps([make_point(errors=(7.0, 9.0)), make_point(batch_size=64, lr=0.2, errors=())])
    assert heat_map.errors == {(128, 0.1): 8.0, (64, 0.2): None}
    written = {text.get_text() for text in draw_heat_maps([heat_map], "title").axes[0].texts}
    assert written == {"8.00", "–"}


def test_a_panel_a_length_and_none_without_an_error() -> None:
    maps = heat_maps([make_point(), make_point(epochs=400), make_point(epochs=800, errors=())])
    assert [panel.label for panel in maps] == ["mine, 200 epochs", "mine, 400 epochs"]
    assert heat_maps([make_point(errors=())]) == []


def test_a_random_search_has_no_map() -> None:
    assert heat_maps([make_point(lr=0.01 * (n + 1)) for n in range(MOST_COLUMNS + 1)]) == []


@pytest.mark.parametrize(("background", "text"), [("white", BLACK), ("#FFE838", BLACK), ("#00224E", WHITE)])
def test_text_contrasts_with_its_cell(background: str, text: str) -> None:
    assert text_color(background) == text


GRID = [make_point(lr=0.00123 * 1.5**n, batch_size=2**k) for n in range(MOST_COLUMNS) for k in range(3, 13)]
HUGE = [make_point(lr=lr, errors=(error,)) for lr, error in ((0.1, 0.02), (1.0, 100.0), (10.0, 90.0))]


@pytest.mark.parametrize(
    "points",
    [published(), [*published(), *GRID], HUGE, [make_point()], [make_point(errors=(0.0,))]],
    ids=["published", "both", "huge", "one", "zero"],
)
def test_nothing_overlaps(points: list[Point]) -> None:
    assert overlaps(draw_heat_maps(heat_maps(points), title(points))) == []
