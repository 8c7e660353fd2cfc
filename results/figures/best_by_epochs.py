"""The best of a search so far against the epochs that it has spent: alone, or beside other searches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results.figures.style import broken, look, plain_numbers, set_log, wants_log
from results.parquet.search_results import SearchResults, best_so_far, spent
from trainable.errors import UserError
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class Course:
    """One objective of one search. Epochs are those of the proposals up to and with one, in their order."""

    label: str
    complete: list[tuple[int, float]]
    """(epochs, value) of each trial that ran to the end."""
    best: list[tuple[int, float]]
    """Those of them that were better than all before."""
    last: int
    """Epochs of all proposals."""


def best_by_epochs(searches: Mapping[str, SearchResults]) -> dict[str, list[Course]]:
    """Words of an objective -> a course for each search in which a trial ran to the end; empty where none did.

    Raises:
        UserError: errors of these searches cannot be compared.
    """
    _check_comparable(searches)
    drawn = {name: search for name, search in searches.items() if any(one.is_complete for one in search.trials)}
    objectives = next(iter(drawn.values())).objectives if drawn else ()
    return {
        one.words: [_course(name, search, index) for name, search in drawn.items()]
        for index, one in enumerate(objectives)
    }


def _course(name: str, search: SearchResults, index: int) -> Course:
    total, epochs = 0, {}
    for one in search.trials:
        total += one.trial.row.epochs_done
        epochs[one.number] = total
    complete = [(epochs[one.number], one.values[index]) for one in search.trials if one.is_complete and one.values]
    return Course(
        f"{name} ({search.method}): {counted(len(search.trials), 'trial')}, {counted(spent(search).epochs, 'epoch')}",
        complete,
        [(epochs[number], value) for number, value in best_so_far(search, index)],
        total,
    )


def _check_comparable(searches: Mapping[str, SearchResults]) -> None:
    first, *others = searches
    for other in others:
        if searches[other].objectives != searches[first].objectives:
            raise UserError(f"{first} and {other} have different objectives: they cannot be drawn together")
        if _images(searches[other]) != _images(searches[first]):
            raise UserError(
                f"{first} and {other} have different images (data set, train_subset, holdout): their errors "
                "cannot be drawn together"
            )


def _images(search: SearchResults) -> set[tuple[str, str, int | None, float]]:
    configs = [one.trial.config for one in search.trials]
    return {(one.dataset, one.dataset_fingerprint, one.train_subset, one.holdout) for one in configs}


def draw_best_by_epochs(panels: Mapping[str, Sequence[Course]], title: str) -> Figure:
    """A panel an objective, below each other; what was stopped has no mark, but its epochs count."""
    figure = Figure(figsize=(7.2, 3.4 * len(panels) + 0.8), layout="constrained")
    rows = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (words, courses) in zip(rows, panels.items(), strict=True):
        for index, course in enumerate(courses):
            color, marker = look(index).color, look(index).marker
            axes.plot(
                *_columns(course.complete),
                linestyle="none",
                marker=marker,
                color=color,
                markerfacecolor="white",
                markersize=5,
            )
            axes.plot(
                *_columns([*course.best, (course.last, course.best[-1][1])]),
                drawstyle="steps-post",
                color=color,
                linewidth=1.4,
            )
            axes.plot([], [], color=color, marker=marker, markerfacecolor="white", markersize=5, label=course.label)
        values = [value for course in courses for _, value in course.complete]
        if wants_log(values):
            set_log(axes.yaxis, values)
        else:
            plain_numbers(axes.yaxis)
        axes.set_ylabel(words)
        axes.grid(visible=True, alpha=0.3)
    rows[-1].set_xlabel("epochs spent (marks: trials that ran to the end; lines: the best of them so far)")
    rows[-1].set_xlim(left=0)
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(broken(title, 80), fontsize="medium")
    handles, labels = rows[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=1, fontsize="small", frameon=False)
    return figure


def _columns(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
