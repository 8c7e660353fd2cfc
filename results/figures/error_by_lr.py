"""Test error against the initial learning rate, one line per batch size, or against whatever else varies."""

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.points import (
    BASELINE,
    OPTIMIZER,
    SGD,
    Point,
    Source,
    axis_label,
    axis_scale,
    bars_line,
    distinguishing_words,
    error_bars,
    group_rank,
    lars_points,
    leading_axes,
    point_axes,
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
    lost_handle,
    mark_lost,
    marker_face,
    plain_numbers,
    set_log,
    set_scale,
    wrapped,
)
from results.parquet.axes import Axis, axis_of
from results.parquet.search_results import Parameter
from trainable.grouping import grouped
from trainable.wording import shortened

MOST_LABELLED = 14
"""With more, or if they were sampled from a range, the axis is labelled at round numbers."""
MOST_LINES = MOST_ENTRIES
"""More lines would have no place in the legend."""
MOST_LETTERS = 40
"""Number of characters of words that fit below the axis side by side."""
LABEL_WIDTH = 60
"""Number of characters in a line of the label of the axis."""
DODGE = 0.3
"""Width that the lines of an axis of words are spread over, as a fraction of the distance of two words."""
AXES_WIDTH = 5.2
"""Width in inches of the axes and their labels beside a wide legend."""
PANEL_WIDTH = 3.6
"""Width in inches of each further panel."""


@dataclass(frozen=True, slots=True)
class LineAxes:
    """The field of the x axis, those that make lines, and those that do not show."""

    x: Axis
    lines: tuple[Axis, ...]
    """The fields whose values make a line each."""
    free: frozenset[str] = frozenset()
    """Names of fields that make no lines, because every line would have one point."""
    followers: Mapping[Axis, Axis] = dataclasses.field(default_factory=dict)
    """Fields that vary with another one."""

    @property
    def shown(self) -> set[str]:
        """Names of the fields that the axis and the legend tell."""
        return {axis.name for axis in (self.x, *self.followers, *self.lines)}

    @property
    def lead(self) -> Axis | None:
        """The field that the legend is about: the batch size, or the only one."""
        lines = [axis for axis in self.lines if not self.has_panels or axis.name != OPTIMIZER]
        batch_sizes = [axis for axis in lines if axis.name == "batch_size"]
        return batch_sizes[0] if batch_sizes else lines[0] if len(lines) == 1 else None

    @property
    def is_joined(self) -> bool:
        """Whether the points of a line differ in nothing else than a number."""
        return self.x.is_number and not self.free - {self.x.name}

    @property
    def has_panels(self) -> bool:
        """Whether each optimiser has a panel, because its learning rates have a scale of their own."""
        return self.x.name == "lr" and OPTIMIZER in {axis.name for axis in self.lines}


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a batch size or of a set of choices, in rising lr, all of one source."""

    label: str
    points: list[Point]
    lost: tuple[Point, ...] = ()
    """Points with a run that diverged or failed."""
    panel: str = ""
    """Title of the panel that shows the line."""

    @property
    def first(self) -> Point:
        """A point of the line."""
        return (*self.points, *self.lost)[0]


def published(optimizers: Collection[str] = (SGD,)) -> list[Point]:
    """Return the published rows on the initial learning rate (cosine, 200 epochs) of these optimisers.

    For several optimisers these are the rows of the sequel, and their points name the optimiser.
    """
    if not {*optimizers} - {SGD}:
        return published_points(lambda table: table.startswith("initial_lr_"))
    points = [point for point in lars_points() if point.optimizer.lower() in optimizers]
    return points if len(optimizers) > 1 else [dataclasses.replace(point, other=()) for point in points]


def line_axes(points: Sequence[Point], free: Collection[str] = (), parameters: Sequence[Parameter] = ()) -> LineAxes:
    """Return the axes for points: lr if it varies, or else the most important number, or else the words.

    Fields in `free` make no lines.
    """
    axes = point_axes(points, parameters)
    leading, followers = leading_axes(axes, points)
    if not leading:
        lr, batch_size = (axis_of(name, [point.value(name) for point in points]) for name in ("lr", "batch_size"))
        return LineAxes(lr, (batch_size,) * ("batch_size" not in free), frozenset(free))
    numbers = [axis for axis in leading if axis.is_number]
    rates = [axis for axis in axes if axis.name == "lr" and (followers.get(axis, axis)).is_number]
    x = (rates or numbers or leading)[0]
    if x in followers:  # it is lr, whose axis the batch size then follows
        owner = followers.pop(x)
        leading[leading.index(owner)] = x
        followers = {owner: x} | {axis: x if other == owner else other for axis, other in followers.items()}
    lines = [axis for axis in leading if axis != x and axis.name not in free]
    lines.sort(key=lambda axis: ("batch_size", "epochs", axis.name).index(axis.name))
    if not lines and "batch_size" not in {axis.name for axis in axes} | set(free):
        lines = [axis_of("batch_size", [point.batch_size for point in points])]
    return LineAxes(x, tuple(lines), frozenset(free), followers)


def error_by_lr(points: Sequence[Point], axes: LineAxes | None = None) -> list[Line]:
    """Return what is drawn: a line per source and batch size (and whatever else differs), smallest first."""
    points = [point for point in points if point.errors or point.is_lost]
    chosen = axes or line_axes(points)

    on_x = chosen.x.positions
    groups = grouped(points, group_rank(points, chosen.lines))
    lines = []
    for line in sorted(groups):
        members = sorted(groups[line], key=lambda point: on_x[point.value(chosen.x.name)])
        lines.append(
            Line(
                label=_label(members[0], points, chosen),
                points=with_error(members),
                lost=tuple(point for point in members if point.is_lost),
                panel=members[0].optimizer if chosen.has_panels else "",
            )
        )
    if any(line.label for line in lines):
        lines = [dataclasses.replace(line, label=line.label or BASELINE) for line in lines]
    return lines


def _label(point: Point, points: Sequence[Point], axes: LineAxes) -> str:
    lead = axes.lead
    shown = {axis.name for axis in (axes.x, *axes.followers, *([lead] if lead else []))} | axes.free
    shown |= {OPTIMIZER} if axes.has_panels else set()
    words = distinguishing_words(point, points, shown)
    return ", ".join([lead.text(point.value(lead.name)), *words] if lead else words)


def best_lines(lines: Sequence[Line]) -> list[Line]:
    """Return the `MOST_LINES` lines with the least errors, in their order."""

    def least(index: int) -> float:
        return min((point.error for point in lines[index].points), default=math.inf)

    ranked = sorted(range(len(lines)), key=least)
    return [lines[index] for index in sorted(ranked[:MOST_LINES])]


def draw_error_by_lr(lines: Sequence[Line], title: str, axes: LineAxes | None = None) -> Figure:
    """Draw errors against lr on a log axis, with bars from the smallest to the largest repeat.

    A batch size has the same colour and marker in both sources; published lines are dashed and hollow. Points that
    differ in more than lr are not joined. Crosses at the upper edge are runs that diverged or failed.

    Args:
        lines: what is drawn.
        title: a line per source.
        axes: by what the lines were made; by default `line_axes` of their points.
    """
    points = [point for line in lines for point in (*line.points, *line.lost)]
    axes = axes or line_axes(points)
    figure = Figure(layout="constrained")
    titles = list(dict.fromkeys(line.panel for line in lines))
    is_drawn = axes.x.name in axes.free  # values from a range: its panels share it
    grid = figure.subplots(1, len(titles), sharex=is_drawn, sharey=True, squeeze=False)
    panels = dict(zip(titles, grid[0], strict=True))
    handles = _draw_lines(panels, lines, axes)
    first = panels[titles[0]]
    set_scale(first.yaxis, [point.error for line in lines for point in line.points])
    first.set_ylabel("test error at the last epoch (%)")
    width = AXES_WIDTH + (len(titles) - 1) * PANEL_WIDTH
    if any(handles.values()):
        legend_beside(
            panels[titles[-1]], axis_label(axes.lead, axes.followers) if axes.lead else "", list(handles.items())
        )
        width += legend_beside_width([handle for members in handles.values() for handle in members])
    figure.set_size_inches(max(7.2, width), 4.2)
    title += bars_line([point for line in lines for point in line.points])
    figure.suptitle(wrapped(title, int(11 * figure.get_figwidth())), fontsize="medium")
    for name, panel in panels.items():
        panel.set_title(name, fontsize="medium")
        panel.grid(visible=True, which="major", alpha=0.3)
        members = [point for line in lines if is_drawn or line.panel == name for point in (*line.points, *line.lost)]
        _set_x_axis(figure, panel, axes, members)
    return figure


def _set_x_axis(figure: Figure, panel: Axes, axes: LineAxes, points: Sequence[Point]) -> None:
    x = axes.x
    panel.set_xlabel(wrapped(axis_label(x, axes.followers), LABEL_WIDTH))
    if not x.is_number:
        words = [shortened(x.text(value), MOST_LETTERS) for value in x.values]
        panel.set_xticks(range(len(words)), words, rotation=90 if len("".join(words)) > MOST_LETTERS else 0)
        panel.set_xlim(-0.5, len(words) - 0.5)
        return
    counts = Counter(float(point.value(x.name)) for point in points)
    if len(counts) > MOST_LABELLED or (x.name in axes.free and len(counts) > 1):
        if panel.get_xscale() == "log":
            set_log(panel.xaxis, list(counts))
        else:
            plain_numbers(panel.xaxis)
    else:
        label_ticks(figure, panel.xaxis, counts)


def _draw_lines(panels: Mapping[str, Axes], lines: Sequence[Line], axes: LineAxes) -> dict[str, list[Line2D]]:
    """Draw each line in its panel, and return the entries of the legend by origin: published ones first."""
    numbers = {label: index for index, label in enumerate(dict.fromkeys(line.label for line in lines))}
    firsts = sorted((line.first for line in lines), key=lambda point: list(Source).index(point.source))
    entries: dict[str, dict[str, Line2D]] = {point.origin: {} for point in firsts}
    lost: dict[str, list[tuple[float, str]]] = {name: [] for name in panels}
    for panel in panels.values():
        if axes.x.is_number:
            panel.set_xscale(**axis_scale(axes.x))
    for line in lines:
        kind, source = look(numbers[line.label]), line.first.source
        style: dict[str, Any] = {
            "color": kind.color,
            "marker": kind.marker,
            "markerfacecolor": marker_face(source, kind.color),
            "linestyle": (kind.line if source is Source.OURS else LINE_STYLES[source]) if axes.is_joined else "none",
            "linewidth": 1.4,
            "rasterized": len(line.points) > MOST_VECTOR,
        }
        shift = 0.0 if axes.x.is_number else DODGE * (numbers[line.label] + 0.5 - len(numbers) / 2) / len(numbers)
        positions = [_position(point, axes.x) + shift for point in line.points]
        errors = [point.error for point in line.points]
        panels[line.panel].errorbar(positions, errors, yerr=error_bars(line.points), capsize=3, **style)
        lost[line.panel] += [(_position(point, axes.x) + shift, kind.color) for point in line.lost]
        entries[line.first.origin].setdefault(line.label, Line2D([], [], label=line.label, **style))
    found = {origin: [handles[label] for label in handles if label] for origin, handles in entries.items()}
    for name, marks in lost.items():
        mark_lost(panels[name], marks)
    if any(lost.values()):
        found[list(found)[-1]].append(lost_handle())
    return found


def _position(point: Point, x: Axis) -> float:
    value = point.value(x.name)
    return float(value) if x.is_number else float(x.values.index(value))
