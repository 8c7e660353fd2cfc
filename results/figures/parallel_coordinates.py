"""Parallel coordinates of a search: a line per trial through its parameters to its objective."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from results.figures.points import LOST
from results.figures.style import GRADIENT, LOST_STYLE, labelled_digits, wants_log, wrapped
from results.parquet.axes import axis_of
from results.parquet.search_results import Parameter, SearchResults
from results.store.search_settings import Scalar
from trainable.wording import printable_line

STOPPED_COLOR = "#B5B5B5"
LOST_COLOR = "#B03030"
LOST_HEIGHT = 1.045
"""Height at which the lines of trials without a value end."""
MARGIN = 0.06
"""Margin of each axis above and below its values."""
MOST_TICKS = 9
MOST_LINES = 300
"""Largest number of trials that are drawn, the best ones."""
WIDEST = 12.5
"""Largest width in inches that is readable on a page."""
CROWDED = 8
"""Number of axes from which on their names are in small print."""
BAR_WIDTH = 32
"""Width in characters of a line of the label of the colour bar."""
NARROW = 14
"""Width in characters of a line of an axis name."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A vertical axis."""

    name: str
    ticks: list[tuple[float, str]]
    """(height in [0, 1], text)."""


@dataclass(frozen=True, slots=True)
class TrialLine:
    """Line of a trial."""

    number: int
    heights: list[float]
    """Height on each axis, in [0, 1]; NaN if the trial has no such value."""
    value: float
    """Value of the first objective."""
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ParallelCoordinates:
    """Everything that is drawn."""

    scales: list[Scale]
    num_trials: int
    """Number of trials with a value; `lines` has at most `MOST_LINES`."""
    lost: list[list[float]]
    """Heights of the lines of trials that diverged or failed, at most `MOST_LINES`; they end above the objective."""
    lines: list[TrialLine]
    """Stopped trials, then completed ones from the worst to the best, so that the best are on top."""
    best: TrialLine | None
    """Line of the trial with the least value, of those that the search may choose from."""
    best_label: str
    """Description of the best line."""


def parallel_coordinates(search: SearchResults) -> ParallelCoordinates | None:
    """Return what is drawn; None if no trial has completed."""
    known = [trial for trial in search.trials if trial.values]
    lost = [trial for trial in search.trials if not trial.values and trial.status in LOST]
    if not any(trial.is_complete for trial in known):
        return None
    columns: list[tuple[Scale, list[float]]] = []
    for parameter in search.parameters:
        columns.append(_parameter_column(parameter, [trial.params[parameter.name] for trial in [*known, *lost]]))
    for index, objective in enumerate(search.objectives):
        found = [trial.values[index] for trial in known]
        scale, heights = _column(objective.label, found, log=wants_log(found))
        columns.append((scale, [*heights, *([math.nan if index else LOST_HEIGHT] * len(lost))]))
    rows = list(zip(*(heights for _, heights in columns), strict=True))
    lines = [
        TrialLine(trial.number, list(row), trial.values[0], trial.is_complete)
        for trial, row in zip(known, rows, strict=False)
    ]
    lines.sort(key=lambda line: (line.is_complete, -line.value, line.number))
    at_edge = [list(row) for row in rows[len(known) :]][:MOST_LINES]
    best = next((line for trial in search.best for line in lines if line.number == trial.number), None)
    label = "best of the last generation" if search.is_population else "best"
    if len(search.objectives) > 1:
        label = f"least {search.objectives[0].name}"
    scales = [scale for scale, _ in columns]
    return ParallelCoordinates(scales, len(lines), at_edge, lines[-MOST_LINES:], best, label)


def _parameter_column(parameter: Parameter, values: Sequence[Scalar]) -> tuple[Scale, list[float]]:
    """Return the axis of a parameter, with words and None as categories, and the height of each value on it."""
    if parameter.choices is None:
        return _column(parameter.name, values, log=parameter.log)
    axis = axis_of(parameter.name, [*parameter.choices, *values], [parameter])
    heights = {value: _height(index, 0, len(axis.values) - 1) for value, index in axis.positions.items()}
    ticks = [(height, axis.text(value)) for value, height in heights.items()]
    return Scale(parameter.name, ticks), [heights[value] for value in values]


def _column(name: str, values: Sequence[Scalar], *, log: bool) -> tuple[Scale, list[float]]:
    """Return the axis of numbers and the height of each value on it."""
    numbers = [float(value) if isinstance(value, int | float) else math.nan for value in values]
    known = [number for number in numbers if not math.isnan(number)]
    low, high = min(known), max(known)
    locator: Any = (
        LogLocator(subs=labelled_digits(high / low)) if log else MaxNLocator(MOST_TICKS - 1, steps=[1, 2, 5, 10])
    )
    transform = math.log if log else float
    ends = (transform(low), transform(high))
    ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high] if low < high else [low]
    return (
        Scale(name, [(_height(transform(tick), *ends), f"{tick:.4g}") for tick in ticks]),
        [math.nan if math.isnan(number) else _height(transform(number), *ends) for number in numbers],
    )


def _height(value: float, low: float, high: float) -> float:
    """Return the height of a value between two ends, in [0, 1]; 0.5 if the ends are equal."""
    return (value - low) / (high - low) if high > low else 0.5


def draw_parallel_coordinates(content: ParallelCoordinates, objective: str, title: str) -> Figure:
    """Draw lines coloured by the first objective, those of stopped trials in grey."""
    count = len(content.scales)
    figure = Figure(figsize=(min(max(7.2, 2.0 + 1.5 * count), WIDEST), 4.6), layout="constrained")
    axes = figure.subplots()
    complete = [line.value for line in content.lines if line.is_complete]
    norm = (LogNorm if wants_log(complete) else Normalize)(min(complete), max(complete))
    for line in content.lines:
        color: Any = GRADIENT(float(norm(line.value))) if line.is_complete else STOPPED_COLOR
        style: Any = "solid" if line.is_complete else (0, (3, 2))
        axes.plot(
            range(count), line.heights, color=color, linestyle=style, linewidth=1.4 if line.is_complete else 0.8
        )
    for heights in content.lost:
        axes.plot(range(count), heights, color=LOST_COLOR, linestyle="dotted", linewidth=1.0)
        axes.plot([heights.index(LOST_HEIGHT)], [LOST_HEIGHT], color=LOST_COLOR, **LOST_STYLE)
    handles = []
    if content.best is not None:
        style = {"color": "black", "linewidth": 1.2, "marker": "o", "markersize": 4}
        axes.plot(range(count), content.best.heights, **style)
        handles.append(Line2D([], [], label=f"proposal {content.best.number}: {content.best_label}", **style))
    for position, scale in enumerate(content.scales):
        _draw_scale(axes, position, scale)
    _bare(axes, [scale.name for scale in content.scales])
    axes.set_title(wrapped(title, int(11 * figure.get_figwidth())), fontsize="medium")
    bar = figure.colorbar(ScalarMappable(norm, GRADIENT), ax=axes, pad=0.02)
    bar.set_label(wrapped(objective, BAR_WIDTH))
    if wants_log(complete):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=labelled_digits(max(complete) / min(complete))))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    bar.ax.minorticks_off()
    if not content.lines[0].is_complete:
        handles.append(
            Line2D([], [], color=STOPPED_COLOR, linestyle=(0, (3, 2)), linewidth=0.8, label="stopped early")
        )
    if content.lost:
        style = {**LOST_STYLE, "linestyle": "dotted"}
        handles.append(Line2D([], [], color=LOST_COLOR, linewidth=1.0, label="diverged or failed", **style))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    return figure


def _draw_scale(axes: Axes, position: int, scale: Scale) -> None:
    axes.axvline(position, color="#555555", linewidth=0.8, zorder=3)
    for height, text in scale.ticks:
        axes.plot([position - 0.015, position + 0.015], [height, height], color="#555555", linewidth=0.8, zorder=3)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.text(position - 0.03, height, text, ha="right", va="center", fontsize=8, bbox=box, zorder=4)


def broken(name: str) -> str:
    """Break the name of an axis at spaces and underscores."""
    lines = textwrap.wrap(name.replace("_", "_ "), NARROW, break_on_hyphens=False)
    return "\n".join(lines).replace("_ ", "_")


def _bare(axes: Axes, names: Sequence[str]) -> None:
    lines = [broken(printable_line(name)) for name in names]
    axes.set_xticks(range(len(names)), lines, fontsize="small" if len(names) >= CROWDED else "medium")
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_xlim(-0.35, len(names) - 1 + 0.1)
    axes.set_ylim(-MARGIN, 1 + MARGIN)
    for spine in axes.spines.values():
        spine.set_visible(False)
