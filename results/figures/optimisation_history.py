"""The objective of a search by proposal, with the best value so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.figures.style import COLORS, MOST_VECTOR, set_scale, unzipped, wants_log, wrapped
from results.parquet.search_results import SearchResults, best_so_far
from trainable.records import Status

COMPLETE, STOPPED, DIVERGED = "completed", "stopped early (last value)", "diverged or failed"
MARKS = {COMPLETE: ("o", COLORS[0]), STOPPED: ("v", COLORS[7]), DIVERGED: ("x", COLORS[1])}
"""Outcome of a trial -> marker and colour."""
EDGE = 0.97
"""Height of the marks of trials without a value, as a fraction of the axes."""


@dataclass(frozen=True, slots=True)
class History:
    """Values of one objective."""

    words: str
    values: dict[str, list[tuple[int, float]]]
    """Outcome of the trials -> (proposal number, value) of each."""
    lost: list[int]
    """Proposal numbers of the trials that diverged or failed."""
    best: list[tuple[int, float]]
    """(proposal number, value) of each improvement of the best value."""
    last: int
    """Largest proposal number."""


def optimisation_history(search: SearchResults) -> list[History]:
    """Return what is drawn for each objective; empty if no trial has a value. Unfinished trials are left out."""
    found = []
    for index, objective in enumerate(search.objectives):
        values: dict[str, list[tuple[int, float]]] = {COMPLETE: [], STOPPED: []}
        for trial in search.trials:
            if trial.values:
                outcome = COMPLETE if trial.is_complete else STOPPED
                values[outcome].append((trial.number, trial.values[index]))
        lost = [trial.number for trial in search.trials if trial.status in (Status.DIVERGED, Status.FAILED)]
        if any(values.values()):
            last = max(trial.number for trial in search.trials)
            found.append(History(objective.label, values, lost, best_so_far(search, index), last))
    return found


def draw_optimisation_history(histories: Sequence[History], title: str) -> Figure:
    """Draw a panel per objective, one below the other."""
    figure = Figure(figsize=(7.2, 3.4 * len(histories) + 0.8), layout="constrained")
    panels = figure.subplots(len(histories), 1, squeeze=False, sharex=True)[:, 0]
    for axes, history in zip(panels, histories, strict=True):
        _draw(axes, history)
    panels[-1].set_xlabel("proposal number")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(wrapped(title, 80), fontsize="medium")
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=color, markerfacecolor=_face(outcome), label=outcome)
        for outcome, (marker, color) in MARKS.items()
        if any(history.lost if outcome == DIVERGED else history.values[outcome] for history in histories)
    ]
    if any(history.best for history in histories):
        handles.append(Line2D([], [], color="black", linewidth=1.2, label="best completed trial so far"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def _face(outcome: str) -> str:
    return COLORS[0] if outcome == COMPLETE else "white"


def _draw(axes: Axes, history: History) -> None:
    for outcome, points in history.values.items():
        marker, color = MARKS[outcome]
        style = {"linestyle": "none", "marker": marker, "color": color, "markerfacecolor": _face(outcome)}
        axes.plot(*unzipped(points), markersize=5, rasterized=len(points) > MOST_VECTOR, **style)  # type: ignore[arg-type]
    marker, color = MARKS[DIVERGED]
    at_edge = axes.get_xaxis_transform()
    heights = [EDGE] * len(history.lost)
    axes.plot(
        history.lost,
        heights,
        linestyle="none",
        marker=marker,
        color=color,
        transform=at_edge,
        rasterized=len(heights) > MOST_VECTOR,
    )
    if history.best:
        steps = [*history.best, (history.last, history.best[-1][1])]
        axes.plot(*unzipped(steps), drawstyle="steps-post", color="black", linewidth=1.2)
    drawn = [value for points in history.values.values() for _, value in points]
    set_scale(axes.yaxis, drawn)
    low, high = axes.get_ylim()
    if history.lost:  # space for their marks above the largest value
        axes.set_ylim(low, high * (high / low) ** 0.1 if wants_log(drawn) else high + 0.1 * (high - low))
    axes.set_ylabel(history.words)
    axes.grid(visible=True, alpha=0.3)
