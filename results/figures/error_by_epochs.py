"""Test error by batch size and number of epochs under the linear scaling rule, as grouped bars."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from results.figures.points import (
    Point,
    Source,
    bars_line,
    distinguishing_words,
    error_bars,
    group_rank,
    leading_axes,
    of_source,
    point_axes,
    published_points,
    with_error,
)
from results.figures.style import fill_with_legend, legend_height, look, mark_lost, text_color, wrapped
from trainable.grouping import grouped

TABLES = ("linear_scaling_cosine", "linear_scaling_400", "linear_scaling_800")
REFERENCE_LR = 0.1
REFERENCE_BATCH_SIZE = 128
"""Reference point of the linear rule, lr in proportion to the batch size (Goyal et al. 2017, 'Accurate, Large
Minibatch SGD')."""
PANEL_WIDTH = 5.0
"""Width of a panel in inches."""
MOST_BARS = 48
"""Largest number of bars of one source in a panel; narrower ones could not be told apart."""
MOST_HORIZONTAL = 10
"""Largest number of groups whose labels are horizontal."""
TOLERANCE = 0.03
"""Relative tolerance: the published lr for batch size 8 is printed as 0.006125 instead of 0.00625."""


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one legend entry, all of one source."""

    label: str
    value: int
    """Batch size or number of epochs that the label begins with."""
    groups: list[int]
    """Group of each bar on the axis: the batch size or the number of epochs."""
    points: list[Point]
    """Configuration of each bar; those without an error diverged or failed."""


@dataclass(frozen=True, slots=True)
class Panels:
    """Contents of both panels, made from the same points."""

    points: list[Point]
    """Points that follow the linear rule; of more than `MOST_BARS` of one source, those with the least errors."""
    num_points: int
    """Number of points that follow the linear rule."""
    num_off: int
    """Number of points with an error that do not follow it, or that have the same bar as one closer to it."""
    base_lrs: list[float]
    """Learning rate at batch size 128 for each source."""
    by_batch_size: list[Series]
    """One series per number of epochs."""
    by_epochs: list[Series]
    """One series per batch size."""


def published() -> list[Point]:
    """Return the published rows of the linear rule with cosine and 200, 400 and 800 epochs."""
    return published_points(lambda table: table in TABLES)


def linear_rule(points: Sequence[Point]) -> list[Point]:
    """Return the points on the line lr = base_lr x batch size / 128 that contains most of them.

    Of several such lines, the one with base_lr closest to the published 0.1 is taken.
    """

    def on_line(base_lr: float) -> list[Point]:
        return [point for point in points if _is_on_line(point, base_lr)]

    candidates = sorted({_base_lr(point) for point in points})
    best = max(
        candidates, key=lambda base: (len(on_line(base)), -abs(math.log(base / REFERENCE_LR))), default=REFERENCE_LR
    )
    return on_line(best)


def _is_on_line(point: Point, base_lr: float) -> bool:
    return abs(_base_lr(point) / base_lr - 1) <= TOLERANCE


def _base_lr(point: Point) -> float:
    return point.lr * REFERENCE_BATCH_SIZE / point.batch_size


def error_by_epochs(points: Sequence[Point]) -> Panels:
    """Return what is drawn: the points of each source that follow its own linear rule, or all of a constant lr."""
    chosen: list[Point] = []
    base_lrs, num_points, num_off = [], 0, 0
    for source in Source:
        own = of_source(points, source)
        known = with_error(own)
        on_rule = known if _is_constant(known) else linear_rule(known)
        if not on_rule:
            continue
        base_lrs.append(Counter(map(_base_lr, on_rule)).most_common(1)[0][0])
        members = _without_doubles(on_rule, base_lrs[-1])
        num_points, num_off = num_points + len(members), num_off + len(known) - len(members)
        ranked = sorted(members, key=lambda point: point.error)[:MOST_BARS]
        chosen += [point for point in members if point in ranked] if len(members) > MOST_BARS else members
        lost = [point for point in own if point.is_lost and not point.errors]
        chosen += [point for point in lost if _is_constant([*known, point]) or _is_on_line(point, base_lrs[-1])]
    return Panels(
        chosen,
        num_points,
        num_off,
        base_lrs,
        _series(chosen, lambda point: point.epochs, lambda point: point.batch_size),
        _series(chosen, lambda point: point.batch_size, lambda point: point.epochs),
    )


def _is_constant(points: Sequence[Point]) -> bool:
    """Return whether several batch sizes have one lr."""
    return len({point.lr for point in points}) == 1 < len({point.batch_size for point in points})


def _without_doubles(points: Sequence[Point], base_lr: float) -> list[Point]:
    """Return the points without those that have the bar of another one, whose lr is closer to the rule."""
    bars = grouped(points, lambda point: (point.batch_size, point.epochs, *_words(point, points)))
    kept = [min(members, key=lambda point: abs(_base_lr(point) / base_lr - 1)) for members in bars.values()]
    return [point for point in points if point in kept]


def _words(point: Point, points: Sequence[Point]) -> list[str]:
    return distinguishing_words(point, points, ("batch_size", "lr", "epochs"))


def _series(
    points: Sequence[Point], series_of: Callable[[Point], int], group_of: Callable[[Point], int]
) -> list[Series]:
    leading, _ = leading_axes(point_axes(points), points)
    rank = group_rank(points, [axis for axis in leading if axis.name not in ("batch_size", "lr", "epochs")])

    def label_of(point: Point) -> tuple[int, int, str]:
        words = ", ".join(_words(point, points))
        return (list(Source).index(point.source), series_of(point), words)

    series = []
    for (_, value, words), members in sorted(
        grouped(points, label_of).items(), key=lambda item: (item[0][:2], rank(item[1][0]))
    ):
        ordered = sorted(members, key=group_of)
        label = f"{value}, {words}" if words else str(value)
        series.append(Series(label, value, list(map(group_of, ordered)), ordered))
    return series


def draw_error_by_epochs(panels: Panels, title: str, note: str = "") -> Figure:
    """Draw groups by batch size on the left and by epochs on the right; published bars are hollow, ours filled.

    Args:
        title: a line per source.
        note: a further line, which begins with its line feed.
    """
    sides = [_handles(panels.by_batch_size, "epochs"), _handles(panels.by_epochs, "batch size")]
    heights = [
        max(legend_height(legend, PANEL_WIDTH) for legend in legends)
        for legends in zip(*(side.values() for side in sides), strict=True)
    ]
    figure = Figure(figsize=(2 * PANEL_WIDTH, 3.9 + sum(heights)), layout="constrained")
    grid = figure.subplots(1 + len(heights), 2, squeeze=False, height_ratios=[3.9, *heights])
    _draw_panel(grid[0][0], panels.by_batch_size, "batch size")
    _draw_panel(grid[0][1], panels.by_epochs, "number of epochs")
    for column, side in enumerate(sides):
        for axes, (heading, legend) in zip(grid[1:, column], side.items(), strict=True):
            fill_with_legend(axes, legend, heading, PANEL_WIDTH)
    grid[0][0].set_ylabel("test error at the last epoch (%)")
    sources = [source for source in Source if of_source(panels.points, source)]
    rules = [
        _rule(of_source(panels.points, source), base_lr)
        for source, base_lr in zip(sources, panels.base_lrs, strict=True)
    ]
    lines = [f"{line}; {rule}" for line, rule in zip(title.split("\n"), rules, strict=True)]
    crosses = "\n×: runs diverged or failed" * any(point.is_lost for point in panels.points)
    heading = "\n".join(lines) + note + bars_line(with_error(panels.points)) + crosses
    figure.suptitle(wrapped(heading, 110), fontsize="medium")
    return figure


def _rule(points: Sequence[Point], base_lr: float) -> str:
    """Return the linear rule of the points, with an equality sign only if all of them follow it to three digits."""
    if _is_constant(points):
        return f"lr {points[0].lr:.3g}"
    is_exact = {f"{_base_lr(point):.3g}" for point in points} == {f"{base_lr:.3g}"}
    return f"lr {'=' if is_exact else '≈'} {base_lr:.3g} × batch size / {REFERENCE_BATCH_SIZE}"


def bar_positions(series: Sequence[Series], groups: Sequence[int]) -> list[list[float]]:
    """Return the x of every bar of every series; the bars of a group are side by side around its centre."""
    members = {group: [i for i, item in enumerate(series) if group in item.groups] for group in groups}
    width = bar_width(series, groups)
    return [
        [
            groups.index(group) + (members[group].index(i) - (len(members[group]) - 1) / 2) * width
            for group in item.groups
        ]
        for i, item in enumerate(series)
    ]


def bar_width(series: Sequence[Series], groups: Sequence[int]) -> float:
    """Return the width of a bar: as wide as the fullest group allows, at most 0.3 of the space of a group."""
    fullest = max((sum(group in item.groups for item in series) for group in groups), default=1)
    return min(0.84 / fullest, 0.3)


def _style(number: int, source: Source) -> dict[str, Any]:
    kind, hollow = look(number), source is Source.PUBLISHED
    return {
        "facecolor": "white" if hollow else kind.color,
        "edgecolor": kind.color if hollow else text_color(kind.color),
        "hatch": kind.hatch,
        "linewidth": 0.8,
    }


def _numbers(series: Sequence[Series]) -> dict[str, int]:
    """Return label -> index of its appearance, which is the same in both sources."""
    ordered = sorted(series, key=lambda item: item.value)
    return {label: index for index, label in enumerate(dict.fromkeys(item.label for item in ordered))}


def _handles(series: Sequence[Series], name: str) -> dict[str, list[Patch]]:
    """Return heading -> legend entries, for each source."""
    numbers = _numbers(series)
    by_origin = grouped(series, lambda item: item.points[0].origin)
    return {
        f"{name}, {origin}" if len(by_origin) > 1 else name: [
            Patch(label=item.label, **_style(numbers[item.label], item.points[0].source)) for item in members
        ]
        for origin, members in by_origin.items()
    }


def _draw_panel(axes: Axes, series: Sequence[Series], groups_name: str) -> None:
    groups = sorted({group for item in series for group in item.groups})
    numbers = _numbers(series)
    lost: list[tuple[float, str]] = []
    for item, positions in zip(series, bar_positions(series, groups), strict=True):
        source, width = item.points[0].source, bar_width(series, groups)
        bars = [(x, point) for x, point in zip(positions, item.points, strict=True) if point.errors]
        known = [point for _, point in bars]
        axes.bar(
            [x for x, _ in bars],
            [point.error for point in known],
            width=width,
            yerr=error_bars(known),
            **_style(numbers[item.label], source),
        )
        color = look(numbers[item.label]).color
        lost += [(x, color) for x, point in zip(positions, item.points, strict=True) if point.is_lost]
    axes.set_xticks(
        range(len(groups)), [str(group) for group in groups], rotation=45 if len(groups) > MOST_HORIZONTAL else 0
    )
    axes.set_xlim(-0.6, max(len(groups), 1) - 0.4)
    axes.set_ylim(bottom=0.0)
    mark_lost(axes, lost)
    axes.set_xlabel(groups_name)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
