"""Points with figures that a test can compute by hand, and a check that what is written does not overlap."""

import itertools
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from results.figures.points import Point, Source


def make_point(**changes: object) -> Point:
    values: dict[str, Any] = {
        "source": Source.OURS,
        "origin": "mine",
        "model": "resnet_preact_20",
        "dataset": "cifar10",
        "batch_size": 128,
        "lr": 0.1,
        "schedule": "cosine",
        "epochs": 200,
        "errors": (8.0,),
        "hours": 0.5,
        "hardware": "a processor",
    }
    return Point(**{**values, **changes})


def texts_of(figure: Figure) -> list[Text]:
    """Everything that is written and seen: titles, tick labels, axis labels, legends, cells."""
    figure.draw_without_rendering()
    ticks = {
        label
        for axes in figure.axes
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        for label in (tick.label1, tick.label2)
        if not min(low, high) <= tick.get_loc() <= max(low, high)  # kept by matplotlib, but not drawn
    }
    hidden = {
        text
        for axes in figure.axes
        if not axes.axison
        for axis in (axes.xaxis, axes.yaxis)
        for text in axis.findobj(Text)
    }
    found = [artist for artist in figure.findobj(Text) if isinstance(artist, Text) and artist.get_visible()]
    return [text for text in found if text.get_text().strip() and text not in ticks | hidden]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other, and texts that leave the figure (paired with '')."""
    boxes: list[tuple[str, Bbox]] = [(text.get_text(), Text.get_window_extent(text)) for text in texts_of(figure)]
    pairs = [
        (text, other)
        for (text, a), (other, b) in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    page = figure.bbox
    outside = [
        (name, "")
        for name, box in boxes
        if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1
    ]
    return pairs + outside
