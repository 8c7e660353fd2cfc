"""Test error by the two most important fields, as by learning rate and batch size, with the number in each cell."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from results.figures.points import (
    BASELINE,
    Point,
    Source,
    axis_label,
    distinguishing_words,
    group_rank,
    leading_axes,
    of_source,
    point_axes,
)
from results.figures.style import CHARACTER, text_color, wants_log, wrapped
from results.parquet.axes import Axis, axis_of
from results.parquet.search_results import Parameter
from trainable.grouping import grouped
from trainable.wording import shortened

MOST_COLUMNS = 24
"""With more columns the numbers would not be readable at the width of a page."""
MOST_MAPS = 8
MOST_CELLS = 1500
"""Largest number of cells of all maps together."""
MARGIN = 0.9
"""Inches to the left of the maps, whose rows have short names."""
SHORT = 5
"""Number of characters up to which the name of a row is short."""
LABEL_WIDTH, ROW_LABEL_WIDTH = 60, 24
"""Number of characters in a line of the label of the columns and of the rows."""
COLOR_MAP = "cividis_r"
"""Made for readers with colour blindness (Nunez et al. 2018), with even steps in lightness; dark is a high error."""
NO_ERROR, LOST = "–", "×"
ABSENT: dict[str, Any] = {"facecolor": "white", "hatch": "////", "edgecolor": "#BBBBBB"}
UNFINISHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#777777"}


@dataclass(frozen=True, slots=True)
class MapAxes:
    """The fields of the rows and of the columns, and those that make panels."""

    rows: Axis
    columns: Axis
    panels: tuple[Axis, ...] = ()
    followers: Mapping[Axis, Axis] = field(default_factory=dict)
    """Fields that vary with another one, and so have no axis of their own."""

    @property
    def shown(self) -> list[str]:
        """Names of the fields that the label of a panel does not tell."""
        return [axis.name for axis in (self.rows, self.columns, *self.followers)]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A panel; numbers rise to the top and to the right."""

    label: str
    source: Source
    axes: MapAxes
    columns: list[Any]
    """Values of the columns, in the published tables the learning rates."""
    rows: list[Any]
    """Values of the rows from the top, in the published tables the batch sizes."""
    errors: dict[tuple[Any, Any], float | None]
    """(row, column) -> mean error (percent), None if no run finished; absent if not in the data."""
    lost: frozenset[tuple[Any, Any]] = frozenset()
    """(row, column) of the cells in which a run diverged or failed."""


def map_axes(points: Sequence[Point], parameters: Sequence[Parameter] = ()) -> MapAxes | None:
    """Return the two most important fields that are independent of each other; None if there are fewer."""
    leading, followers = leading_axes(point_axes(points, parameters), points)
    if len(leading) < 2:
        return None
    columns, rows, *panels = leading
    if rows.name == "lr" or columns.name == "batch_size" or (rows.is_number and not columns.is_number):
        rows, columns = columns, rows
    return MapAxes(rows, columns, tuple(panels), followers)


def published_axes(points: Sequence[Point]) -> MapAxes:
    """Return the axes of the published tables: a row for each batch size, a column for each lr."""
    rows, columns = (axis_of(name, [point.value(name) for point in points]) for name in ("batch_size", "lr"))
    return MapAxes(rows, columns, tuple(axis for axis in point_axes(points) if axis not in (rows, columns)))


def heat_maps(points: Sequence[Point], axes: MapAxes | None = None) -> list[HeatMap]:
    """Return what is drawn: a panel per source and whatever differs besides the axes, by default batch size and lr.

    Panels without any error, or with more than `MOST_COLUMNS` columns (a random search), are left out, as are panels
    after the first `MOST_MAPS` or `MOST_CELLS`.
    """
    axes = axes or published_axes(points)
    rows, columns = axes.rows, axes.columns
    maps: list[HeatMap] = []
    num_cells = 0
    for members in _groups(points, axes):
        cells = [((point.value(rows.name), point.value(columns.name)), point) for point in members]
        in_rows = [value for value in rows.values if value in {row for (row, _), _ in cells}]
        cells = [((point.value(rows.name), point.value(columns.name)), point) for point in members]
        found_rows, found_columns = (set(found) for found in zip(*(cell for cell, _ in cells), strict=True))
        in_rows = [value for value in rows.values if value in found_rows]
        in_columns = [value for value in columns.values if value in found_columns]
        size = len(in_columns) * len(in_rows)
        if len(maps) == MOST_MAPS or len(in_columns) > MOST_COLUMNS or num_cells + size > MOST_CELLS:
            continue
        num_cells += size
        maps.append(
            HeatMap(
                label=", ".join([members[0].origin, *_words(members[0], points, axes)]),
                source=members[0].source,
                axes=axes,
                columns=in_columns,
                rows=in_rows[::-1] if rows.is_number else in_rows,
                errors={
                    cell: point.error if point.errors else None
                    for cell, point in sorted(cells, key=lambda item: bool(item[1].errors))
                },
                lost=frozenset(cell for cell, point in cells if point.is_lost),
            )
        )
    return maps


def _words(point: Point, points: Sequence[Point], axes: MapAxes) -> list[str]:
    is_single = len(_groups(of_source(points, point.source), axes)) == 1
    return distinguishing_words(point, points, axes.shown) or [BASELINE] * (not is_single)


def left_out(points: Sequence[Point], axes: MapAxes | None = None) -> int:
    """Return the number of panels with an error that `heat_maps` leaves out."""
    axes = axes or published_axes(points)
    return len(_groups(points, axes)) - len(heat_maps(points, axes))


def _groups(points: Sequence[Point], axes: MapAxes) -> list[list[Point]]:
    """Return the points of each panel that has an error."""
    rank = group_rank(points, axes.panels)
    groups = grouped(points, lambda point: (list(Source).index(point.source), *rank(point)))
    return [groups[panel] for panel in sorted(groups) if any(point.errors for point in groups[panel])]


def draw_heat_maps(maps: Sequence[HeatMap], title: str) -> Figure:
    """Draw the panels one below the other, with a colour scale per source; cells without data are hatched."""
    heights = [0.36 * len(panel.rows) + 0.9 for panel in maps]
    longest = max((len(panel.axes.rows.text(value)) for panel in maps for value in panel.rows), default=0)
    margin = MARGIN + CHARACTER * max(0, longest - SHORT)
    width = max(6.4, margin + 0.7 + 0.52 * max((len(panel.columns) for panel in maps), default=0))
    figure = Figure(figsize=(width, sum(heights) + 0.9), layout="constrained")
    all_axes = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for area, panel in zip(all_axes, maps, strict=True):
        alike = [other for other in maps if other.source is panel.source]
        errors = [error for other in alike for error in other.errors.values() if error is not None]
        _draw_map(area, panel, (LogNorm if wants_log(errors) else Normalize)(min(errors), max(errors)))
        _label_map(area, panel)
        if len(maps) > 1:
            label = shortened(panel.label, int((width - margin) / CHARACTER))
            area.set_title(label, fontsize="small", loc="left")
    figure.suptitle(wrapped(f"test error at the last epoch (%)\n{title}", int(width * 11)), fontsize="medium")
    handles = _legend(maps)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def _draw_map(area: Axes, panel: HeatMap, scale: Normalize) -> None:
    colors: Colormap = colormaps[COLOR_MAP]
    for row, column in itertools.product(range(len(panel.rows)), range(len(panel.columns))):
        cell = panel.rows[row], panel.columns[column]
        if cell not in panel.errors:
            _cell(area, column, row, **ABSENT)
            continue
        error = panel.errors[cell]
        color = None if error is None else colors(float(scale(error)))
        _cell(area, column, row, **(UNFINISHED if color is None else {"facecolor": color, "edgecolor": "white"}))
        text = ("" if cell in panel.lost else NO_ERROR) if error is None else f"{error:.2f}"
        ink = "black" if color is None else text_color(color)
        mark = LOST * (cell in panel.lost)
        area.text(column, row, f"{text}{mark}", ha="center", va="center", fontsize=8, color=ink)
    area.set_xlim(-0.5, len(panel.columns) - 0.5)
    area.set_ylim(len(panel.rows) - 0.5, -0.5)


def _label_map(area: Axes, panel: HeatMap) -> None:
    rows, columns = panel.axes.rows, panel.axes.columns
    texts = [columns.text(value) for value in panel.columns]
    vertical = len(texts) > 1 and max(map(len, texts)) > 6
    area.set_xticks(range(len(texts)), texts, rotation=90 if vertical else 0)
    area.set_yticks(range(len(panel.rows)), [rows.text(value) for value in panel.rows])
    area.tick_params(length=0)
    area.set_xlabel(wrapped(axis_label(columns, panel.axes.followers), LABEL_WIDTH))
    area.set_ylabel(wrapped(axis_label(rows, panel.axes.followers), ROW_LABEL_WIDTH))


def _cell(area: Axes, column: int, row: int, **look: Any) -> None:  # noqa: ANN401 (as matplotlib)
    area.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, linewidth=0.8, **look))


def _legend(maps: Sequence[HeatMap]) -> list[Patch]:
    handles = []
    if any(len(panel.errors) < len(panel.columns) * len(panel.rows) for panel in maps):
        handles.append(Patch(label="not in the data", **ABSENT))
    missing = [(panel, cell) for panel in maps for cell, error in panel.errors.items() if error is None]
    if any(cell not in panel.lost for panel, cell in missing):
        handles.append(Patch(label=f"{NO_ERROR}  no run finished", **UNFINISHED))
    if any(panel.lost for panel in maps):
        handles.append(Patch(label=f"{LOST}  runs diverged or failed", **UNFINISHED))
    return handles
