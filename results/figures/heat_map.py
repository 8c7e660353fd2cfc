"""Test error over learning rate and batch size, the figure printed in each cell."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from results.figures.error_by_lr import published
from results.figures.points import Point, Source, telling_parts
from results.figures.style import CHARACTER, broken, text_color, wants_log
from trainable.wording import shortened

__all__ = ["HeatMap", "draw_heat_maps", "heat_maps", "published"]

MOST_COLUMNS = 24
"""Above it the figures in the cells would not be readable at the width of a page."""
MOST_MAPS = 8
MARGIN = 0.9
"""Inches left of the maps."""
COLOR_MAP = "cividis_r"
"""Made for colour-blind readers (Nunez et al. 2018), and falls evenly in lightness: dark is a high error."""
NO_ERROR = "–"


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One panel: rows in falling batch size, columns in rising lr."""

    label: str
    source: Source
    lrs: list[float]
    batch_sizes: list[int]
    errors: dict[tuple[int, float], float | None]
    """(batch size, lr) -> mean error (percent) over the repeats, None where no run finished; absent if not in
    the data."""


def heat_maps(points: Sequence[Point]) -> list[HeatMap]:
    """What is drawn: a panel for each source, number of epochs, and whatever else differs.

    Left out: panels without any error, and those with more than `MOST_COLUMNS` learning rates (a random
    search), which no page could hold.
    """
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        groups.setdefault((list(Source).index(point.source), point.epochs, *point.variant), []).append(point)
    maps = []
    for _, members in sorted(groups.items(), key=lambda item: item[0][:2]):
        lrs = sorted({point.lr for point in members})
        if len(lrs) > MOST_COLUMNS or not any(point.errors for point in members):
            continue
        maps.append(
            HeatMap(
                label=", ".join([members[0].origin, *telling_parts(members[0], points)]),
                source=members[0].source,
                lrs=lrs,
                batch_sizes=sorted({point.batch_size for point in members}, reverse=True),
                errors={
                    (point.batch_size, point.lr): point.error if point.errors else None
                    for point in sorted(members, key=lambda point: bool(point.errors))
                },
            )
        )
    return maps[:MOST_MAPS]


def draw_heat_maps(maps: Sequence[HeatMap], title: str) -> Figure:
    """Panels below each other with one scale of colours a source; what is not in the data is hatched."""
    heights = [0.36 * len(one.batch_sizes) + 0.9 for one in maps]
    width = max(6.4, 1.6 + 0.52 * max((len(one.lrs) for one in maps), default=0))
    figure = Figure(figsize=(width, sum(heights) + 0.9), layout="constrained")
    panels = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, one in zip(panels, maps, strict=True):
        errors = [
            error
            for other in maps
            if other.source is one.source
            for error in other.errors.values()
            if error is not None
        ]
        _draw_map(axes, one, (LogNorm if wants_log(errors) else Normalize)(min(errors), max(errors)))
        if len(maps) > 1:
            label = shortened(one.label, int((width - MARGIN) / CHARACTER))
            axes.set_title(label, fontsize="small", loc="left")
    figure.suptitle(broken(f"test error at the last epoch (%)\n{title}", int(width * 11)), fontsize="medium")
    handles = _legend(maps)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def _draw_map(axes: Axes, one: HeatMap, scale: Normalize) -> None:
    colors: Colormap = colormaps[COLOR_MAP]
    for row, batch_size in enumerate(one.batch_sizes):
        for column, lr in enumerate(one.lrs):
            if (batch_size, lr) not in one.errors:
                _cell(axes, column, row, facecolor="white", hatch="////", edgecolor="#BBBBBB")
                continue
            error = one.errors[batch_size, lr]
            color = "white" if error is None else colors(float(scale(error)))
            _cell(axes, column, row, facecolor=color, edgecolor="white" if error is not None else "#777777")
            axes.text(
                column,
                row,
                NO_ERROR if error is None else f"{error:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color="black" if error is None else text_color(colors(float(scale(error)))),
            )
    axes.set_xlim(-0.5, len(one.lrs) - 0.5)
    axes.set_ylim(len(one.batch_sizes) - 0.5, -0.5)
    upright = len(one.lrs) > 1 and max(len(f"{lr:.4g}") for lr in one.lrs) > 6
    axes.set_xticks(range(len(one.lrs)), [f"{lr:.4g}" for lr in one.lrs], rotation=90 if upright else 0)
    axes.set_yticks(range(len(one.batch_sizes)), [str(size) for size in one.batch_sizes])
    axes.tick_params(length=0)
    axes.set_xlabel("initial learning rate")
    axes.set_ylabel("batch size")


def _cell(axes: Axes, column: int, row: int, **look: object) -> None:
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, linewidth=0.8, **look))  # type: ignore[arg-type]


def _legend(maps: Sequence[HeatMap]) -> list[Patch]:
    handles = []
    if any(len(one.errors) < len(one.lrs) * len(one.batch_sizes) for one in maps):
        handles.append(Patch(facecolor="white", hatch="////", edgecolor="#BBBBBB", label="not in the data"))
    if any(error is None for one in maps for error in one.errors.values()):
        handles.append(Patch(facecolor="white", edgecolor="#777777", label=f"{NO_ERROR}  no run finished"))
    return handles
