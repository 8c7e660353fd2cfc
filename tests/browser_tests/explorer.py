"""What the tests of the interactive page share: its data, its status line, and a mouse."""

from typing import Any

from playwright.sync_api import FloatRect, Page

NUM_TRIALS, NUM_EPOCHS = 60, 6
METRIC = "objective.holdout_error_percent"
Data = dict[str, Any]


def status(page: Page) -> str:
    return page.get_by_role("status").inner_text()


def num_selected(page: Page) -> int:
    words = status(page).split()
    assert words[1] == "of", words
    return int(words[0])


def numbers(data: Data, name: str) -> list[float]:
    return [value for value in data["trials"][name] if value is not None]


def box_of(page: Page, view: str) -> FloatRect:
    plot = page.locator(f".view.{view} .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    return box


def drag(page: Page, box: FloatRect, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse between two points of a box, which are given as fractions of its width and height."""
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()
