"""Test error against the initial learning rate, one line per batch size."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.points import (
    BASELINE,
    SGD,
    Point,
    Source,
    bars_line,
    distinguishing_words,
    error_bars,
    lars_points,
    published_points,
    with_error,
)
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
PANEL_WIDTH = 3.6
"""Width in inches of each further panel."""


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a batch size or of a set of choices, in rising lr, all of one source."""

    label: str
    points: list[Point]

    @property
    def panel(self) -> str:
        """Title of the panel that shows the line: an optimiser has learning rates of its own scale."""
        return self.points[0].optimizer


def published(optimizers: Collection[str] = (SGD,)) -> list[Point]:
    """Return the published rows on the initial learning rate (cosine, 200 epochs) of these optimisers.

    For several optimisers these are the rows of the sequel, and their points name the optimiser.
    """
    if not {*optimizers} - {SGD}:
        return published_points(lambda table: table.startswith("initial_lr_"))
    points = [point for point in lars_points() if point.optimizer.lower() in optimizers]
    return points if len(optimizers) > 1 else [dataclasses.replace(point, other=()) for point in points]


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
        words = [word for word in words if word != members[0].optimizer]
        if "batch_size" not in free:
            words = [str(members[0].batch_size), *words]
        lines.append(Line(", ".join(words), sorted(members, key=lambda point: point.lr)))
    if any(line.label for line in lines):
        lines = [dataclasses.replace(line, label=line.label or BASELINE) for line in lines]
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
    differ in more than lr (`free`) are not joined. Each optimiser has a panel, because its learning rates have a
    scale of their own.
    """
    figure = Figure(layout="constrained")
    titles = list(dict.fromkeys(line.panel for line in lines))
    panels = dict(zip(titles, figure.subplots(1, len(titles), sharey=True, squeeze=False)[0], strict=True))
    handles = _draw_lines(panels, lines, is_joined=not set(free) - {"lr"})
    set_scale(panels[titles[0]].yaxis, [point.error for line in lines for point in line.points])
    panels[titles[0]].set_ylabel("test error at the last epoch (%)")
    width = AXES_WIDTH + (len(titles) - 1) * PANEL_WIDTH
    if any(line.label for line in lines):
        legend_beside(panels[titles[-1]], "" if "batch_size" in free else "batch size", list(handles.items()))
        width += legend_beside_width([handle for members in handles.values() for handle in members])
    figure.set_size_inches(max(7.2, width), 4.2)
    title += bars_line([point for line in lines for point in line.points])
    figure.suptitle(wrapped(title, int(11 * figure.get_figwidth())), fontsize="medium")
    for name, axes in panels.items():
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("initial learning rate")
        axes.grid(visible=True, which="major", alpha=0.3)
        counts = Counter(point.lr for line in lines if line.panel == name for point in line.points)
        if len(counts) > MOST_LABELLED_LRS or ("lr" in free and len(counts) > 1):
            set_log(axes.xaxis, list(counts))
        else:
            label_ticks(figure, axes, counts)
    return figure


def _draw_lines(panels: Mapping[str, Axes], lines: Sequence[Line], *, is_joined: bool) -> dict[str, list[Line2D]]:
    """Draw each line in its panel, and return the entries of the legend by origin: published ones first."""
    numbers = {label: index for index, label in enumerate(dict.fromkeys(line.label for line in lines))}
    firsts = sorted((line.points[0] for line in lines), key=lambda point: list(Source).index(point.source))
    entries: dict[str, dict[str, Line2D]] = {point.origin: {} for point in firsts}
    for axes in panels.values():
        axes.set_xscale("log")
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
        panels[line.panel].errorbar(lrs, errors, yerr=error_bars(line.points), capsize=3, **style)
        entries[line.points[0].origin].setdefault(line.label, Line2D([], [], label=line.label, **style))
    return {origin: list(handles.values()) for origin, handles in entries.items()}
