"""The data of all figures, and what they say about what they do not show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from results.figures import error_by_lr
from results.figures.fields import Roles
from results.figures.points import SGD, Point, sweep_points
from results.figures.ranks import Ranks
from results.parquet.search_results import SearchResults
from results.parquet.trials import Cell, EpochsByKey, group_repeats
from results.statistics.importance import Importance


@dataclass(frozen=True, slots=True)
class Results:
    """The data of figures: a sweep, the published rows, or both."""

    sweep: str | None = None
    cells: Sequence[Cell] = ()
    published: bool = False
    epochs: Callable[[], EpochsByKey] = dict
    """Reads trial key -> epochs; called for learning curves and for the importances of a search."""
    search: SearchResults | None = None
    against: Mapping[str, SearchResults] = field(default_factory=dict)
    """Other searches to draw for comparison, by sweep name."""
    importances: Sequence[tuple[str, Importance]] | None = None
    """Result of `parameter_importance` if already known: computing it takes seconds."""
    roles: Roles = field(default_factory=Roles)
    """What is on the axes of a scatter, where somebody says."""
    beside: "Sequence[Results]" = ()
    """Other sweeps that are drawn in the same figures."""
    is_running: bool = False
    """Whether trials are still to come."""
    curves: Ranks | None = None
    """Learning curves that are drawn; None for the best ones."""
    notes: list[str] = field(default_factory=list)
    """A line about each figure that does not show everything, added when it is drawn; its title says the same."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why a figure would show nothing, by its name; there is a note, too."""

    def leave_out(self, figure: str, reason: str) -> list[Figure]:
        """Add the note that a figure is left out because it would show nothing, and return no pages."""
        self.left_out[figure] = reason
        self.notes.append(f"{figure} is left out: {reason}")
        return []

    def note(self, figure: str, words: str, remedy: str = "") -> str:
        """Add a note if there are words, and return the further line of the figure's title."""
        if words:
            self.notes.append(f"{figure}: {words}{remedy}")
        return f"\n{words}{remedy}" if words else ""

    def published_grids(self) -> list[Point]:
        """Return the published rows on the learning rate, of the optimisers of the sweep."""
        return error_by_lr.published({cell.config.optimizer or SGD for cell in self.cells} or {SGD})

    def points(self, published: Callable[[], list[Point]], *, scattered: bool = False) -> list[Point]:
        """Return the points of the figures of configurations.

        Trials of a population are left out: an error after one generation does not belong to a configuration. A
        search over ranges is left out unless `scattered`: its points fill no grid, and the best by test error is
        not what the search found. Confirmations are left out of any search: they were trained on more images.
        """
        rows = published() if self.published else []
        if self.search is None:
            return [*rows, *sweep_points(self.cells, self.sweep or "")]
        if self.search.is_population or (self.search.has_ranges and not scattered):
            return rows
        cells = group_repeats(self.search.trainings)
        return [*rows, *sweep_points(cells, f"{self.sweep} (trials of the search)")]
