"""The domains of the training fields, and the canonical form of their values. Standard library only."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from models.names import name_in_yaml, parse_model_name
from models.user_code import is_reference, split_reference, without_folder
from trainable.errors import FieldError
from trainable.field_checks import check_choice, check_range
from trainable.wording import counted, quoted

MAX_COUNT = 10**9
"""Largest number of epochs, images and the like that is accepted; larger ones are typing errors."""
MAX_REFERENCE = 500
"""Largest number of characters of the name of a model or loss of the user's own."""
MAX_FLOAT32 = 3e38
"""Largest value that the optimiser can hold."""
SMALLEST_FP16 = 2.0**-24
"""Smallest positive number that fp16 can hold."""
SCHEDULES = ("cosine", "linear", "multistep", "constant")
OPTIMIZERS = ("sgd", "lars", "adamw", "muon")
OWN_FIELDS = {"betas": ("adamw", "muon"), "eps": ("lars", "adamw", "muon")}
"""Training field -> the only optimisers that it may be given with."""
DECAYED = ("all", "no_bn", "matrices")
PRECISIONS = ("auto", "bf16", "fp16", "tf32", "fp32", "pure_fp16")
AUGMENTATIONS = ("crop_flip", "crop", "none")
DEFAULT_MILESTONES = (0.5, 0.75)
DEFAULT_LR_MIN_FACTOR = 0.001
DEFAULT_WARMUP_START_FACTOR = 0.001
DEFAULT_BETAS = (0.9, 0.999)
DEFAULT_EPS = 1e-8
DEFAULT_LARS_EPS = 1e-9
UNUSED_VALUES = {
    "momentum": 0.0,
    "nesterov": False,
    "milestones": None,
    "lr_min_factor": None,
    "warmup_start_factor": None,
    "weight_decay_on": "all",
    "ghost_batch_size": None,
}
"""Training field that other fields can leave without effect -> its value then."""
TRIAL_KEY_PATTERN = re.compile("[0-9a-f]{16}")
ZERO_IS_NONE = ("warmup_epochs", "label_smoothing", "cutout_size", "mixup_alpha")
"""Fields that are None if they are 0."""
Values = dict[str, Any]
"""The value of every training field, by its name, of the right types."""


def canonical_values(typed: Values) -> Values:
    """Check the values of all fields, and return them in the form that equal trainings share.

    Fields that nothing uses become None; fields that are used and not given get their defaults.

    Raises:
        FieldError: a value is outside its domain.
    """
    values = typed | {
        "optimizer": typed["optimizer"] or "sgd",
        "weight_decay_on": typed["weight_decay_on"] or "all",
        "noise_scale": bool(typed["noise_scale"]),
    }
    _fill_in_own_code(values)
    _check_domains(values)
    _check_optimizer(values)
    _check_step(values)
    values["milestones"] = _canonical_milestones(values)
    _fill_in_defaults(values)
    return values


def _fill_in_own_code(values: Values) -> None:
    """Check what belongs to a model or a loss of the user's own; their files have no folder in a configuration."""
    for name in ("model", "loss"):
        reference = values[name]
        if reference is not None and is_reference(reference):
            origin, called = split_reference(reference)
            if not origin or not origin.isprintable() or not called.isidentifier() or len(reference) > MAX_REFERENCE:
                message = f"{name} must be FILE.py:NAME or package.module:NAME, got {quoted(reference)}"
                raise FieldError(name, message)
            values[name] = without_folder(reference)
        else:
            values[f"{name}_fingerprint"] = None
    if values["loss"] is not None and not is_reference(values["loss"]):
        raise FieldError("loss", f"loss must be FILE.py:NAME or package.module:NAME, got {quoted(values['loss'])}")
    if values["loss"] is not None and values["label_smoothing"]:
        raise FieldError(
            "label_smoothing", "label_smoothing belongs to the cross entropy: leave it out with a `loss`"
        )
    if values["model_args"] is not None and not is_reference(values["model"]):
        raise FieldError("model_args", f"model_args belong to a model of your own, not to {quoted(values['model'])}")


def unused_because(name: str, values: Mapping[str, Any]) -> str | None:
    """Return the field whose value leaves the field `name` without effect; None if it has an effect."""
    optimizer, ghost = values["optimizer"], values["ghost_batch_size"]
    reasons = {
        "momentum": {"optimizer": optimizer == "adamw"},
        "nesterov": {"optimizer": optimizer in ("adamw", "lars"), "momentum": values["momentum"] == 0},
        "milestones": {"schedule": values["schedule"] != "multistep"},
        "lr_min_factor": {"schedule": values["schedule"] not in ("cosine", "linear")},
        "warmup_start_factor": {"warmup_epochs": not values["warmup_epochs"]},
        "weight_decay_on": {"weight_decay": values["weight_decay"] == 0},
        "ghost_batch_size": {"batch_size": ghost is not None and ghost >= values["batch_size"]},
    }
    return next((field for field, is_reason in reasons[name].items() if is_reason), None)


def _fill_in_defaults(values: Values) -> None:
    """Give the fields that are not given their defaults, and those without effect one value for all trainings."""
    for name in ZERO_IS_NONE:
        values[name] = values[name] or None
    optimizer = values["optimizer"]
    if values["lr_min_factor"] is None:
        values["lr_min_factor"] = DEFAULT_LR_MIN_FACTOR
    if values["warmup_start_factor"] is None:
        values["warmup_start_factor"] = DEFAULT_WARMUP_START_FACTOR
    if optimizer in OWN_FIELDS["betas"] and values["betas"] is None:
        values["betas"] = DEFAULT_BETAS
    if optimizer in OWN_FIELDS["eps"] and values["eps"] is None:
        values["eps"] = DEFAULT_LARS_EPS if optimizer == "lars" else DEFAULT_EPS
    for name, unused in UNUSED_VALUES.items():
        if unused_because(name, values) is not None:
            values[name] = unused


def _check_domains(values: Values) -> None:
    if not is_reference(values["model"]):
        values["model"] = name_in_yaml(values["model"])
        try:
            parse_model_name(values["model"])
        except ValueError as error:
            raise FieldError("model", str(error)) from None
    for name in ("epochs", "batch_size", "train_subset", "test_subset"):
        value = values[name]
        if value is not None and value < 1:
            raise FieldError(name, f"{name} must be at least 1, got {value}")
        if value is not None and value > MAX_COUNT:
            raise FieldError(name, f"{name} must be at most {MAX_COUNT}, got {value}")
    if values["batch_size"] < 2:
        raise FieldError(
            "batch_size", f"batch_size must be at least 2 (batch normalisation needs it), got {values['batch_size']}"
        )
    check_range("lr", values["lr"], above=0.0, most=MAX_FLOAT32)
    check_range("holdout", values["holdout"], least=0.0, most=0.5)
    check_range("momentum", values["momentum"], least=0.0, below=1.0)
    check_range("weight_decay", values["weight_decay"], least=0.0, most=MAX_FLOAT32)
    if values["lr_min_factor"] is not None:
        check_range("lr_min_factor", values["lr_min_factor"], least=0.0, most=1.0)
    if not 0 <= values["seed"] < 2**63:
        raise FieldError("seed", f"seed must be between 0 and 2**63 - 1, got {values['seed']}")
    if values["parent"] is not None and not TRIAL_KEY_PATTERN.fullmatch(values["parent"]):
        raise FieldError("parent", f"parent must be a trial's key of 16 hex digits, got {quoted(values['parent'])}")
    check_choice("schedule", values["schedule"], SCHEDULES)
    check_choice("precision", values["precision"], PRECISIONS)
    check_choice("augmentation", values["augmentation"], AUGMENTATIONS)


def _check_optimizer(values: Values) -> None:
    optimizer = values["optimizer"]
    check_choice("optimizer", optimizer, OPTIMIZERS)
    check_choice("weight_decay_on", values["weight_decay_on"], DECAYED)
    for name, optimizers in OWN_FIELDS.items():
        if values[name] is not None and optimizer not in optimizers:
            known = f"{', '.join(optimizers[:-1])} or {optimizers[-1]}"
            raise FieldError(name, f"{name} belongs to optimizer {known}, not {optimizer}")
    if values["betas"] is not None:
        if len(values["betas"]) != 2:
            raise FieldError("betas", f"betas must be two numbers, got {list(values['betas'])}")
        for beta in values["betas"]:
            check_range("betas", beta, least=0.0, below=1.0)
    for name in ("eps", "clip_grad_norm"):
        if values[name] is not None:
            check_range(name, values[name], above=0.0, most=MAX_FLOAT32)
    eps = values["eps"] or DEFAULT_EPS
    if values["precision"] == "pure_fp16" and optimizer in OWN_FIELDS["betas"] and eps < SMALLEST_FP16:
        raise FieldError("eps", f"eps {eps:g} of {optimizer} is 0 in pure_fp16: give eps 1e-4, for example")


def _check_step(values: Values) -> None:
    for name, bounds in (
        ("warmup_epochs", {"least": 0.0, "below": values["epochs"]}),
        ("warmup_start_factor", {"least": 0.0, "most": 1.0}),
        ("label_smoothing", {"least": 0.0, "below": 1.0}),
        ("cutout_size", {"least": 0, "most": MAX_COUNT}),
        ("mixup_alpha", {"least": 0.0, "most": MAX_FLOAT32}),
        ("ghost_batch_size", {"least": 2, "most": MAX_COUNT}),
    ):
        if values[name] is not None:
            check_range(name, values[name], **bounds)
    batch_size = values["batch_size"]
    if values["noise_scale"] and batch_size < 4:
        raise FieldError(
            "noise_scale", f"noise_scale halves batches of at least 4 images: leave it out at batch_size {batch_size}"
        )
    ghost = values["ghost_batch_size"] or batch_size
    if batch_size > ghost and batch_size % ghost:
        raise FieldError(
            "ghost_batch_size", f"batch_size {batch_size} must be a multiple of ghost_batch_size {ghost}"
        )


def _canonical_milestones(values: Values) -> tuple[float, ...] | None:
    if unused_because("milestones", values) is not None:
        return None
    epochs = values["epochs"]
    given = DEFAULT_MILESTONES if values["milestones"] is None else values["milestones"]
    fractions = tuple(value / epochs if value >= 1 else value for value in given)
    in_order = all(a < b for a, b in itertools.pairwise(fractions))
    if not fractions or not in_order or fractions[0] <= 0 or fractions[-1] >= 1:
        raise FieldError(
            "milestones",
            f"milestones must rise and lie inside the training of {counted(epochs, 'epoch')} "
            f"(fractions below 1, or epochs), got {list(given)}",
        )
    warmup, first = values["warmup_epochs"] or 0.0, fractions[0] * epochs
    if warmup > first:
        raise FieldError(
            "warmup_epochs", f"warmup_epochs {warmup:g} must end before the first milestone, epoch {first:g}"
        )
    return fractions
