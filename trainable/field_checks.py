"""Checks of the names and values of single training fields; each refusal is a FieldError in one line."""

import contextlib
import json
import math
import re
import sys
from collections.abc import Mapping
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
    "label": "choose the labels on the command line, with --label beside --data",
}
"""Names of fields in other tools, with our name for each, for error messages."""
ARGUMENT_PREFIX = "model_args."
"""Beginning of the name of a single argument of a model of the user's own, as in `model_args.width`."""
GIVEN_ARGUMENTS = ("num_classes", "image_size")
"""Arguments that the program gives to a model of the user's own."""
MAX_ARGUMENTS_TEXT = 2000

LISTED_NUMBERS = re.compile(r"[\d.]+(, ?[\d.]+)*")
LARGEST_TOLD = 1e6
"""Upper bounds beyond it only stop typing errors: they are not named where a value is too small."""


def typed_value(name: str, value: Any, annotation: str) -> Any:  # noqa: ANN401 (whatever a YAML file holds)
    """Return the value of a field as its type, written like `int | None`, or refuse it."""
    if name == "model_args":
        return arguments_text(value)
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
    written = value if LISTED_NUMBERS.fullmatch(str(value)) else "0.5, 0.75"
    wanted_type = wanted.get(kind, f"a list of numbers like [{written}]")
    raise FieldError(name, f"{name} must be {wanted_type}, got {quoted(value)}")


def arguments_text(value: Any) -> str | None:  # noqa: ANN401 (whatever a YAML file holds)
    """Return `model_args` as canonical JSON text, None if there are no arguments.

    Args:
        value: a mapping, or such a text.
    """
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, Mapping | None):
        raise FieldError("model_args", f"model_args must be a mapping like {{width: 64}}, got {quoted(value)}")
    for key, argument in (value or {}).items():
        name = f"{ARGUMENT_PREFIX}{key}"
        if not isinstance(key, str) or not key.isidentifier():
            raise FieldError("model_args", f"model_args: {quoted(key)} is no name of an argument")
        if key in GIVEN_ARGUMENTS:
            raise FieldError(name, f"{name} is given by the program: leave it out")
        for part in argument if isinstance(argument, list) else [argument]:
            if not isinstance(part, bool | int | float | str | None):
                raise FieldError(name, f"{name} must be a number, a word or a list of them, got {quoted(argument)}")
            if isinstance(part, float) and not math.isfinite(part):
                raise FieldError(name, f"{name} must be finite, got {part}")
    value = {key: _without_negative_zero(argument) for key, argument in (value or {}).items()}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) if value else None
    if text is not None and len(text) > MAX_ARGUMENTS_TEXT:
        raise FieldError("model_args", f"model_args has {len(text):,} characters: at most {MAX_ARGUMENTS_TEXT:,}")
    return text


def _without_negative_zero(argument: Any) -> Any:  # noqa: ANN401
    if isinstance(argument, list):
        return [_without_negative_zero(part) for part in argument]
    return argument + 0.0 if isinstance(argument, float) else argument


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
        is_open = below == math.inf and (most == math.inf or (value < least and most > LARGEST_TOLD))
        bounds = f"at least {least:g}" if is_open else f"between {least:g} and {bound}"
        raise FieldError(name, f"{name} must be {bounds}, got {value:g}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of the choices."""
    if value not in choices:
        raise FieldError(name, f"{name} {quoted(value)} is unknown: {nearest(value, choices)}")
