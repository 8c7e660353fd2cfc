"""The two objectives of a search against each other, with the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.style import (
    COLORS,
    heading_handle,
    legend_height,
    legend_in_place_of,
    plain_numbers,
    set_log,
    set_title,
    wants_log,
)
from results.parquet.search_results import SearchResults, param_words

WIDTH = 7.2
"""Inches."""
MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Front:
    """Trials that ran to the end, as (second objective, first objective)."""

    words: tuple[str, str]
    """Of the first and the second objective."""
    others: list[tuple[float, float]]
    front: list[tuple[float, float]]
    """In the order of the second objective."""
    names: list[str]
    """What each of the front is."""


def objective_front(search: SearchResults) -> Front | None:
    """What is drawn; None unless there are two objectives and a trial that ran to the end."""
    best = search.best
    if len(search.objectives) != 2 or not best:
        return None
    first, second = search.objectives
    best.sort(key=lambda one: (one.values or ())[::-1])
    numbers = {one.number for one in best}
    others = [one for one in search.trials if one.is_complete and one.number not in numbers]
    return Front(
        (first.words, second.words),
        [(one.values[1], one.values[0]) for one in others if one.values],
        [(one.values[1], one.values[0]) for one in best if one.values],
        [f"{one.number}: {param_words(one)}" for one in best],
    )


def draw_objective_front(found: Front, title: str) -> Figure:
    """The front's members carry the numbers of their proposals and are named below."""
    named = found.names[:MOST_NAMED]
    left_out = len(found.names) - len(named)
    names = [*named, f"and {left_out} more"] if left_out else named
    marks = {"linestyle": "none", "marker": "o", "color": COLORS[0]}
    handles = [
        Line2D([], [], markerfacecolor="white", label="ran to the end", **marks),  # type: ignore[arg-type]
        Line2D([], [], label="no other is better in both", **marks),  # type: ignore[arg-type]
        *map(heading_handle, names),
    ]
    height = legend_height(handles, WIDTH)
    figure = Figure(figsize=(WIDTH, 4.2 + height), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=[4.2, height])
    axes.plot(*_columns(found.others), markerfacecolor="white", markersize=5, **marks)
    axes.plot(*_columns(found.front), drawstyle="steps-post", color="black", linewidth=1.0)
    axes.plot(*_columns(found.front), markersize=6, **{**marks, "markeredgecolor": "black"})
    for (x, y), name in zip(found.front, named, strict=False):
        axes.annotate(name.split(":")[0], (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    points = [*found.others, *found.front]
    _scale(axes.xaxis, [x for x, _ in points])
    _scale(axes.yaxis, [y for _, y in points])
    axes.set_xlabel(found.words[1])
    axes.set_ylabel(found.words[0])
    axes.grid(visible=True, alpha=0.3)
    set_title(axes, title)
    legend_in_place_of(below, handles, "number of the proposal: its parameters", WIDTH)
    return figure


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _scale(axis: Axis, values: Sequence[float]) -> None:
    if wants_log(values):
        set_log(axis, values)
    else:
        plain_numbers(axis)
