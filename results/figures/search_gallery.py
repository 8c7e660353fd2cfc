"""Figures of searches by name, and why one of them is left out."""

from collections.abc import Callable

from matplotlib.figure import Figure

from results.figures import (
    best_by_epochs,
    objective_front,
    optimisation_history,
    parallel_coordinates,
    parameter_importance,
)
from results.figures.figure_data import Results
from results.figures.points import LOST, sweep_points, title
from results.figures.ranks import Ranks, shown_words
from results.parquet.search_results import SearchResults
from results.parquet.trials import group_repeats
from results.statistics.importance import why_no_importance
from trainable.errors import UserError
from trainable.wording import counted

NONE_COMPLETE = "no trial has completed"


def _optimisation_history(search: SearchResults, results: Results) -> list[Figure]:
    found = optimisation_history.optimisation_history(search)
    if not found:
        return results.leave_out("optimisation_history", "no trial has a value")
    return [optimisation_history.draw_optimisation_history(found, search_title(search, results))]


def _best_by_epochs(search: SearchResults, results: Results) -> list[Figure]:
    beside = {other.sweep or "": other.search for other in results.beside if other.search is not None}
    if len(beside) < len(results.beside):
        return results.leave_out("best_by_epochs", "not every sweep is a search")
    searches = {results.sweep or "": search, **results.against, **beside}
    try:
        panels = best_by_epochs.best_by_epochs(searches)
    except UserError as error:
        if not beside:
            raise
        return results.leave_out("best_by_epochs", str(error))
    if not panels:
        return results.leave_out("best_by_epochs", NONE_COMPLETE)
    if max(len(line.complete) for lines in panels.values() for line in lines) == 1:
        return results.leave_out("best_by_epochs", "only one trial has completed")
    heading = search_title(search, results)
    if len(searches) > 1:
        cells = group_repeats(trial for other in searches.values() for trial in other.trainings)
        heading = title(sweep_points(cells, " against ".join(searches)))
    return [best_by_epochs.draw_best_by_epochs(panels, heading)]


def _parallel_coordinates(search: SearchResults, results: Results) -> list[Figure]:
    found = parallel_coordinates.parallel_coordinates(search)
    if found is None:
        return results.leave_out("parallel_coordinates", NONE_COMPLETE)
    shown = Ranks(1, parallel_coordinates.MOST_LINES)
    unknown = sum(not trial.values and trial.status not in LOST for trial in search.trials)
    heading = search_title(search, results)
    heading += results.note("parallel_coordinates", shown_words(shown, found.num_trials, "trials"))
    words = f"{counted(unknown, 'trial')} without a value" if unknown else ""
    heading += results.note("parallel_coordinates", words)
    return [parallel_coordinates.draw_parallel_coordinates(found, search.objectives[0].label, heading)]


def _parameter_importance(search: SearchResults, results: Results) -> list[Figure]:
    found = results.importances
    if found is None:
        found = parameter_importance.parameter_importance(search, results.epochs())
    if not found:
        return results.leave_out("parameter_importance", why_no_importance(search, results.epochs()))
    return [parameter_importance.draw_parameter_importance(found, search_title(search, results))]


def _objective_front(search: SearchResults, results: Results) -> list[Figure]:
    found = objective_front.objective_front(search)
    if found is None:
        return results.leave_out("objective_front", NONE_COMPLETE) if len(search.objectives) == 2 else []
    return [objective_front.draw_objective_front(found, search_title(search, results))]


def search_title(search: SearchResults, results: Results) -> str:
    """Return the title of a figure of a search: the sweep, its data, and the method."""
    first = title(sweep_points(results.cells, results.sweep or ""))
    per_generation = " per generation" * (search.is_population and first.endswith(("epoch", "epochs")))
    return f"{first}{per_generation}\nsearch by {search.method}"


SEARCH_DRAWERS: dict[str, Callable[[SearchResults, Results], list[Figure]]] = {
    "objective_front": _objective_front,
    "optimisation_history": _optimisation_history,
    "best_by_epochs": _best_by_epochs,
    "parallel_coordinates": _parallel_coordinates,
    "parameter_importance": _parameter_importance,
}
