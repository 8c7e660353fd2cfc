"""Test error against the hours that a run takes, with the Pareto front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from results.figures.points import Point, Source, of_source, published_points, telling_parts, with_error
from results.figures.style import (
    LINE_STYLES,
    heading_handle,
    legend_height,
    legend_in_place_of,
    look,
    marker_face,
    plain_numbers,
    set_log,
    set_title,
)
from results.store.pareto import pareto_front
from trainable.wording import shortened

SPACING = 0.045
"""Between the numbers of the front's members, as a fraction of the axes' width."""
WIDTH = 7.2
"""Inches."""
GPU_NAMES = ("NVIDIA", "GeForce", "Tesla", "Instinct", "Radeon")
LOG_FROM = 2.0
"""Of the error: lower than elsewhere, since it is the crowd at its lower end that matters."""
MOST_NUMBERED = 20
NAME_WIDTH = 70
"""Characters of a member's configuration in the legend."""
FOOT = 0.16
"""Fraction of the axes' height below the lowest point, where the numbers stand."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """One source: all its points, and those that no other one beats in both error and hours."""

    source: Source
    origin: str
    hardware: str
    points: list[Point]
    front: list[Point]
    """In rising hours and falling error."""


def published() -> list[Point]:
    """Every published row."""
    return published_points()


def clouds(points: Sequence[Point]) -> list[Cloud]:
    """What is drawn. Each source has a front of its own: hours on different hardware do not compare."""
    found = []
    for source in Source:
        members = [point for point in with_error(of_source(points, source)) if point.hours]
        if members:
            hardware = ", ".join(sorted({point.hardware for point in members}))
            found.append(Cloud(source, members[0].origin, hardware, members, hours_error_front(members)))
    return found


def hours_error_front(points: Sequence[Point]) -> list[Point]:
    """Return the Pareto front of hours and error, in rising hours; of points equal in both the first is kept."""

    def cost(point: Point) -> tuple[float, float]:
        return point.hours or 0.0, point.error

    front = pareto_front(points, cost)
    return list({cost(point): point for point in reversed(front)}.values())[::-1]


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Rising positions in [0, 1], moved as little as a sweep in each direction does, until `gap` apart."""
    moved: list[float] = []
    for position in positions:
        moved.append(max(position, moved[-1] + gap) if moved else position)
    limit = 1.0
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def draw_pareto_front(found: Sequence[Cloud], title: str) -> Figure:
    """Hours on a log axis; the members of the fronts are numbered below them and named under the axes."""
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
    axes.set_xlabel(f"{hours_name([cloud.hardware for cloud in found])} a run (training and evaluation)")
    axes.set_ylabel("test error at the last epoch (%)")
    axes.grid(visible=True, which="major", alpha=0.3)
    for cloud, block, place in zip(found, blocks, grid[1:], strict=True):
        legend_in_place_of(place, block, f"{cloud.origin}: Pareto front on {cloud.hardware}", WIDTH)
    figure.draw_without_rendering()  # fixes the limits that the places below are fractions of
    _number(axes, numbered)
    return figure


def hours_name(devices: Iterable[str]) -> str:
    """GPU-hours where all devices are GPUs."""
    names = [name for device in devices for name in device.split(", ")]
    return "GPU-hours" if all(any(maker in name for maker in GPU_NAMES) for name in names) else "device-hours"


def describe(point: Point, among: Sequence[Point]) -> str:
    """A member of the front in the legend."""
    parts = [f"batch {point.batch_size}", f"lr {point.lr:.4g}", *telling_parts(point, among)]
    return f"{shortened(', '.join(parts), NAME_WIDTH)}: {point.error:.2f} %"


def _marks(source: Source) -> dict[str, Any]:
    kind = look(list(Source).index(source))
    face = marker_face(source, kind.color)
    return {"linestyle": "none", "marker": kind.marker, "color": kind.color, "markerfacecolor": face}


def _handles(cloud: Cloud) -> list[Line2D | Patch]:
    return [
        Line2D([], [], label="a configuration", **_marks(cloud.source)),
        Line2D([], [], label="Pareto front", color="black", linestyle=LINE_STYLES[cloud.source], linewidth=1.2),
    ]


def _draw_cloud(axes: Axes, cloud: Cloud) -> None:
    marks = _marks(cloud.source)
    hours, errors = ([point.hours or 0.0 for point in cloud.points], [point.error for point in cloud.points])
    axes.plot(hours, errors, markersize=5, **marks)
    hours, errors = ([point.hours or 0.0 for point in cloud.front], [point.error for point in cloud.front])
    style = LINE_STYLES[cloud.source]
    axes.plot(hours, errors, drawstyle="steps-post", color="black", linestyle=style, linewidth=1.2)
    axes.plot(hours, errors, markersize=6, **{**marks, "markeredgecolor": "black"})


def _set_scales(axes: Axes, points: Sequence[Point]) -> None:
    """Log hours with round labels; room for the numbers below the lowest error."""
    errors, hours = [point.error for point in points], [point.hours or 0.0 for point in points]
    margin = max((max(hours) / min(hours)) ** 0.06, 2 / (max(hours) / min(hours)) ** 0.5)
    set_log(axes.xaxis, [min(hours) / margin, max(hours) * margin])
    axes.set_xlim(min(hours) / margin, max(hours) * margin)
    least, most = min(errors), max(errors)
    if least > 0 and most > LOG_FROM * least:
        height = most / least
        set_log(axes.yaxis, errors)
        axes.set_ylim(least / height ** (FOOT / (1 - FOOT)), most * height**0.06)
    else:
        plain_numbers(axes.yaxis)
        height = (most - least) or max(0.1 * most, 0.1)
        axes.set_ylim(least - height * FOOT / (1 - FOOT), most + 0.06 * height)


def _number(axes: Axes, numbered: Sequence[tuple[int, Point]]) -> None:
    """Numbers along the foot of the axes, tied to their points by thin lines through ground that is empty."""

    def place(point: Point) -> float:
        x, _ = axes.transAxes.inverted().transform(axes.transData.transform((point.hours or 0.0, point.error)))
        return float(x)

    ordered = sorted(numbered, key=lambda item: place(item[1]))
    places = spread([place(point) for _, point in ordered], SPACING)
    for (number, point), x in zip(ordered, places, strict=True):
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
