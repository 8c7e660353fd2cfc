"""Test error by learning rate and batch size, with the number in each cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from results.figures.points import BASELINE, Point, Source, distinguishing_words, of_source
from results.figures.style import CHARACTER, text_color, wants_log, wrapped
from trainable.grouping import grouped
from trainable.wording import shortened

MOST_COLUMNS = 24
"""With more columns the numbers would not be readable at the width of a page."""
MOST_MAPS = 8
MOST_CELLS = 1500
"""Largest number of cells of all maps together."""
MARGIN = 0.9
"""Inches to the left of the maps."""
COLOR_MAP = "cividis_r"
"""Made for readers with colour blindness (Nunez et al. 2018), with even steps in lightness; dark is a high error."""
NO_ERROR = "–"
ABSENT: dict[str, Any] = {"facecolor": "white", "hatch": "////", "edgecolor": "#BBBBBB"}
UNFINISHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#777777"}


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A panel with rows in falling batch size and columns in rising lr."""

    label: str
    source: Source
    lrs: list[float]
    batch_sizes: list[int]
    errors: dict[tuple[int, float], float | None]
    """(batch size, lr) -> mean error (percent), None if no run finished; absent if not in the data."""


def heat_maps(points: Sequence[Point]) -> list[HeatMap]:
    """Return what is drawn: a panel per source, number of epochs, and whatever else differs.

    Panels without any error, or with more than `MOST_COLUMNS` learning rates (a random search), are left out, as are
    panels after the first `MOST_MAPS` or `MOST_CELLS`.
    """
    maps: list[HeatMap] = []
    num_cells = 0
    for members in _groups(points):
        lrs = sorted({point.lr for point in members})
        size = len(lrs) * len({point.batch_size for point in members})
        if len(maps) == MOST_MAPS or len(lrs) > MOST_COLUMNS or num_cells + size > MOST_CELLS:
            continue
        num_cells += size
        maps.append(
            HeatMap(
                label=", ".join([members[0].origin, *_words(members[0], points)]),
                source=members[0].source,
                lrs=lrs,
                batch_sizes=sorted({point.batch_size for point in members}, reverse=True),
                errors={
                    (point.batch_size, point.lr): point.error if point.errors else None
                    for point in sorted(members, key=lambda point: bool(point.errors))
                },
            )
        )
    return maps


def _words(point: Point, points: Sequence[Point]) -> list[str]:
    is_single = len({other.variant for other in of_source(points, point.source)}) == 1
    return distinguishing_words(point, points) or [BASELINE] * (not is_single)


def left_out(points: Sequence[Point]) -> int:
    """Return the number of panels with an error that `heat_maps` leaves out."""
    return len(_groups(points)) - len(heat_maps(points))


def _groups(points: Sequence[Point]) -> list[list[Point]]:
    """Return the points of each panel that has an error."""
    groups = grouped(points, lambda point: (list(Source).index(point.source), point.epochs, point.variant))
    ordered = sorted(groups.items(), key=lambda item: item[0][:2])
    return [members for _, members in ordered if any(point.errors for point in members)]


def draw_heat_maps(maps: Sequence[HeatMap], title: str) -> Figure:
    """Draw the panels one below the other, with a colour scale per source; cells without data are hatched."""
    heights = [0.36 * len(panel.batch_sizes) + 0.9 for panel in maps]
    width = max(6.4, 1.6 + 0.52 * max((len(panel.lrs) for panel in maps), default=0))
    figure = Figure(figsize=(width, sum(heights) + 0.9), layout="constrained")
    all_axes = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(all_axes, maps, strict=True):
        alike = [other for other in maps if other.source is panel.source]
        errors = [error for other in alike for error in other.errors.values() if error is not None]
        _draw_map(axes, panel, (LogNorm if wants_log(errors) else Normalize)(min(errors), max(errors)))
        if len(maps) > 1:
            label = shortened(panel.label, int((width - MARGIN) / CHARACTER))
            axes.set_title(label, fontsize="small", loc="left")
    figure.suptitle(wrapped(f"test error at the last epoch (%)\n{title}", int(width * 11)), fontsize="medium")
    handles = _legend(maps)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def _draw_map(axes: Axes, panel: HeatMap, scale: Normalize) -> None:
    colors: Colormap = colormaps[COLOR_MAP]
    for row, batch_size in enumerate(panel.batch_sizes):
        for column, lr in enumerate(panel.lrs):
            if (batch_size, lr) not in panel.errors:
                _cell(axes, column, row, **ABSENT)
                continue
            error = panel.errors[batch_size, lr]
            color = None if error is None else colors(float(scale(error)))
            _cell(axes, column, row, **(UNFINISHED if color is None else {"facecolor": color, "edgecolor": "white"}))
            text = NO_ERROR if error is None else f"{error:.2f}"
            ink = "black" if color is None else text_color(color)
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    axes.set_xlim(-0.5, len(panel.lrs) - 0.5)
    axes.set_ylim(len(panel.batch_sizes) - 0.5, -0.5)
    vertical = len(panel.lrs) > 1 and max(len(f"{lr:.4g}") for lr in panel.lrs) > 6
    axes.set_xticks(range(len(panel.lrs)), [f"{lr:.4g}" for lr in panel.lrs], rotation=90 if vertical else 0)
    axes.set_yticks(range(len(panel.batch_sizes)), [str(size) for size in panel.batch_sizes])
    axes.tick_params(length=0)
    axes.set_xlabel("initial learning rate")
    axes.set_ylabel("batch size")


def _cell(axes: Axes, column: int, row: int, **look: Any) -> None:  # noqa: ANN401 (as matplotlib)
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, linewidth=0.8, **look))


def _legend(maps: Sequence[HeatMap]) -> list[Patch]:
    handles = []
    if any(len(panel.errors) < len(panel.lrs) * len(panel.batch_sizes) for panel in maps):
        handles.append(Patch(label="not in the data", **ABSENT))
    if any(error is None for panel in maps for error in panel.errors.values()):
        handles.append(Patch(label=f"{NO_ERROR}  no run finished", **UNFINISHED))
    return handles
