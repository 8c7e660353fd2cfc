"""From results to figures by name: which points each figure takes, and which it cannot be drawn from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from results.figures import (
    FIGURE_NAMES,
    SEARCH_FIGURE_NAMES,
    best_by_epochs,
    error_by_epochs,
    error_by_lr,
    heat_map,
    learning_curves,
    objective_front,
    optimisation_history,
    parallel_coordinates,
    parameter_importance,
    pareto_front,
)
from results.importance import MIN_TRIALS
from results.points import Point, sweep_points, title
from results.search_results import SearchResults
from results.trials import Cell, group_repeats
from trainable.errors import UserError, nearest
from trainable.records import EpochRecord

ALL = "all"


@dataclass(frozen=True, slots=True)
class Results:
    """What figures are drawn from: a sweep, the published rows, or both."""

    sweep: str | None = None
    cells: Sequence[Cell] = ()
    published: bool = False
    epochs: Callable[[], Mapping[str, Sequence[EpochRecord]]] = dict
    """Reads trial key -> epochs; called for the learning curves, and of a search for the importances."""
    search: SearchResults | None = None
    against: Mapping[str, SearchResults] = field(default_factory=dict)
    """Other searches to hold it against, by their sweep's name."""

    def points(self, published: Callable[[], list[Point]]) -> list[Point]:
        """Those of a population's trials are left out: an error after one generation is not the configuration's."""
        ours = [] if self.is_population else sweep_points(self.cells, self.sweep or "")
        return [*(published() if self.published else ()), *ours]

    @property
    def is_population(self) -> bool:
        return self.search is not None and self.search.is_population


def chosen_names(figure: str) -> list[str]:
    """The figures that `--figure` asks for.

    Raises:
        UserError: no such figure.
    """
    names = [*FIGURE_NAMES, *SEARCH_FIGURE_NAMES]
    if figure != ALL and figure not in names:
        raise UserError(f"no figure {figure!r}: {nearest(figure, [*names, ALL])}")
    return names if figure == ALL else [figure]


def draw(figure: str, results: Results) -> dict[str, Figure]:
    """File stem -> figure, for one name or for all that the results can fill.

    Raises:
        UserError: no such figure, or it would be empty.
    """
    drawn: dict[str, Figure] = {}
    for name in chosen_names(figure):
        pages = DRAWERS[name](results)
        stems = [name, *(f"{name}_{number}" for number in range(2, len(pages) + 1))]
        drawn.update(zip(stems, pages, strict=False))
    if not drawn:
        what = "every figure" if figure == ALL else f"figure {figure!r}"
        is_of_pieces = results.is_population and figure in OF_CONFIGURATIONS
        why = PIECES if is_of_pieces else WHY_EMPTY.get(figure, "no finished trial has an error")
        raise UserError(f"{what} would be empty: {why}")
    return drawn


def _error_by_lr(results: Results) -> list[Figure]:
    points = results.points(error_by_lr.published)
    lines = error_by_lr.error_by_lr(points)
    return [error_by_lr.draw_error_by_lr(lines, title(points))] if lines else []


def _error_by_epochs(results: Results) -> list[Figure]:
    panels = error_by_epochs.error_by_epochs(results.points(error_by_epochs.published))
    return [error_by_epochs.draw_error_by_epochs(panels, title(panels.points))] if panels.points else []


def _heat_map(results: Results) -> list[Figure]:
    points = results.points(heat_map.published)
    maps = heat_map.heat_maps(points)
    return [heat_map.draw_heat_maps(maps, title(points))] if maps else []


def _pareto_front(results: Results) -> list[Figure]:
    found = pareto_front.clouds(results.points(pareto_front.published))
    points = [point for cloud in found for point in cloud.points]
    return [pareto_front.draw_pareto_front(found, title(points))] if found else []


def _learning_curves(results: Results) -> list[Figure]:
    if results.search is not None and results.is_population:
        panels = learning_curves.population_curves(results.search, results.epochs())
        return learning_curves.draw_learning_curves(panels, search_title(results))
    sweep = results.sweep or ""
    panels = learning_curves.learning_curves(results.cells, results.epochs(), sweep)
    return learning_curves.draw_learning_curves(panels, title(sweep_points(results.cells, sweep)))


def _optimisation_history(results: Results) -> list[Figure]:
    found = optimisation_history.optimisation_history(results.search) if results.search else []
    return [optimisation_history.draw_optimisation_history(found, search_title(results))] if found else []


def _best_by_epochs(results: Results) -> list[Figure]:
    if results.search is None:
        return []
    searches = {results.sweep or "": results.search, **results.against}
    panels = best_by_epochs.best_by_epochs(searches)
    cells = group_repeats(one.trial for search in searches.values() for one in search.trials)
    heading = title(sweep_points(cells, " against ".join(searches)))
    return [best_by_epochs.draw_best_by_epochs(panels, heading)] if panels else []


def _parallel_coordinates(results: Results) -> list[Figure]:
    found = parallel_coordinates.parallel_coordinates(results.search) if results.search else None
    if results.search is None or found is None:
        return []
    words = results.search.objectives[0].words
    return [parallel_coordinates.draw_parallel_coordinates(found, words, search_title(results))]


def _parameter_importance(results: Results) -> list[Figure]:
    if results.search is None:
        return []
    found = parameter_importance.parameter_importance(results.search, results.epochs())
    return [parameter_importance.draw_parameter_importance(found, search_title(results))] if found else []


def _objective_front(results: Results) -> list[Figure]:
    found = objective_front.objective_front(results.search) if results.search else None
    return [objective_front.draw_objective_front(found, search_title(results))] if found else []


def search_title(results: Results) -> str:
    """The sweep, how it was searched, and on what."""
    search = results.search
    lines = [title(sweep_points(results.cells, results.sweep or ""))]
    if search is not None:
        longest = len(search.training(search.best[0])) if search.best else 0
        generations = f", {longest} generations" if longest > 1 else ""
        lines.append(f"search by {search.algorithm}, scheduler {search.scheduler['type']}{generations}")
    return "\n".join(lines)


DRAWERS: dict[str, Callable[[Results], list[Figure]]] = {
    "error_by_lr": _error_by_lr,
    "error_by_epochs": _error_by_epochs,
    "heat_map": _heat_map,
    "pareto_front": _pareto_front,
    "learning_curves": _learning_curves,
    "optimisation_history": _optimisation_history,
    "best_by_epochs": _best_by_epochs,
    "parallel_coordinates": _parallel_coordinates,
    "parameter_importance": _parameter_importance,
    "objective_front": _objective_front,
}
OF_CONFIGURATIONS = ("error_by_lr", "error_by_epochs", "heat_map", "pareto_front", "parameter_importance")
"""Figures of what a configuration comes to, which a population cannot tell."""
PIECES = "a trial of a population is one generation of a training, of which this figure tells nothing"
WHY_EMPTY = {
    "optimisation_history": "the sweep is no search, or no trial of it has ended",
    "best_by_epochs": "the sweep is no search, or no trial of it ran to the end",
    "parallel_coordinates": "the sweep is no search, or no trial of it ran to the end",
    "parameter_importance": f"the sweep is no search, or fewer than {MIN_TRIALS} of its trials can be compared",
    "objective_front": "the sweep is no search with two objectives, or no trial of it ran to the end",
    "learning_curves": "no epoch is recorded (there are no published curves)",
    "heat_map": f"no finished trial has an error, or there are more than {heat_map.MOST_COLUMNS} learning rates",
}
