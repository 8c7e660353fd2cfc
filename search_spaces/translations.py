"""Hints for keys and values that other tools know, or that stand in the wrong section."""

from pydantic import BaseModel

from search_spaces.schema import SECTIONS, Part, Scale, Space
from search_spaces.yaml_source import KeyPath
from trainable.config import SETTABLE_FIELDS, is_field
from trainable.field_checks import SYNONYMS

_BUILT_IN = "leave it out: the training is built in"
_NO_SUCH_DRAW = "give min and max with uniform or log_uniform_values instead"
TRANSLATIONS = {
    **SYNONYMS,
    "method": "write search: {algorithm: tpe, num_trials: 20}, or grid: for all combinations",
    "metric": "write objective: {metric: holdout_error_percent, goal: minimize}",
    "program": _BUILT_IN,
    "command": _BUILT_IN,
    "project": "leave it out: --log wandb shows the trials in W&B",
    "entity": "leave it out: --log wandb shows the trials in W&B",
    "run_cap": "num_trials",
    "n_trials": "num_trials",
    "num_samples": "num_trials",
    "early_terminate": "scheduler",
    "pruner": "scheduler",
    "sampler": "algorithm",
    "direction": "goal",
    "mode": "goal",
    "params": "parameters",
    "points_to_evaluate": "first",
    "enqueue_trial": "first",
    "min_iter": "grace_epochs",
    "grace_period": "grace_epochs",
    "eta": "reduction_factor",
    "max_t": "leave it out: no trial trains for more than its epochs",
    "max_iter": "write grace_epochs: max_iter / eta ** s",
    "s": "write grace_epochs: max_iter / eta ** s",
    "strict": "leave it out: there is one kind of each scheduler",
    "probabilities": "not possible here: leave it out, each of the values is equally likely",
    "bayes": "mfgp",
    "bayesian": "mfgp",
    "sobol": "qmc",
    "log_uniform": "log_uniform_values",
    "loguniform": "log_uniform_values",
    "q_log_uniform": "q_log_uniform_values",
    "quniform": "q_uniform",
    "randint": "int_uniform",
    "categorical": "leave distribution out, and give values: [...]",
    "choice": "leave distribution out, and give values: [...]",
    "value": "write values: [...], or put the value into defaults",
    "constant": "put the value into defaults",
    "normal": _NO_SUCH_DRAW,
    "q_normal": _NO_SUCH_DRAW,
    "log_normal": _NO_SUCH_DRAW,
    "q_log_normal": _NO_SUCH_DRAW,
    "inv_log_uniform": _NO_SUCH_DRAW,
    "inv_log_uniform_values": _NO_SUCH_DRAW,
    "beta": _NO_SUCH_DRAW,
    "q_beta": _NO_SUCH_DRAW,
    "val_loss": "holdout_loss",
    "loss": "holdout_loss",
    "val_error": "holdout_error_percent",
    "val_accuracy": "holdout_error_percent",
    "accuracy": "holdout_error_percent",
}
"""Words of W&B, Optuna and Ray Tune: our word, or what to write (docs/coming-from-wandb.md)."""


def misplaced(path: KeyPath, *, is_unknown: bool) -> str | None:
    """The message for a key that another section of the file has; None if none has it.

    Args:
        is_unknown: whether its own section has no such key.
    """
    if not path:
        return None
    sections: dict[str, type[BaseModel]] = {"scales": Scale, "parts": Part, **SECTIONS}
    section = sections.get(str(path[0]))
    allowed = {"name", *(() if section is None else section.model_fields)}
    inner = [key for key in path[1:3] if key in Space.model_fields and key not in allowed]
    inner = [] if path[0] == "parameters" and path[2:3] == ("rows",) else inner
    if inner:
        is_next = len(path) > 1 and path[1] == inner[0]
        return f"{inner[0]!r} belongs {'one level out' if is_next else 'at the left margin'}, beside {path[0]!r}"
    is_section_key = len(path) == 1 or path[0] == "parts" or path[0] in SECTIONS
    if not is_unknown or not is_section_key or path[-1] == "metric" or f"{path[-1]}s" in allowed:
        return None
    if path[-1] in SETTABLE_FIELDS or is_field(str(path[-1])):
        return f"{path[-1]!r} is a training field: write it into defaults, rows or grid"
    homes = [name for name, model in SECTIONS.items() if path[-1] in model.model_fields]
    return f"{path[-1]!r} belongs into {' or '.join(homes)}" if homes else None
