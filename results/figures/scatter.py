"""Any field or result of trials against any other, with a third as colours and a fourth in panels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.axis import Axis as PlotAxis
from matplotlib.axis import XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from results.figures.fields import is_mean, is_parameter
from results.figures.marks import LOST, LostTrial, Mark, Scatter
from results.figures.points import axis_scale
from results.figures.style import (
    GRADIENT,
    MOST_VECTOR,
    SWEEP_STYLES,
    label_ticks,
    labelled_digits,
    legend_columns,
    legend_height,
    look,
    plain_numbers,
    set_log,
    wrapped,
)
from results.parquet.axes import Axis
from trainable.grouping import grouped
from trainable.wording import shortened

LOST_COLOR = "#7F7F7F"
MOST_LABELLED = 14
"""Largest number of values of a field that are all labelled on its axis."""
MOST_COLORS = 8
"""Largest number of values of a field that have a colour and a marker each, in place of a colour bar."""
MOST_COLUMNS = 3
MOST_HORIZONTAL = 30
"""Largest number of characters of all words of an axis that are written horizontally."""
WIDTHS, HEIGHTS = {1: 5.6, 2: 3.9, 3: 3.2}, {1: 3.6}
"""Size of a panel in inches, by the number of columns or rows."""
BAR_WIDTH, MARGIN, LINE_HEIGHT = 1.2, 0.6, 0.2
"""Inches that the colour bar takes, or the margin without one, and a line of the title."""
SPREAD = 0.5
"""Part of the space of a word over which marks are spread that would cover each other."""
ENTRY_WIDTH = 24
"""Width in characters of an entry of the legend."""
MARK_SIZE = 28
"""Area of a mark in points squared."""
MOST_NESTED = 4
"""Largest number of looks at one point that are drawn within each other, the last one smallest."""
MANY = 200
"""Number of marks of a series above which they are smaller."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours and markers of a scatter."""

    content: Scatter
    norm: Normalize | None
    """The scale of the colour bar; None if colours stand for words, for a few numbers, or for sweeps."""

    @classmethod
    def of_scatter(cls, content: Scatter) -> "Palette":
        """Return the colours and markers of what is drawn."""
        axis = content.axes.get("color")
        if axis is None or not axis.is_number:
            return cls(content, None)
        if len(axis.values) <= MOST_COLORS and not is_mean(axis) and not _is_drawn(content, axis):
            return cls(content, None)
        scale, ends = axis_scale(axis), (min(axis.values), max(axis.values))
        if scale["value"] == "symlog":
            return cls(content, SymLogNorm(scale["linthresh"], vmin=ends[0], vmax=ends[1]))
        return cls(content, (LogNorm if scale["value"] == "log" else Normalize)(*ends))

    @property
    def color_axis(self) -> Axis | None:
        """What colours tell; None if it is the sweep."""
        return self.content.axes.get("color")

    def look(self, sweep: str, values: Mapping[str, Any]) -> tuple[Any, str]:
        """Return colour and marker of a mark; markers tell the sweeps apart, or else the values of the colours."""
        own = look(self.content.sweeps.index(sweep))
        axis, norm = self.color_axis, self.norm
        if axis is None:
            return own.color, own.marker
        if "color" not in values:
            return LOST_COLOR, own.marker
        if norm is not None:
            return GRADIENT(float(norm(values["color"]))), own.marker
        word = look(axis.values.index(values["color"]))
        return word.color, word.marker if len(self.content.sweeps) == 1 else own.marker

    def line(self, sweep: str) -> Any:  # noqa: ANN401 (a line style of matplotlib)
        """Return the line style of a sweep; none if the marks are not joined."""
        return (
            SWEEP_STYLES[self.content.sweeps.index(sweep) % len(SWEEP_STYLES)] if self.content.is_joined else "none"
        )

    def handles(self) -> list[Line2D]:
        """Return the legend: the values that colours stand for, and the sweeps if there are several."""
        axis, sweeps = self.color_axis, self.content.sweeps
        entries = []
        if axis is not None and self.norm is None:
            for value in axis.values:
                words = shortened(axis.text(value), ENTRY_WIDTH)
                entries.append((words, *self.look(sweeps[0], {"color": value}), self.line(sweeps[0])))
        if len(sweeps) > 1:
            for sweep in sweeps:
                color, marker = self.look(sweep, {})
                entries.append((sweep, color if axis is None else "black", marker, self.line(sweep)))
        return [
            Line2D([], [], label=words, color=color, marker=marker, linestyle=line)
            for words, color, marker, line in entries
        ]


class Placed(NamedTuple):
    """A mark and where it stands."""

    mark: Mark
    x: float
    y: float


def draw_scatter(content: Scatter) -> Figure:
    """Draw a mark per configuration, with bars over its repeats, and trials without a value at the edge."""
    palette, panel_axis = Palette.of_scatter(content), content.axes.get("panel")
    panels = (None,) if panel_axis is None else panel_axis.values
    columns = min(len(panels), MOST_COLUMNS)
    rows, handles = -(-len(panels) // columns), palette.handles()
    width = columns * WIDTHS[columns] + (BAR_WIDTH if palette.norm else MARGIN)
    heading = wrapped(content.title, int(12 * width))
    height = rows * HEIGHTS.get(rows, 2.8) + LINE_HEIGHT * (heading.count("\n") + 1)
    figure = Figure(figsize=(width, height + (legend_height(handles, width) if handles else 0)), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for position, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        _draw_marks(axes, palette, [mark for mark in content.marks if mark.values.get("panel") == panel])
        _draw_lost(axes, palette, [trial for trial in content.lost if trial.values.get("panel") == panel])
        if panel_axis is not None:
            axes.set_title(f"{content.labels['panel']} {panel_axis.text(panel)}", fontsize="medium")
        axes.grid(visible=True, which="major", alpha=0.3)
        if position % columns == 0:
            axes.set_ylabel(content.labels["y"])
        if position + columns >= len(panels):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(content.labels["x"])
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.suptitle(heading, fontsize="medium")
    _explain(figure, grid[: len(panels)], palette)
    for role, plot_axis in (("y", grid[0].yaxis), ("x", grid[len(panels) - 1].xaxis)):
        axis = content.axes[role]
        labelled = is_parameter(axis.name) and len(axis.values) <= MOST_LABELLED and not _is_drawn(content, axis)
        _set_axis(figure, plot_axis, axis, has_all=labelled)
    return figure


def _explain(figure: Figure, grid: Sequence[Axes], palette: Palette) -> None:
    """Draw the colour bar, with a tick at each value if there are few, and the legend."""
    axis, norm, label = palette.color_axis, palette.norm, palette.content.labels.get("color", "")
    if axis is not None and norm is not None:
        bar = figure.colorbar(ScalarMappable(norm, GRADIENT), ax=grid, pad=0.02, label=label).ax.yaxis
        if isinstance(norm, LogNorm):
            bar.set_major_locator(LogLocator(subs=labelled_digits(max(axis.values) / min(axis.values))))
        elif _are_whole(axis):
            bar.set_major_locator(MaxNLocator(integer=True))
        bar.set_minor_locator(NullLocator())
        plain_numbers(bar)
    if handles := palette.handles():
        figure.legend(
            handles=handles,
            title=label if norm is None else "",
            loc="outside lower center",
            fontsize="small",
            title_fontsize="small",
            ncols=legend_columns(handles, figure.get_figwidth()),
            frameon=False,
        )


def _is_drawn(content: Scatter, axis: Axis) -> bool:
    """Return whether the values of an axis were drawn from a range, so that they hardly repeat."""
    return content.has_ranges and 2 * len(axis.values) > len(content.marks) + len(content.lost)


def _are_whole(axis: Axis) -> bool:
    return all(isinstance(value, int) for value in axis.values)


def _position(axis: Axis, value: Any) -> float:  # noqa: ANN401 (whatever the field holds)
    """Return where a value stands on an axis; words stand at whole numbers."""
    return float(value) if axis.is_number else float(axis.values.index(value))


def _draw_marks(axes: Axes, palette: Palette, marks: Sequence[Mark]) -> None:
    """Draw the marks of a panel, with their error bars and the lines that join them."""
    content = palette.content
    is_joined = content.is_joined
    for role, set_scale in (("x", axes.set_xscale), ("y", axes.set_yscale)):
        axis = content.axes[role]
        set_scale(**(axis_scale(axis) if is_parameter(axis.name) else {"value": "log" if axis.is_log else "linear"}))

    def series_of(placed: Placed) -> tuple[str, Any]:
        mark = placed.mark
        return mark.sweep, mark.values.get("color") if is_joined else palette.look(mark.sweep, mark.values)[1]

    placed = _placed(content, marks)
    series = grouped(placed, series_of)
    drawn = [each for members in series.values() for each in members]
    factors = _factors([(each.x, each.y, palette.look(each.mark.sweep, each.mark.values)) for each in drawn])
    for (sweep, _), members in series.items():
        colors, markers = zip(*(palette.look(sweep, mark.values) for mark, *_ in members), strict=True)
        xs, ys = [each.x for each in members], [each.y for each in members]
        if is_joined:
            axes.plot(xs, ys, color=colors[0], linestyle=palette.line(sweep), linewidth=1.4)
        size = MARK_SIZE if len(members) <= MANY else MARK_SIZE / 3
        is_raster, sizes = len(members) > MOST_VECTOR, [size * next(factors) for _ in members]
        axes.scatter(xs, ys, c=colors, marker=markers[0], s=sizes, zorder=3, rasterized=is_raster)
    _draw_bars(axes, palette, [each for each in placed if each.mark.has_bars])


def _placed(content: Scatter, marks: Sequence[Mark]) -> list[Placed]:
    """Return where each mark stands, in the order of the x axis; marks of one word are spread beside each other."""
    x_axis, y_axis = content.axes["x"], content.axes["y"]
    crowds = grouped(marks, lambda mark: (mark.values["x"], None if y_axis.is_number else mark.values["y"]))
    found = []
    for crowd in crowds.values():
        for index, mark in enumerate(crowd):
            shift = 0.0 if x_axis.is_number or len(crowd) == 1 else SPREAD * (index / (len(crowd) - 1) - 0.5)
            x, y = _position(x_axis, mark.values["x"]) + shift, _position(y_axis, mark.values["y"])
            found.append(Placed(mark, x, y))
    return sorted(found, key=lambda placed: placed.x)


def _factors(drawn: Sequence[tuple[Any, ...]]) -> Iterator[int]:
    """Yield a factor for the size of each mark (x, y, look), so that later ones of another look do not cover it."""
    later: dict[tuple[float, float], set[Any]] = {}
    factors = []
    for x, y, *kind in reversed(drawn):
        found = later.setdefault((x, y), set())
        found.add(tuple(kind))
        factors.append(min(len(found), MOST_NESTED))
    yield from reversed(factors)


def _draw_bars(axes: Axes, palette: Palette, placed: Sequence[Placed]) -> None:
    """Draw the error bars of a panel in the colours of their marks."""
    for color, members in grouped(
        placed, lambda placed: palette.look(placed.mark.sweep, placed.mark.values)[0]
    ).items():
        xs, ys = [each.x for each in members], [each.y for each in members]
        wide, high = (_bars([mark for mark, *_ in members], role) for role in ("x", "y"))
        style: Any = {"fmt": "none", "ecolor": color, "capsize": 3, "elinewidth": 1.0}
        for part in axes.errorbar(xs, ys, yerr=high, xerr=wide, **style).get_children():
            part.set_rasterized(len(placed) > MOST_VECTOR)


def _bars(marks: Sequence[Mark], role: str) -> list[tuple[float, ...]] | None:
    """Return the distances from each mean to the lowest and to the highest value; None if it is no mean."""
    if role not in marks[0].spans:
        return None
    spans = [(mark.values[role] - mark.spans[role][0], mark.spans[role][1] - mark.values[role]) for mark in marks]
    return list(zip(*spans, strict=True))


def _draw_lost(axes: Axes, palette: Palette, lost: Sequence[LostTrial]) -> None:
    """Mark trials without a value: at the upper edge without y, at the right edge without x."""
    transforms = {
        (True, True): axes.transData,
        (True, False): axes.get_xaxis_transform(),
        (False, True): axes.get_yaxis_transform(),
        (False, False): axes.transAxes,
    }
    for (status, *known), members in grouped(
        lost, lambda trial: (trial.status, "x" in trial.values, "y" in trial.values)
    ).items():
        xs, ys = (
            [
                _position(palette.content.axes[role], trial.values[role]) if role in trial.values else 1.0
                for trial in members
            ]
            for role in ("x", "y")
        )
        colors = [palette.look(trial.sweep, trial.values)[0] for trial in members]
        axes.update_datalim(list(zip(xs, ys, strict=True)), updatex=known[0], updatey=known[1])
        axes.scatter(
            xs,
            ys,
            c=colors,
            marker=LOST[status][0],
            s=[1.2 * MARK_SIZE * factor for factor in _factors(list(zip(xs, ys, colors, strict=True)))],
            transform=transforms[known[0], known[1]],
            clip_on=False,
            zorder=4,
            rasterized=len(members) > MOST_VECTOR,
        )
    axes.autoscale_view()


def _set_axis(figure: Figure, plot_axis: PlotAxis, axis: Axis, *, has_all: bool) -> None:
    """Label an axis at all its values, at their words, or at round numbers."""
    is_x = isinstance(plot_axis, XAxis)
    if not axis.is_number:
        words = [shortened(axis.text(value), ENTRY_WIDTH) for value in axis.values]
        plot_axis.set_ticks(range(len(words)), words)
        if is_x and sum(map(len, words)) > MOST_HORIZONTAL:
            plot_axis.set_tick_params(rotation=45)
        (plot_axis.axes.set_xlim if is_x else plot_axis.axes.set_ylim)(-0.5, len(words) - 0.5)
    elif has_all:
        label_ticks(figure, plot_axis, dict.fromkeys(axis.values, 1))
    elif axis.is_log:
        set_log(plot_axis, axis.values)
        low, high = sorted(plot_axis.get_view_interval())
        ticks = [float(tick) for tick in plot_axis.get_majorticklocs() if low <= tick <= high]
        if _are_whole(axis):
            ticks = [tick for tick in ticks if tick.is_integer()]
        label_ticks(figure, plot_axis, {tick: int(f"{tick:e}".startswith("1.0")) for tick in ticks})
    else:
        if _are_whole(axis) and plot_axis.get_scale() == "linear":
            plot_axis.set_major_locator(MaxNLocator(integer=True))
        plain_numbers(plot_axis)
