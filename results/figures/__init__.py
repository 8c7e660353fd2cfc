"""Figures. For each, a pure function computes what is drawn, and a thin one draws it."""

FIGURE_NAMES = ("error_by_lr", "error_by_epochs", "heat_map", "pareto_front", "learning_curves")
"""Values of `plot --figure`; each names the file and the module that draws it."""
SEARCH_FIGURE_NAMES = (
    "objective_front",
    "optimisation_history",
    "best_by_epochs",
    "parallel_coordinates",
    "parameter_importance",
)
"""Further values for sweeps that are a search."""
