"""Every trial of a search as a line through its parameters to its objective."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from results.figures.style import broken, labelled_digits, wants_log
from results.parquet.search_results import Scalar, SearchResults, rounded

COLOR_MAP = "viridis_r"
STOPPED_COLOR = "#B5B5B5"
MARGIN = 0.06
"""Of each axis, above and below its values."""
MOST_TICKS = 9
WIDEST = 12.5
"""Inches; a page shows more too small to be read."""
CROWDED = 8
"""Axes from which on their names are in small print."""
BAR_WIDTH = 32
"""Characters of a line along the colour bar."""
NARROW = 14
"""Characters of an axis's name that stand side by side with the next."""


@dataclass(frozen=True, slots=True)
class Scale:
    """An upright axis."""

    name: str
    ticks: list[tuple[float, str]]
    """(height in [0, 1], text)."""


@dataclass(frozen=True, slots=True)
class Path:
    """A trial."""

    number: int
    heights: list[float]
    """One an axis, in [0, 1]; NaN where the trial has no such value."""
    value: float
    """Of the first objective."""
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that is drawn."""

    scales: list[Scale]
    paths: list[Path]
    """Those that were stopped first, then from the worst to the best: what lies above is what matters."""
    best: Path | None
    """Of those that the search may choose from, the one with the least value."""
    best_words: str
    """What it is the best of."""


def parallel_coordinates(search: SearchResults) -> Bundle | None:
    """What is drawn; None where no trial ran to the end."""
    trials = [one for one in search.trials if one.values is not None]
    if not any(one.is_complete for one in trials):
        return None
    columns: list[tuple[Scale, list[float]]] = []
    for parameter in search.parameters:
        values = [one.params[parameter.name] for one in trials]
        columns.append(_column(parameter.name, values, log=parameter.log, choices=parameter.choices))
    for index, objective in enumerate(search.objectives):
        found = [one.values[index] for one in trials if one.values is not None]
        columns.append(_column(objective.words, found, log=wants_log(found), choices=None))
    paths = [
        Path(
            one.number,
            [heights[row] for _, heights in columns],
            one.values[0] if one.values else math.nan,
            one.is_complete,
        )
        for row, one in enumerate(trials)
    ]
    paths.sort(key=lambda path: (path.is_complete, -path.value, path.number))
    best = next((path for one in search.best for path in paths if path.number == one.number), None)
    words = "the best of the last generation" if search.is_population else "the best"
    if len(search.objectives) > 1:
        words = f"least {search.objectives[0].name}"
    return Bundle([scale for scale, _ in columns], paths, best, words)


def _column(
    name: str, values: Sequence[Scalar], *, log: bool, choices: Sequence[Scalar] | None
) -> tuple[Scale, list[float]]:
    """The axis, and the height of each value on it."""
    if choices is not None:
        found = list(dict.fromkeys([*choices, *values]))
        if all(isinstance(value, int | float) for value in found):
            found.sort(key=lambda value: float(value or 0))
        places = {value: _within(index, 0, len(found) - 1) for index, value in enumerate(found)}
        return Scale(name, [(place, str(rounded(value))) for value, place in places.items()]), [
            places[value] for value in values
        ]
    numbers = [float(value) if isinstance(value, int | float) else math.nan for value in values]
    known = [number for number in numbers if not math.isnan(number)]
    low, high = min(known), max(known)
    locator: Any = (
        LogLocator(subs=labelled_digits(high / low)) if log else MaxNLocator(MOST_TICKS - 1, steps=[1, 2, 5, 10])
    )
    turned = math.log if log else float
    ends = (turned(low), turned(high))
    ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high] if low < high else [low]
    return (
        Scale(name, [(_within(turned(tick), *ends), f"{tick:.4g}") for tick in ticks]),
        [math.nan if math.isnan(number) else _within(turned(number), *ends) for number in numbers],
    )


def _within(value: float, low: float, high: float) -> float:
    """Its place between the two, in [0, 1]; in the middle where they are one."""
    return (value - low) / (high - low) if high > low else 0.5


def draw_parallel_coordinates(bundle: Bundle, objective: str, title: str) -> Figure:
    """Lines coloured by the first objective, those of stopped trials grey."""
    count = len(bundle.scales)
    figure = Figure(figsize=(min(max(7.2, 2.0 + 1.5 * count), WIDEST), 4.6), layout="constrained")
    axes = figure.subplots()
    complete = [path.value for path in bundle.paths if path.is_complete]
    norm = (LogNorm if wants_log(complete) else Normalize)(min(complete), max(complete))
    for path in bundle.paths:
        color: Any = colormaps[COLOR_MAP](float(norm(path.value))) if path.is_complete else STOPPED_COLOR
        style: Any = "solid" if path.is_complete else (0, (3, 2))
        axes.plot(
            range(count), path.heights, color=color, linestyle=style, linewidth=1.4 if path.is_complete else 0.8
        )
    handles = []
    if bundle.best is not None:
        style = {"color": "black", "linewidth": 1.2, "marker": "o", "markersize": 4}
        axes.plot(range(count), bundle.best.heights, **style)
        handles.append(Line2D([], [], label=f"proposal {bundle.best.number}: {bundle.best_words}", **style))
    for place, scale in enumerate(bundle.scales):
        _draw_scale(axes, place, scale)
    _bare(axes, [scale.name for scale in bundle.scales])
    axes.set_title(broken(title, int(11 * figure.get_figwidth())), fontsize="medium")
    bar = figure.colorbar(ScalarMappable(norm, COLOR_MAP), ax=axes, pad=0.02)
    bar.set_label(broken(objective, BAR_WIDTH))
    if wants_log(complete):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=labelled_digits(max(complete) / min(complete))))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    bar.ax.minorticks_off()
    if not bundle.paths[0].is_complete:
        handles.append(Line2D([], [], color=STOPPED_COLOR, linestyle=(0, (3, 2)), linewidth=0.8, label="stopped"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def _draw_scale(axes: Axes, place: int, scale: Scale) -> None:
    axes.axvline(place, color="#555555", linewidth=0.8, zorder=3)
    for height, text in scale.ticks:
        axes.plot([place - 0.015, place + 0.015], [height, height], color="#555555", linewidth=0.8, zorder=3)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.text(place - 0.03, height, text, ha="right", va="center", fontsize=8, bbox=box, zorder=4)


def _bare(axes: Axes, names: Sequence[str]) -> None:
    lines = [textwrap.fill(name, NARROW, break_on_hyphens=False) for name in names]
    axes.set_xticks(range(len(names)), lines, fontsize="small" if len(names) >= CROWDED else "medium")
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_xlim(-0.35, len(names) - 1 + 0.1)
    axes.set_ylim(-MARGIN, 1 + MARGIN)
    for spine in axes.spines.values():
        spine.set_visible(False)
