"""What makes two trials the same: `TrainConfig` and its key. Standard library only."""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.names import parse_model_name
from trainable.errors import FieldError, UserError
from trainable.records import Purpose
from trainable.wording import nearest

RECIPE_VERSION = 1
"""Raised whenever the meaning of training changes, so that old results are not taken for new ones."""

MAX_COUNT = 10**9
"""Of epochs, images and the like: beyond it somebody mistyped."""
MAX_FLOAT32 = 3e38
"""What the optimiser can hold."""
SCHEDULES = ("cosine", "multistep", "constant")
PRECISIONS = ("auto", "bf16", "fp16", "tf32", "fp32")
AUGMENTATIONS = ("crop_flip", "crop", "none")
DEFAULT_MILESTONES = (0.5, 0.75)
DEFAULT_LR_MIN_FACTOR = 0.001
TRIAL_KEY_PATTERN = re.compile("[0-9a-f]{16}")

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
}
"""What people write for a field elsewhere, so that the refusal can name ours."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that changes the numbers of one training, and nothing else (no path, device, thread count).

    Values are checked and brought into one canonical form at construction, so that equal trainings have
    equal configs: milestones become fractions of the training length, and what a schedule does not use
    is None.

    Raises:
        UserError: a value of the wrong type or outside its domain, with the value shown.
    """

    model: str = "resnet_preact_20"
    """Family and depth, for example resnet_preact_20."""
    dataset: str = "digits"
    """Name of the data set: digits, cifar10, or that of the folder which --data named."""
    dataset_fingerprint: str = ""
    """First 16 hex digits of the SHA-256 of the data set's content; empty until the data set is known."""
    train_subset: int | None = None
    """The first N training images; None is all of them."""
    test_subset: int | None = None
    """The first N test images; None is all of them."""
    holdout: float = 0.0
    """Fraction of the training images, in [0, 0.5], held out for steering a search."""
    epochs: int = 200
    """Passes over the training images."""
    batch_size: int = 128
    """Images an optimiser step; the last incomplete batch of an epoch is dropped."""
    lr: float = 0.1
    """The initial learning rate."""
    schedule: str = "cosine"
    """How the learning rate falls: cosine, multistep or constant."""
    milestones: tuple[float, ...] | None = None
    """`multistep` only: where lr falls to a tenth, as fractions of the training (values >= 1 are epochs)."""
    lr_min_factor: float | None = None
    """`cosine` only: the last learning rate as a fraction of the first."""
    momentum: float = 0.9
    """Of SGD."""
    nesterov: bool = True
    """Whether the momentum is Nesterov's."""
    weight_decay: float = 1e-4
    """On all parameters, batch normalisation included."""
    augmentation: str = "crop_flip"
    """crop_flip (zero-pad 4, random crop, mirror half), crop, or none."""
    precision: str = "auto"
    """As asked for: auto, bf16, fp16, tf32 or fp32; see precision_resolved."""
    seed: int = 0
    """Of the initial weights, and with the epoch of order, crops and flips."""
    recipe_version: int = field(default=RECIPE_VERSION)
    """Raised when the meaning of training changes."""
    parent: str | None = None
    """Key of the trial whose last weights and momentum it begins with (population based training), or None."""

    def __post_init__(self) -> None:
        for name, annotation in _annotations():
            object.__setattr__(self, name, _typed(name, getattr(self, name), annotation))
        self._check_domains()
        object.__setattr__(self, "milestones", self._canonical_milestones())
        if self.schedule == "cosine" and self.lr_min_factor is None:
            object.__setattr__(self, "lr_min_factor", DEFAULT_LR_MIN_FACTOR)
        elif self.schedule != "cosine":
            object.__setattr__(self, "lr_min_factor", None)
        if self.momentum == 0.0:
            object.__setattr__(self, "nesterov", False)

    def _check_domains(self) -> None:
        try:
            parse_model_name(self.model)
        except ValueError as error:
            raise FieldError("model", str(error)) from None
        for name in ("epochs", "batch_size", "train_subset", "test_subset"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FieldError(name, f"{name} must be at least 1, got {value}")
            if value is not None and value > MAX_COUNT:
                raise FieldError(name, f"{name} must be at most {MAX_COUNT}, got {value}")
        if self.batch_size < 2:
            raise FieldError(
                "batch_size", f"batch_size must be at least 2 (batch normalisation), got {self.batch_size}"
            )
        _check_range("lr", self.lr, above=0.0)
        _check_range("lr", self.lr, most=MAX_FLOAT32)
        _check_range("weight_decay", self.weight_decay, most=MAX_FLOAT32)
        _check_range("holdout", self.holdout, least=0.0, most=0.5)
        _check_range("momentum", self.momentum, least=0.0, below=1.0)
        _check_range("weight_decay", self.weight_decay, least=0.0)
        if self.lr_min_factor is not None:
            _check_range("lr_min_factor", self.lr_min_factor, least=0.0, most=1.0)
        if not 0 <= self.seed < 2**63:
            raise FieldError("seed", f"seed must be between 0 and 2**63 - 1, got {self.seed}")
        if self.parent is not None and not TRIAL_KEY_PATTERN.fullmatch(self.parent):
            raise FieldError("parent", f"parent must be a trial's key of 16 hex digits, got {self.parent!r}")
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("augmentation", self.augmentation, AUGMENTATIONS)

    def _canonical_milestones(self) -> tuple[float, ...] | None:
        if self.schedule != "multistep":
            return None
        given = DEFAULT_MILESTONES if self.milestones is None else self.milestones
        fractions = tuple(value / self.epochs if value >= 1 else value for value in given)
        in_order = all(a < b for a, b in itertools.pairwise(fractions))
        if not fractions or not in_order or fractions[0] <= 0 or fractions[-1] >= 1:
            raise FieldError(
                "milestones",
                f"milestones must rise and lie inside the training of {self.epochs} epochs "
                f"(fractions below 1, or epochs), got {list(given)}",
            )
        return fractions

    @property
    def trial_key(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, one for every field; without `parent` where there is none."""
        values = {name: getattr(self, name) for name in FIELD_NAMES}
        if self.parent is None:
            del values["parent"]  # the keys of all trials without one are older than the field
        values["milestones"] = None if self.milestones is None else list(self.milestones)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of `to_dict`.

        Raises:
            UserError: an unknown field (with the nearest valid one) or an impossible value.
        """
        for name in values:
            check_field_name(name)
        return cls(**values)

    def for_dataset(self, name: str, fingerprint: str, num_train: int, num_test: int) -> "TrainConfig":
        """This config tied to the data set that it will be trained on.

        Args:
            num_train, num_test: images that the data set has.

        Raises:
            FieldError: a subset larger than the data set, or a batch larger than what is trained on.
        """
        for field_name, size in (("train_subset", num_train), ("test_subset", num_test)):
            subset = getattr(self, field_name)
            if subset is not None and subset > size:
                raise FieldError(field_name, f"{field_name} {subset} is larger than the {size} images of {name!r}")
        train_subset = None if self.train_subset == num_train else self.train_subset
        test_subset = None if self.test_subset == num_test else self.test_subset
        used = num_train if train_subset is None else train_subset
        held_out = round(used * self.holdout)
        if self.holdout and not held_out:
            raise FieldError(
                "holdout",
                f"holdout {self.holdout:g} of {used} images of {name!r} is not one image: a larger holdout, or more "
                "images",
            )
        used -= held_out
        if self.batch_size > used:
            raise FieldError(
                "batch_size",
                f"batch_size {self.batch_size} is larger than the {used} training images of {name!r}: "
                "there would be no step (the last incomplete batch is dropped)",
            )
        return dataclasses.replace(
            self,
            dataset=name,
            dataset_fingerprint=fingerprint,
            train_subset=train_subset,
            test_subset=test_subset,
        )


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial that a sweep is to hold."""

    config: TrainConfig
    repeat: int
    """0 for the first seed of a configuration, 1 for the second, ..."""
    variables: Mapping[str, float | str]
    """What `derive` was fed with beside the fields of the config, for example base_lr."""
    purpose: Purpose = Purpose.PLANNED
    proposal: int | None = None
    """Number of the search's proposal that it is or confirms."""
    place: Callable[[str | None], str] | None = field(default=None, compare=False, repr=False)
    """Where a field of it was written (None: the whole), for messages; not known of trials from a store."""


FIELD_NAMES = tuple(spec.name for spec in dataclasses.fields(TrainConfig))
_FOUND_OUT = ("dataset_fingerprint", "recipe_version", "parent")
SETTABLE_FIELDS = tuple(name for name in FIELD_NAMES if name not in _FOUND_OUT)
"""The fields that a user sets, in YAML or with --set."""


def check_field_name(name: str, also: tuple[str, ...] = ()) -> None:
    """Refuse a name that is neither a training field nor one of `also`.

    Raises:
        UserError: with the nearest valid name.
    """
    if name in FIELD_NAMES or name in also:
        return
    if name in SYNONYMS:
        raise FieldError(name, f"unknown key {name!r}: did you mean {SYNONYMS[name]!r}?")
    raise FieldError(name, f"unknown key {name!r}: {nearest(name, (*SETTABLE_FIELDS, *also))}")


def check_settable(name: str, also: tuple[str, ...] = ()) -> None:
    """Refuse what is no training field (nor one of `also`), and the fields that the program finds out itself.

    Raises:
        UserError: with the nearest valid name.
    """
    check_field_name(name, also=also)
    if name in FIELD_NAMES and name not in SETTABLE_FIELDS:
        raise UserError(f"{name!r} is found out by the program, not set")


def field_kind(name: str) -> str | None:
    """bool, int, float, str or tuple[float, ...]; None where there is no such field."""
    return dict(_annotations()).get(name, "").removesuffix(" | None") or None


@functools.cache
def _annotations() -> list[tuple[str, str]]:
    """Field -> its type, as `_typed` knows it."""
    specs = dataclasses.fields(TrainConfig)
    return [(spec.name, str(spec.type).removeprefix("<class '").removesuffix("'>")) for spec in specs]


def _typed(name: str, value: Any, annotation: str) -> Any:  # noqa: ANN401 (whatever a YAML file holds)
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
            return tuple(_typed(name, item, "float") for item in value)
    wanted = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word"}
    raise FieldError(name, f"{name} must be {wanted.get(kind, 'a list of numbers')}, got {value!r}")


def _brief(value: int | float) -> str:
    return str(value) if isinstance(value, float) else f"a whole number of {value.bit_length()} bits"


def _check_range(
    name: str,
    value: float,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    if value <= above:
        raise FieldError(name, f"{name} must be greater than {above:g}, got {value:g}")
    if value < least or value > most or value >= below:
        bound = f"{most:g}" if below == math.inf else f"below {below:g}"
        bounds = f"at least {least:g}" if bound == "inf" else f"between {least:g} and {bound}"
        raise FieldError(name, f"{name} must be {bounds}, got {value:g}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise FieldError(name, f"{name} {value!r} is unknown: {nearest(value, choices)}")
