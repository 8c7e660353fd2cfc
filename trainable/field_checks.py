"""Checks of the names and values of single training fields; each refusal is a FieldError in one line."""

import math
import sys
from typing import Any

from trainable.errors import FieldError
from trainable.wording import nearest, quoted

SYNONYMS = {
    "learning_rate": "lr",
    "initial_lr": "lr",
    "bs": "batch_size",
    "batchsize": "batch_size",
    "num_epochs": "epochs",
    "lr_schedule": "schedule",
    "scheduler_type": "schedule",
    "wd": "weight_decay",
    "arch": "model",
    "data": "dataset",
    "random_seed": "seed",
    "optim": "optimizer",
    "beta2": "betas",
    "clip_norm": "clip_grad_norm",
    "warmup": "warmup_epochs",
    "smoothing": "label_smoothing",
    "mixup": "mixup_alpha",
    "cutout": "cutout_size",
    "weight_decay_on_bn": "weight_decay_on",
}
"""Names of fields in other tools, with our name for each, for error messages."""


def typed_value(name: str, value: Any, annotation: str) -> Any:  # noqa: ANN401 (whatever a YAML file holds)
    """Return the value of a field as its type, written like `int | None`, or refuse it."""
    if value is None and "None" in annotation:
        return None
    kind = annotation.removesuffix(" | None")
    match kind, value:
        case "bool", bool():
            return value
        case "int", int() if not isinstance(value, bool):
            return value
        case "int", float() if value.is_integer():
            return int(value)
        case "float", int() | float() if not isinstance(value, bool):
            if not abs(value) <= sys.float_info.max:
                raise FieldError(name, f"{name} must be a finite number, got {_brief(value)}")
            return float(value) + 0.0  # no -0.0: equal configs have equal keys
        case "str", str():
            return value
        case "tuple[float, ...]", list() | tuple():
            return tuple(typed_value(name, item, "float") for item in value)
    wanted = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word"}
    raise FieldError(name, f"{name} must be {wanted.get(kind, 'a list of numbers')}, got {quoted(value)}")


def _brief(value: int | float) -> str:
    return str(value) if isinstance(value, float) else f"a whole number of {value.bit_length()} bits"


def check_range(
    name: str,
    value: float,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    """Refuse a value outside these bounds."""
    if value <= above:
        raise FieldError(name, f"{name} must be greater than {above:g}, got {value:g}")
    if value < least or value > most or value >= below:
        bound = f"{most:g}" if below == math.inf else f"below {below:g}"
        bounds = f"at least {least:g}" if bound == "inf" else f"between {least:g} and {bound}"
        raise FieldError(name, f"{name} must be {bounds}, got {value:g}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of the choices."""
    if value not in choices:
        raise FieldError(name, f"{name} {quoted(value)} is unknown: {nearest(value, choices)}")
