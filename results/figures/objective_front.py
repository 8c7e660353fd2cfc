"""The two objectives of a search against each other, with the Pareto front."""

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures.style import (
    COLORS,
    MOST_VECTOR,
    fill_with_legend,
    heading_handle,
    legend_height,
    set_scale,
    set_title,
    unzipped,
)
from results.parquet.search_results import SearchResults, params_text

WIDTH = 7.2
"""Width of the figure in inches."""
MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class ObjectiveFront:
    """Completed trials as (second objective, first objective)."""

    words: tuple[str, str]
    """Labels of the first and the second objective."""
    others: list[tuple[float, float]]
    front: list[tuple[float, float]]
    """Pareto front in the order of the second objective."""
    names: list[str]
    """Proposal number and parameters of each trial on the front."""


def objective_front(search: SearchResults) -> ObjectiveFront | None:
    """Return what is drawn; None unless there are two objectives and a completed trial."""
    best = search.best
    if len(search.objectives) != 2 or not best:
        return None
    first, second = search.objectives
    best.sort(key=lambda trial: trial.values[::-1])
    numbers = {trial.number for trial in best}
    others = [trial for trial in search.trials if trial.is_complete and trial.number not in numbers]
    return ObjectiveFront(
        (first.label, second.label),
        [(trial.values[1], trial.values[0]) for trial in others],
        [(trial.values[1], trial.values[0]) for trial in best],
        [f"{trial.number}: {params_text(trial)}" for trial in best],
    )


def draw_objective_front(found: ObjectiveFront, title: str) -> Figure:
    """Draw all completed trials; those on the front have their proposal number, explained below the axes."""
    named = found.names[:MOST_NAMED]
    left_out = len(found.names) - len(named)
    names = [*named, f"and {left_out} more"] if left_out else named
    marks = {"linestyle": "none", "marker": "o", "color": COLORS[0]}
    handles = [
        Line2D([], [], markerfacecolor="white", label="completed trial", **marks),  # type: ignore[arg-type]
        Line2D([], [], label="Pareto front", **marks),  # type: ignore[arg-type]
        *map(heading_handle, names),
    ]
    height = legend_height(handles, WIDTH)
    figure = Figure(figsize=(WIDTH, 4.2 + height), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=[4.2, height])
    rasterized = len(found.others) > MOST_VECTOR
    axes.plot(*unzipped(found.others), markerfacecolor="white", markersize=5, rasterized=rasterized, **marks)
    axes.plot(*unzipped(found.front), drawstyle="steps-post", color="black", linewidth=1.0)
    axes.plot(*unzipped(found.front), markersize=6, **{**marks, "markeredgecolor": "black"})
    for (x, y), name in zip(found.front, named, strict=False):
        axes.annotate(name.split(":")[0], (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    points = [*found.others, *found.front]
    set_scale(axes.xaxis, [x for x, _ in points])
    set_scale(axes.yaxis, [y for _, y in points])
    axes.set_xlabel(found.words[1])
    axes.set_ylabel(found.words[0])
    axes.grid(visible=True, alpha=0.3)
    set_title(axes, title)
    fill_with_legend(below, handles, "proposal number: parameters", WIDTH)
    return figure
