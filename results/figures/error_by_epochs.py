"""Test error by batch size and number of epochs under the linear rule, as grouped bars."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from results.figures.points import Point, Source, of_source, published_points, telling_parts, with_error
from results.figures.style import broken, legend_height, legend_in_place_of, look, text_color

TABLES = ("linear_scaling_cosine", "linear_scaling_400", "linear_scaling_800")
REFERENCE_LR = 0.1
REFERENCE_BATCH_SIZE = 128
"""Goyal et al. (2017), 'Accurate, Large Minibatch SGD': lr in proportion to the batch size."""
PANEL_WIDTH = 5.0
"""Inches."""
MOST_UPRIGHT = 10
"""Groups from above which on their labels are slanted."""
TOLERANCE = 0.03
"""Relative; the published lr for batch size 8 is printed as 0.006125, where the rule gives 0.00625."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The mean error (percent) over a configuration's repeats, and their range."""

    group: int
    """Where on the axis: the batch size or the number of epochs."""
    error: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one legend entry."""

    label: str
    value: int
    """The batch size or number of epochs that the label begins with."""
    source: Source
    origin: str
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Panels:
    """Both panels, from the same points."""

    points: list[Point]
    """Those under the linear rule."""
    base_lrs: list[float]
    """The lr at batch size 128, one a source."""
    by_batch_size: list[Series]
    """A series a number of epochs."""
    by_epochs: list[Series]
    """A series a batch size."""


def published() -> list[Point]:
    """The linear rule with cosine at 200, 400 and 800 epochs, batch sizes 8 to 4096."""
    return published_points(lambda table: table in TABLES)


def linear_rule(points: Sequence[Point]) -> list[Point]:
    """The points on the line lr = base_lr x batch size / 128 that holds the most of them.

    Among equals the one whose base_lr is nearest to the published 0.1.
    """

    def on_line(base_lr: float) -> list[Point]:
        return [point for point in points if abs(_base_lr(point) / base_lr - 1) <= TOLERANCE]

    candidates = sorted({_base_lr(point) for point in points})
    best = max(
        candidates, key=lambda base: (len(on_line(base)), -abs(math.log(base / REFERENCE_LR))), default=REFERENCE_LR
    )
    return on_line(best)


def _base_lr(point: Point) -> float:
    return point.lr * REFERENCE_BATCH_SIZE / point.batch_size


def error_by_epochs(points: Sequence[Point]) -> Panels:
    """What is drawn: each source's points under its own linear rule."""
    chosen: list[Point] = []
    base_lrs = []
    for source in Source:
        members = linear_rule(with_error(of_source(points, source)))
        if members:
            chosen += members
            base_lrs.append(Counter(map(_base_lr, members)).most_common(1)[0][0])
    return Panels(
        chosen,
        base_lrs,
        _series(chosen, lambda point: point.epochs, lambda point: point.batch_size),
        _series(chosen, lambda point: point.batch_size, lambda point: point.epochs),
    )


def _series(
    points: Sequence[Point], series_of: Callable[[Point], int], group_of: Callable[[Point], int]
) -> list[Series]:
    members: dict[tuple[Source, int, str], list[Point]] = {}
    for point in points:
        words = ", ".join(telling_parts(point, points, epochs=False))
        members.setdefault((point.source, series_of(point), words), []).append(point)
    order = list(Source)
    return [
        Series(
            ", ".join(part for part in (str(value), words) if part),
            value,
            source,
            group[0].origin,
            [
                Bar(group_of(point), point.error, min(point.errors), max(point.errors))
                for point in sorted(group, key=group_of)
            ],
        )
        for (source, value, words), group in sorted(
            members.items(), key=lambda item: (order.index(item[0][0]), item[0][1], item[0][2])
        )
    ]


def draw_error_by_epochs(panels: Panels, title: str) -> Figure:
    """Left: groups are batch sizes; right: numbers of epochs. Published bars are hollow, ours filled."""
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
            legend_in_place_of(axes, legend, heading, PANEL_WIDTH)
    grid[0][0].set_ylabel("test error at the last epoch (%)")
    sources = [source for source in Source if of_source(panels.points, source)]
    rules = [
        _rule(of_source(panels.points, source), base_lr)
        for source, base_lr in zip(sources, panels.base_lrs, strict=True)
    ]
    lines = [f"{line}; {rule}" for line, rule in zip(title.split("\n"), rules, strict=True)]
    figure.suptitle(broken("\n".join(lines), 110), fontsize="medium")
    return figure


def _rule(points: Sequence[Point], base_lr: float) -> str:
    """With the sign of equality only where it is true of all of them to three digits."""
    is_exact = {f"{_base_lr(point):.3g}" for point in points} == {f"{base_lr:.3g}"}
    return f"lr {'=' if is_exact else '≈'} {base_lr:.3g} × batch size / {REFERENCE_BATCH_SIZE}"


def bar_places(series: Sequence[Series], groups: Sequence[int]) -> list[list[float]]:
    """The x of every bar of every series: the bars that a group has stand side by side around its centre."""
    members = {
        group: [i for i, one in enumerate(series) if any(bar.group == group for bar in one.bars)] for group in groups
    }
    width = bar_width(series, groups)
    return [
        [
            groups.index(bar.group) + (members[bar.group].index(i) - (len(members[bar.group]) - 1) / 2) * width
            for bar in one.bars
        ]
        for i, one in enumerate(series)
    ]


def bar_width(series: Sequence[Series], groups: Sequence[int]) -> float:
    """As wide as the fullest group allows, up to 0.3 of a group's room."""
    fullest = max((sum(any(bar.group == group for bar in one.bars) for one in series) for group in groups), default=1)
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
    """Label -> number of its look: the same in both sources."""
    ordered = sorted(series, key=lambda one: one.value)
    return {label: index for index, label in enumerate(dict.fromkeys(one.label for one in ordered))}


def _handles(series: Sequence[Series], name: str) -> dict[str, list[Patch]]:
    """Heading -> entries, a block a source."""
    numbers, origins = _numbers(series), {one.origin for one in series}
    handles: dict[str, list[Patch]] = {}
    for one in series:
        heading = f"{name}, {one.origin}" if len(origins) > 1 else name
        handles.setdefault(heading, []).append(Patch(label=one.label, **_style(numbers[one.label], one.source)))
    return handles


def _draw_panel(axes: Axes, series: Sequence[Series], groups_name: str) -> None:
    groups = sorted({bar.group for one in series for bar in one.bars})
    numbers = _numbers(series)
    for one, places in zip(series, bar_places(series, groups), strict=True):
        axes.bar(
            places,
            [bar.error for bar in one.bars],
            width=bar_width(series, groups),
            yerr=[[bar.error - bar.least for bar in one.bars], [bar.most - bar.error for bar in one.bars]]
            if any(bar.most > bar.least for bar in one.bars)
            else None,
            **_style(numbers[one.label], one.source),
        )
    axes.set_xticks(
        range(len(groups)), [str(group) for group in groups], rotation=45 if len(groups) > MOST_UPRIGHT else 0
    )
    axes.set_xlim(-0.6, max(len(groups), 1) - 0.4)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(groups_name)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
