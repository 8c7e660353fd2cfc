"""Figures: for each, a pure function that computes what is drawn and a thin one that draws it."""

FIGURE_NAMES = ("error_by_lr", "error_by_epochs", "heat_map", "pareto_front", "learning_curves")
"""What `plot --figure` takes; each is the file's name, and drawn by the module of that name."""
SEARCH_FIGURE_NAMES = (
    "objective_front",
    "optimisation_history",
    "best_by_epochs",
    "parallel_coordinates",
    "parameter_importance",
)
"""What it takes besides where the sweep is a search."""
