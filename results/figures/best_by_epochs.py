"""The best value found by a search against the epochs it has spent, alone or together with other searches."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results.figures.style import MOST_VECTOR, look, lost_handle, mark_lost, set_scale, unzipped, wrapped
from results.parquet.search_results import SearchResults, best_so_far, spent
from trainable.errors import UserError
from trainable.records import Status
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class BestByEpochs:
    """Values of one objective in one search, by the epochs of all proposals up to and including each."""

    label: str
    complete: list[tuple[int, float]]
    """(epochs, value) of each completed trial."""
    best: list[tuple[int, float]]
    """(epochs, value) of the trials that were better than all before."""
    total_epochs: int
    """Epochs of all proposals."""
    lost: list[int]
    """Epochs of each trial that diverged or failed."""


def best_by_epochs(searches: Mapping[str, SearchResults]) -> dict[str, list[BestByEpochs]]:
    """Return what is drawn: for each objective, a line per search with a completed trial; empty if there is none.

    Raises:
        UserError: the searches cannot be compared.
    """
    _check_comparable(searches)
    drawn = {name: search for name, search in searches.items() if any(trial.is_complete for trial in search.trials)}
    objectives = next(iter(drawn.values())).objectives if drawn else ()
    return {
        objective.label: [_line(name, search, index) for name, search in drawn.items()]
        for index, objective in enumerate(objectives)
    }


def _line(name: str, search: SearchResults, index: int) -> BestByEpochs:
    totals = itertools.accumulate(sum(run.row.epochs_done for run in trial.trainings) for trial in search.trials)
    epochs = dict(zip((trial.number for trial in search.trials), totals, strict=True))
    total = spent(search).epochs
    return BestByEpochs(
        f"{name} ({search.method}): {counted(len(search.trials), search.noun)}, {counted(total, 'epoch')}",
        [(epochs[trial.number], trial.values[index]) for trial in search.trials if trial.is_complete],
        [(epochs[number], value) for number, value in best_so_far(search, index)],
        total,
        [epochs[trial.number] for trial in search.trials if trial.status in (Status.DIVERGED, Status.FAILED)],
    )


def _check_comparable(searches: Mapping[str, SearchResults]) -> None:
    first, *others = searches
    for other in others:
        if searches[other].objectives != searches[first].objectives:
            raise UserError(f"{first} and {other} have different objectives, so they cannot be drawn together")
        if _images(searches[other]) != _images(searches[first]):
            raise UserError(
                f"{first} and {other} have different images (data set, train_subset, holdout), so their errors "
                "cannot be drawn together"
            )


def _images(search: SearchResults) -> set[tuple[str, str, int | None, float]]:
    configs = [trial.trial.config for trial in search.trials]
    return {(config.dataset, config.dataset_fingerprint, config.train_subset, config.holdout) for config in configs}


def draw_best_by_epochs(panels: Mapping[str, Sequence[BestByEpochs]], title: str) -> Figure:
    """Draw a panel per objective, one below the other; stopped trials have no mark, but their epochs count."""
    figure = Figure(figsize=(7.2, 3.4 * len(panels) + 0.8), layout="constrained")
    rows = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (words, lines) in zip(rows, panels.items(), strict=True):
        for index, line in enumerate(lines):
            kind = look(index)
            marks: dict[str, Any] = {"color": kind.color, "marker": kind.marker, "markerfacecolor": "white"}
            steps = [*line.best, (line.total_epochs, line.best[-1][1])]
            is_raster = len(line.complete) > MOST_VECTOR
            axes.plot(*unzipped(line.complete), linestyle="none", markersize=5, rasterized=is_raster, **marks)
            axes.plot(*unzipped(steps), drawstyle="steps-post", color=kind.color, linewidth=1.4)
            axes.plot([], [], markersize=5, label=line.label, **marks)
        set_scale(axes.yaxis, [value for line in lines for _, value in line.complete])
        mark_lost(axes, [(epoch, look(index).color) for index, line in enumerate(lines) for epoch in line.lost])
        axes.set_ylabel(words)
        axes.grid(visible=True, alpha=0.3)
    rows[-1].set_xlabel("epochs spent (marks: completed trials; lines: the best of them so far)")
    rows[-1].set_xlim(left=0)
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(wrapped(title, 80), fontsize="medium")
    handles = [*rows[0].get_legend_handles_labels()[0]]
    if any(line.lost for lines in panels.values() for line in lines):
        handles.append(lost_handle())
    figure.legend(handles=handles, loc="outside lower center", ncols=1, fontsize="small", frameon=False)
    return figure
