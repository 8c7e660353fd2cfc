"""The objective of a search, proposal by proposal, with the best so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from results.figures.style import COLORS, broken, plain_numbers, set_log, wants_log
from results.parquet.search_results import SearchResults, best_so_far
from trainable.records import Status

COMPLETE, STOPPED, DIVERGED = "ran to the end", "stopped (its last value)", "diverged, or failed"
MARKS = {COMPLETE: ("o", COLORS[0]), STOPPED: ("v", COLORS[7]), DIVERGED: ("x", COLORS[1])}
"""How a trial ended -> marker and colour."""
EDGE = 0.97
"""Height, as a fraction of the axes', at which trials without a value stand."""


@dataclass(frozen=True, slots=True)
class History:
    """One objective."""

    words: str
    values: dict[str, list[tuple[int, float]]]
    """How the trials ended -> (proposal's number, value)."""
    lost: list[int]
    """Numbers of the trials that diverged or failed."""
    best: list[tuple[int, float]]
    """(number, value) wherever the best so far becomes better."""
    last: int
    """The largest number."""


def optimisation_history(search: SearchResults) -> list[History]:
    """What is drawn, an objective each; empty where no trial has a value. What is under way is left out."""
    found = []
    for index, objective in enumerate(search.objectives):
        values: dict[str, list[tuple[int, float]]] = {COMPLETE: [], STOPPED: []}
        for one in search.trials:
            if one.values is not None:
                ended = COMPLETE if one.is_complete else STOPPED
                values[ended].append((one.number, one.values[index]))
        lost = [one.number for one in search.trials if one.trial.status in (Status.DIVERGED, Status.FAILED)]
        if any(values.values()):
            last = max(one.number for one in search.trials)
            found.append(History(objective.words, values, lost, best_so_far(search, index), last))
    return found


def draw_optimisation_history(histories: Sequence[History], title: str) -> Figure:
    """A panel an objective, below each other."""
    figure = Figure(figsize=(7.2, 3.4 * len(histories) + 0.8), layout="constrained")
    panels = figure.subplots(len(histories), 1, squeeze=False, sharex=True)[:, 0]
    for axes, history in zip(panels, histories, strict=True):
        _draw(axes, history)
    panels[-1].set_xlabel("number of the proposal")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(broken(title, 80), fontsize="medium")
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=color, markerfacecolor=_face(ended), label=ended)
        for ended, (marker, color) in MARKS.items()
        if any(one.lost if ended == DIVERGED else one.values[ended] for one in histories)
    ]
    if any(one.best for one in histories):
        handles.append(
            Line2D([], [], color="black", linewidth=1.2, label="best so far, of those that ran to the end")
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def _face(ended: str) -> str:
    return COLORS[0] if ended == COMPLETE else "white"


def _draw(axes: Axes, history: History) -> None:
    for ended, points in history.values.items():
        marker, color = MARKS[ended]
        numbers, values = ([number for number, _ in points], [value for _, value in points])
        axes.plot(
            numbers, values, linestyle="none", marker=marker, color=color, markerfacecolor=_face(ended), markersize=5
        )
    marker, color = MARKS[DIVERGED]
    place = axes.get_xaxis_transform()
    axes.plot(history.lost, [EDGE] * len(history.lost), linestyle="none", marker=marker, color=color, transform=place)
    if history.best:
        steps = [*history.best, (history.last, history.best[-1][1])]
        numbers, values = ([number for number, _ in steps], [value for _, value in steps])
        axes.plot(numbers, values, drawstyle="steps-post", color="black", linewidth=1.2)
    drawn = [value for points in history.values.values() for _, value in points]
    if wants_log(drawn):
        set_log(axes.yaxis, drawn)
    else:
        plain_numbers(axes.yaxis)
    low, high = axes.get_ylim()
    if history.lost:  # room for them above the largest value
        axes.set_ylim(low, high * (high / low) ** 0.1 if wants_log(drawn) else high + 0.1 * (high - low))
    axes.set_ylabel(history.words)
    axes.grid(visible=True, alpha=0.3)
