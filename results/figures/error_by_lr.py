"""Test error against the initial learning rate, one line per batch size."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.points import Point, Source, distinguishing_words, error_bars, published_points, with_error
from results.figures.style import (
    LINE_STYLES,
    MOST_ENTRIES,
    MOST_VECTOR,
    label_ticks,
    legend_beside,
    legend_beside_width,
    look,
    marker_face,
    set_log,
    set_scale,
    unzipped,
    wrapped,
)
from trainable.grouping import grouped

MOST_LABELLED_LRS = 14
"""With more, or if they were sampled from a range, the axis is labelled at round numbers."""
MOST_LINES = MOST_ENTRIES
"""More lines would have no place in the legend."""
AXES_WIDTH = 5.2
"""Width in inches of the axes and their labels beside a wide legend."""


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a batch size or of a set of choices, in rising lr, all of one source."""

    label: str
    points: list[Point]


def published() -> list[Point]:
    """Return the rows of the published tables on the initial learning rate (cosine, 200 epochs)."""
    return published_points(lambda table: table.startswith("initial_lr_"))


def error_by_lr(points: Sequence[Point], free: Collection[str] = ()) -> list[Line]:
    """Return what is drawn: a line per source and batch size (and whatever else differs), smallest first.

    Fields in `free` do not separate lines, because every line would have one point.
    """
    points = [_without(point, free) for point in with_error(points)]

    def line_of(point: Point) -> tuple[object, ...]:
        batch_size = None if "batch_size" in free else point.batch_size
        epochs = None if "epochs" in free else point.epochs
        return (point.source, batch_size, epochs, point.variant)

    groups = grouped(points, line_of)
    lines = []
    for members in sorted(groups.values(), key=_rank):
        words = distinguishing_words(members[0], points, epochs="epochs" not in free)
        if "batch_size" not in free:
            words = [str(members[0].batch_size), *words]
        lines.append(Line(", ".join(words), sorted(members, key=lambda point: point.lr)))
    return lines


def best_lines(lines: Sequence[Line]) -> list[Line]:
    """Return the `MOST_LINES` lines with the least errors, in their order."""
    ranked = sorted(range(len(lines)), key=lambda index: min(point.error for point in lines[index].points))
    return [lines[index] for index in sorted(ranked[:MOST_LINES])]


def _without(point: Point, free: Collection[str]) -> Point:
    return dataclasses.replace(
        point,
        model="" if "model" in free else point.model,
        dataset="" if "dataset" in free else point.dataset,
        schedule="" if "schedule" in free else point.schedule,
        other=tuple(pair for pair in point.other if pair[0] not in free),
    )


def _rank(members: Sequence[Point]) -> tuple[int, int, int]:
    return members[0].batch_size, members[0].epochs, list(Source).index(members[0].source)


def draw_error_by_lr(lines: Sequence[Line], title: str, free: Collection[str] = ()) -> Figure:
    """Draw errors against lr on a log axis, with bars from the smallest to the largest repeat.

    A batch size has the same colour and marker in both sources; published lines are dashed and hollow. Points that
    differ in more than lr (`free`) are not joined.
    """
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    is_joined = not set(free) - {"lr"}
    numbers = {label: index for index, label in enumerate(dict.fromkeys(line.label for line in lines))}
    firsts = sorted((line.points[0] for line in lines), key=lambda point: list(Source).index(point.source))
    groups: dict[str, list[Line2D]] = {point.origin: [] for point in firsts}
    for line in lines:
        kind, source = look(numbers[line.label]), line.points[0].source
        style: dict[str, Any] = {
            "color": kind.color,
            "marker": kind.marker,
            "markerfacecolor": marker_face(source, kind.color),
            "linestyle": LINE_STYLES[source] if is_joined else "none",
            "linewidth": 1.4,
            "rasterized": len(line.points) > MOST_VECTOR,
        }
        lrs, errors = unzipped([(point.lr, point.error) for point in line.points])
        axes.errorbar(lrs, errors, yerr=error_bars(line.points), capsize=3, **style)
        groups[line.points[0].origin].append(Line2D([], [], label=line.label, **style))
    axes.set_xscale("log")
    set_scale(axes.yaxis, [point.error for line in lines for point in line.points])
    axes.set_xlabel("initial learning rate")
    axes.set_ylabel("test error at the last epoch (%)")
    axes.grid(visible=True, which="major", alpha=0.3)
    if any(line.label for line in lines):
        legend_beside(axes, "" if "batch_size" in free else "batch size", list(groups.items()))
        handles = [handle for members in groups.values() for handle in members]
        figure.set_size_inches(max(7.2, AXES_WIDTH + legend_beside_width(handles)), 4.2)
    else:
        figure.set_size_inches(7.2, 4.2)
    figure.suptitle(wrapped(title, int(11 * figure.get_figwidth())), fontsize="medium")
    counts = Counter(point.lr for line in lines for point in line.points)
    if len(counts) > MOST_LABELLED_LRS or ("lr" in free and len(counts) > 1):
        set_log(axes.xaxis, list(counts))
    else:
        label_ticks(figure, axes, counts)
    return figure
