"""Figures. For each, a pure function computes what is drawn, and a thin one draws it."""

from trainable.errors import UserError
from trainable.wording import nearest

FIGURE_NAMES = ("error_by_lr", "error_by_epochs", "heat_map", "pareto_front", "learning_curves", "insight")
"""Values of `plot --figure`; each names the file and the module that draws it."""
SEARCH_FIGURE_NAMES = (
    "objective_front",
    "optimisation_history",
    "best_by_epochs",
    "parallel_coordinates",
    "parameter_importance",
)
"""Further values for sweeps that are a search."""
SCATTER = "scatter"
"""A value that `all` does not stand for: it is drawn where fields are named, or several sweeps."""
TOGETHER = (SCATTER, "learning_curves", "best_by_epochs")
"""Figures that show several sweeps together; the last one only searches."""
ALL = "all"


def chosen_names(figure: str) -> list[str]:
    """Return the figures that a value of `--figure` means.

    Raises:
        UserError: no such figure.
    """
    names = [*FIGURE_NAMES, *SEARCH_FIGURE_NAMES]
    if figure not in (*names, SCATTER, ALL):
        raise UserError(f"no figure {figure!r}: {nearest(figure, [*names, SCATTER, ALL])}")
    return names if figure == ALL else [figure]
