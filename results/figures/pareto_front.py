"""Test error against the hours of a run, with the Pareto front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from results.figures.points import Point, Source, distinguishing_words, of_source, point_axes, with_error
from results.figures.style import (
    LINE_STYLES,
    MOST_VECTOR,
    fill_with_legend,
    heading_handle,
    legend_height,
    look,
    marker_face,
    plain_numbers,
    set_log,
    set_title,
)
from results.store.pareto import pareto_front
from trainable.wording import listed, shortened

SPACING = 0.045
"""Smallest gap between the numbers of the points on the front, as a fraction of the width of the axes."""
WIDTH = 7.2
"""Width of the figure in inches."""
GPU_NAMES = ("NVIDIA", "GeForce", "Tesla", "Instinct", "Radeon")
LOG_FROM = 2.0
"""Ratio of errors above which their axis is logarithmic; low, because the crowded low errors matter most."""
MOST_NUMBERED = 20
MOST_NAMED = 4
"""Number of fields that a reason names."""
NAME_WIDTH = 70
"""Width in characters of a configuration in the legend."""
FREE = ("lr", "schedule", "momentum", "weight_decay", "weight_decay_on", "label_smoothing", "warmup_epochs")
"""Fields that change neither the number of steps nor the work of a step."""
EQUAL_RATIO = 1.02
"""Ratio of the longest to the shortest time up to which the times are equal."""
FOOT = 0.16
"""Fraction of the height of the axes below the lowest point, where the numbers are."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The points of one source, and its Pareto front."""

    source: Source
    origin: str
    hardware: str
    points: list[Point]
    front: list[Point]
    """Pareto front in rising hours and falling error."""


def clouds(points: Sequence[Point]) -> list[Cloud]:
    """Return what is drawn. Each source has its own front, because hours on different hardware do not compare."""
    found = []
    for source in Source:
        members = [point for point in with_error(of_source(points, source)) if point.hours]
        if members:
            hardware = ", ".join(sorted({point.hardware for point in members}))
            found.append(Cloud(source, members[0].origin, hardware, members, hours_error_front(members)))
    return found


def equal_cost(points: Sequence[Point]) -> str:
    """Return why the cost of a run is the same for all points; empty if it is not."""
    hours = [point.hours for point in with_error(points) if point.hours]
    if len(hours) < 2:
        return "only one configuration has an error"
    names = [axis.name for axis in point_axes(points)]
    if {*names} <= {*FREE}:
        return f"every run costs the same, whatever its {listed(sorted(names), MOST_NAMED)}"
    return "every run took as long" if max(hours) <= EQUAL_RATIO * min(hours) else ""


def hours_error_front(points: Sequence[Point]) -> list[Point]:
    """Return the Pareto front of hours and error, in rising hours; of points equal in both the first is kept."""

    def cost(point: Point) -> tuple[float, float]:
        return point.hours or 0.0, point.error

    front = pareto_front(points, cost)
    return list({cost(point): point for point in reversed(front)}.values())[::-1]


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move rising positions in [0, 1] apart, by a pass in each direction, until they are `gap` apart."""
    moved: list[float] = []
    for position in positions:
        moved.append(max(position, moved[-1] + gap) if moved else position)
    limit = 1.0
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def draw_pareto_front(found: Sequence[Cloud], title: str) -> Figure:
    """Draw errors against hours on a log axis; points on the fronts are numbered and described below the axes."""
    numbered: list[tuple[int, Point]] = []
    blocks = []
    for cloud in found:
        listed = cloud.front[: MOST_NUMBERED // len(found)]
        members = list(enumerate(listed, start=len(numbered) + 1))
        numbered += members
        names = [f"{number}: {describe(point, cloud.points)}" for number, point in members]
        if len(cloud.front) > len(listed):
            names.append(f"and {len(cloud.front) - len(listed)} more")
        blocks.append([*_handles(cloud), *map(heading_handle, names)])
    heights = [legend_height(block, WIDTH) for block in blocks]
    figure = Figure(figsize=(WIDTH, 4.2 + sum(heights)), layout="constrained")
    grid = figure.subplots(1 + len(heights), 1, height_ratios=[4.2, *heights])
    axes = grid[0]
    for cloud in found:
        _draw_cloud(axes, cloud)
    _set_scales(axes, [point for cloud in found for point in cloud.points])
    set_title(axes, title)
    axes.set_xlabel(f"{hours_name([cloud.hardware for cloud in found])} per run (training and evaluation)")
    axes.set_ylabel("test error at the last epoch (%)")
    axes.grid(visible=True, which="major", alpha=0.3)
    for cloud, block, below in zip(found, blocks, grid[1:], strict=True):
        fill_with_legend(below, block, f"{cloud.origin}: Pareto front on {cloud.hardware}", WIDTH)
    figure.draw_without_rendering()  # fixes the limits that the positions of the numbers depend on
    _number(axes, numbered)
    return figure


def hours_name(devices: Iterable[str]) -> str:
    """Return `GPU-hours` if all devices are GPUs, otherwise `device-hours`."""
    names = [name for device in devices for name in device.split(", ")]
    return "GPU-hours" if all(any(brand in name for brand in GPU_NAMES) for name in names) else "device-hours"


def describe(point: Point, among: Sequence[Point]) -> str:
    """Describe a point on the front in the legend."""
    peers = of_source(among, point.source)
    both = {"batch_size": f"batch {point.batch_size}", "lr": f"lr {point.lr:.4g}"}
    varying = [name for name in both if len({peer.value(name) for peer in peers}) > 1] or [*both]
    parts = [*(both[name] for name in varying), *distinguishing_words(point, among)]
    return f"{shortened(', '.join(parts), NAME_WIDTH)}: {point.error:.2f} %"


def _marks(source: Source) -> dict[str, Any]:
    kind = look(list(Source).index(source))
    face = marker_face(source, kind.color)
    return {"linestyle": "none", "marker": kind.marker, "color": kind.color, "markerfacecolor": face}


def _handles(cloud: Cloud) -> list[Line2D | Patch]:
    return [
        Line2D([], [], label="configuration", **_marks(cloud.source)),
        Line2D([], [], label="Pareto front", color="black", linestyle=LINE_STYLES[cloud.source], linewidth=1.2),
    ]


def _draw_cloud(axes: Axes, cloud: Cloud) -> None:
    marks = _marks(cloud.source)
    hours, errors = ([point.hours or 0.0 for point in cloud.points], [point.error for point in cloud.points])
    axes.plot(hours, errors, markersize=5, rasterized=len(hours) > MOST_VECTOR, **marks)
    hours, errors = ([point.hours or 0.0 for point in cloud.front], [point.error for point in cloud.front])
    style = LINE_STYLES[cloud.source]
    axes.plot(hours, errors, drawstyle="steps-post", color="black", linestyle=style, linewidth=1.2)
    axes.plot(hours, errors, markersize=6, **{**marks, "markeredgecolor": "black"})


def _set_scales(axes: Axes, points: Sequence[Point]) -> None:
    """Set a log scale for the hours, and leave space for the numbers below the lowest error."""
    errors, hours = [point.error for point in points], [point.hours or 0.0 for point in points]
    margin = max((max(hours) / min(hours)) ** 0.06, 2 / (max(hours) / min(hours)) ** 0.5)
    set_log(axes.xaxis, [min(hours) / margin, max(hours) * margin])
    axes.set_xlim(min(hours) / margin, max(hours) * margin)
    lowest, highest = min(errors), max(errors)
    if lowest > 0 and highest > LOG_FROM * lowest:
        height = highest / lowest
        set_log(axes.yaxis, errors)
        axes.set_ylim(lowest / height ** (FOOT / (1 - FOOT)), highest * height**0.06)
    else:
        plain_numbers(axes.yaxis)
        height = (highest - lowest) or max(0.1 * highest, 0.1)
        axes.set_ylim(lowest - height * FOOT / (1 - FOOT), highest + 0.06 * height)


def _number(axes: Axes, numbered: Sequence[tuple[int, Point]]) -> None:
    """Write the numbers along the bottom of the axes and connect them with their points by thin lines."""

    def position(point: Point) -> float:
        x, _ = axes.transAxes.inverted().transform(axes.transData.transform((point.hours or 0.0, point.error)))
        return float(x)

    ordered = sorted(numbered, key=lambda item: position(item[1]))
    positions = spread([position(point) for _, point in ordered], SPACING)
    for (number, point), x in zip(ordered, positions, strict=True):
        axes.annotate(
            str(number),
            xy=(point.hours or 0.0, point.error),
            xytext=(x, 0.025),
            textcoords="axes fraction",
            ha="center",
            va="bottom",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
            zorder=1,
        )
