"""The configuration of a trial and its key, which identifies the trial. Standard library only."""

import dataclasses
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.names import parse_model_name
from trainable.decoding import Count
from trainable.errors import FieldError, UserError
from trainable.field_checks import SYNONYMS, check_choice, check_range, typed_value
from trainable.records import Purpose
from trainable.wording import counted, nearest, quoted

RECIPE_VERSION = 1
SHARED_HOLDOUT = 2
"""Version of the recipe of a search over `train_subset`: its trials hold out the same images of the whole data set.
Elsewhere the held-out images are some of the subset."""
"""Version of the training recipe. Raise it when the meaning of training changes, so that old results are not used."""

MAX_COUNT = 10**9
"""Largest number of epochs, images and the like that is accepted; larger ones are typing errors."""
MAX_FLOAT32 = 3e38
"""Largest value that the optimiser can hold."""
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
TRIAL_KEY_PATTERN = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides the results of one training, and nothing else (no path, device or thread count).

    The constructor checks all values and brings them into a canonical form, so that equal trainings have equal
    configurations: milestones become fractions of the training, fields that the schedule does not use become None.

    Raises:
        FieldError: a value has the wrong type or is outside its domain.
    """

    model: str = "resnet_preact_20"
    """Model family and depth: resnet_DEPTH or resnet_preact_DEPTH, where DEPTH is 6n+2, at least 8 and at most
    2000."""
    dataset: str = "digits"
    """Name of the data set: digits, cifar10, or the name of the folder given by --data."""
    dataset_fingerprint: str = ""
    """First 16 hexadecimal digits of the SHA-256 of the data set's content. It is computed when the data set is
    loaded and is empty before."""
    train_subset: int | None = None
    """Number of training images to use, from the first, at least 1. None uses all."""
    test_subset: int | None = None
    """Number of test images to use, from the first, at least 1. None uses all."""
    holdout: float = 0.0
    """Fraction of the training images, from 0 to 0.5, that is held out of training to guide a search. A search over
    `train_subset` holds out this fraction of all training images, the same ones for every trial."""
    epochs: int = 200
    """Number of passes over the training images, at least 1."""
    batch_size: int = 128
    """Number of images per optimiser step, at least 2. The last incomplete batch of an epoch is dropped."""
    lr: float = 0.1
    """Initial learning rate, above 0."""
    schedule: str = "cosine"
    """Learning rate schedule: cosine, linear, multistep or constant. The rate is updated at every step."""
    milestones: tuple[float, ...] | None = None
    """Points at which the multistep schedule divides the learning rate by 10, in rising order: fractions of the
    training below 1, or epochs from 1 on (they are stored as fractions). None means 0.5 and 0.75; it is always None
    for other schedules."""
    lr_min_factor: float | None = None
    """Learning rate towards which the cosine and linear schedules fall, as a fraction of `lr`, from 0 to 1. None
    means 0.001; it is always None for other schedules."""
    warmup_epochs: float | None = None
    """Number of epochs, below `epochs`, in which the learning rate first rises linearly to `lr` (Goyal et al. 2017);
    the schedule takes the rest of the epochs. None means no warm-up."""
    warmup_start_factor: float | None = None
    """Learning rate at the first step of the warm-up, as a fraction of `lr`, from 0 to 1. None means 0.001; it is
    always None without `warmup_epochs`."""
    optimizer: str | None = "sgd"
    """Optimiser: sgd, lars (layer-wise rates as in the published sequel, where `lr` is about 100 times smaller than
    SGD's), adamw, or muon (orthogonalised updates of matrices and convolutions, scaled so that AdamW's `lr` suits
    them; AdamW for all other parameters). None means sgd."""
    momentum: float = 0.9
    """Momentum of the optimiser, at least 0 and below 1. It is always 0 for adamw, which has `betas`."""
    nesterov: bool = True
    """Whether the momentum is Nesterov's. It is always false if the momentum is 0, and for lars and adamw."""
    betas: tuple[float, ...] | None = None
    """Decay rates of AdamW's two moments, each at least 0 and below 1; only for adamw and muon. None means 0.9 and
    0.999; it is always None for other optimisers."""
    eps: float | None = None
    """Number that is added to the denominator of the update, above 0; only for adamw, muon and lars. None means 1e-8,
    for lars 1e-9; it is always None for sgd."""
    weight_decay: float = 1e-4
    """Weight decay, at least 0: an L2 penalty for sgd and lars, decoupled from the gradient for adamw and muon."""
    weight_decay_on: str | None = "all"
    """Parameters that the weight decay applies to: all, no_bn (all but those of batch normalisation) or matrices (no
    biases either). It is always all if the weight decay is 0. None means all."""
    clip_grad_norm: float | None = None
    """Largest L2 norm of the gradient over all parameters, above 0: longer gradients are scaled down to it. None
    means no limit."""
    label_smoothing: float | None = None
    """Share of each training label that is spread over all classes, at least 0 and below 1, in the training loss but
    not in the holdout and test losses. None means 0."""
    ghost_batch_size: int | None = None
    """Number of images that batch normalisation takes its statistics over, at least 2; `batch_size` must be a
    multiple of it (ghost batch normalisation, Hoffer et al. 2017). None means the whole batch."""
    augmentation: str = "crop_flip"
    """Augmentation of the training images: crop_flip (pad by 4 zero pixels, crop at random, mirror half of the
    images), crop (without mirroring) or none."""
    cutout_size: int | None = None
    """Side of a square in pixels, at least 1, that is set to the mean colour at a random position of each training
    image, partly outside of it or not (DeVries and Taylor 2017). None cuts out nothing."""
    mixup_alpha: float | None = None
    """Parameter of the beta distribution of the shares in which mixup blends each training image, and its label, with
    another of the batch, above 0 (Zhang et al. 2018). None blends nothing."""
    precision: str = "auto"
    """Number format of the training: auto, bf16, fp16, tf32, fp32 or pure_fp16. `auto` is bf16 on devices that
    support it, else fp16 on a GPU and fp32 on a CPU. bf16 and fp16 are mixed precision with fp32 weights, where fp16
    scales the loss; pure_fp16 keeps weights, optimiser and batch normalisation in fp16 and scales nothing."""
    seed: int = 0
    """Seed of the initial weights and, together with the epoch, of the order, the crops and the flips, from 0 to
    2**63 - 1."""
    recipe_version: int = field(default=RECIPE_VERSION)
    """Version of the training recipe, raised by the program when equal settings no longer mean the same training."""
    parent: str | None = None
    """Key of the trial whose final weights and momentum this trial begins with (population based training). None if
    it begins with random weights."""

    def __post_init__(self) -> None:
        for name, annotation in _annotations():
            object.__setattr__(self, name, typed_value(name, getattr(self, name), annotation))
        for name in ("optimizer", "weight_decay_on"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, _DEFAULTS[name])
        self._check_domains()
        self._check_optimizer()
        self._check_step()
        object.__setattr__(self, "milestones", self._canonical_milestones())
        self._fill_in_schedule()
        self._fill_in_optimizer()

    def _fill_in_schedule(self) -> None:
        """Give the fields of the schedule and of the step their defaults, or None where nothing uses them."""
        if self.schedule not in ("cosine", "linear"):
            object.__setattr__(self, "lr_min_factor", None)
        elif self.lr_min_factor is None:
            object.__setattr__(self, "lr_min_factor", DEFAULT_LR_MIN_FACTOR)
        for name in ("warmup_epochs", "label_smoothing", "mixup_alpha"):
            if not getattr(self, name):
                object.__setattr__(self, name, None)
        if self.warmup_epochs is None:
            object.__setattr__(self, "warmup_start_factor", None)
        elif self.warmup_start_factor is None:
            object.__setattr__(self, "warmup_start_factor", DEFAULT_WARMUP_START_FACTOR)
        if self.ghost_batch_size is not None and self.ghost_batch_size >= self.batch_size:
            object.__setattr__(self, "ghost_batch_size", None)

    def _fill_in_optimizer(self) -> None:
        if self.optimizer == "adamw":
            object.__setattr__(self, "momentum", 0.0)
        if self.momentum == 0.0 or self.optimizer == "lars":
            object.__setattr__(self, "nesterov", False)
        if self.optimizer in OWN_FIELDS["betas"] and self.betas is None:
            object.__setattr__(self, "betas", DEFAULT_BETAS)
        if self.optimizer in OWN_FIELDS["eps"] and self.eps is None:
            object.__setattr__(self, "eps", DEFAULT_LARS_EPS if self.optimizer == "lars" else DEFAULT_EPS)
        if self.weight_decay == 0.0:
            object.__setattr__(self, "weight_decay_on", "all")

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
                "batch_size", f"batch_size must be at least 2 (batch normalisation needs it), got {self.batch_size}"
            )
        check_range("lr", self.lr, above=0.0, most=MAX_FLOAT32)
        check_range("weight_decay", self.weight_decay, most=MAX_FLOAT32)
        check_range("holdout", self.holdout, least=0.0, most=0.5)
        check_range("momentum", self.momentum, least=0.0, below=1.0)
        check_range("weight_decay", self.weight_decay, least=0.0)
        if self.lr_min_factor is not None:
            check_range("lr_min_factor", self.lr_min_factor, least=0.0, most=1.0)
        if not 0 <= self.seed < 2**63:
            raise FieldError("seed", f"seed must be between 0 and 2**63 - 1, got {self.seed}")
        if self.parent is not None and not TRIAL_KEY_PATTERN.fullmatch(self.parent):
            raise FieldError("parent", f"parent must be a trial's key of 16 hex digits, got {quoted(self.parent)}")
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)

    def _check_optimizer(self) -> None:
        check_choice("optimizer", self.optimizer or "", OPTIMIZERS)
        check_choice("weight_decay_on", self.weight_decay_on or "", DECAYED)
        for name, optimizers in OWN_FIELDS.items():
            if getattr(self, name) is not None and self.optimizer not in optimizers:
                raise FieldError(name, f"{name} belongs to optimizer {' or '.join(optimizers)}, not {self.optimizer}")
        if self.betas is not None:
            if len(self.betas) != 2:
                raise FieldError("betas", f"betas must be two numbers, got {list(self.betas)}")
            for beta in self.betas:
                check_range("betas", beta, least=0.0, below=1.0)
        for name in ("eps", "clip_grad_norm"):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), above=0.0, most=MAX_FLOAT32)

    def _check_step(self) -> None:
        for name, bounds in (
            ("warmup_epochs", {"least": 0.0, "below": self.epochs}),
            ("warmup_start_factor", {"least": 0.0, "most": 1.0}),
            ("label_smoothing", {"least": 0.0, "below": 1.0}),
            ("cutout_size", {"least": 1, "most": MAX_COUNT}),
            ("mixup_alpha", {"least": 0.0, "most": MAX_FLOAT32}),
            ("ghost_batch_size", {"least": 2, "most": MAX_COUNT}),
        ):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), **bounds)
        ghost = self.ghost_batch_size or self.batch_size
        if self.batch_size > ghost and self.batch_size % ghost:
            raise FieldError(
                "ghost_batch_size", f"batch_size {self.batch_size} must be a multiple of ghost_batch_size {ghost}"
            )

    def _canonical_milestones(self) -> tuple[float, ...] | None:
        if self.schedule != "multistep":
            return None
        given = DEFAULT_MILESTONES if self.milestones is None else self.milestones
        fractions = tuple(value / self.epochs if value >= 1 else value for value in given)
        in_order = all(a < b for a, b in itertools.pairwise(fractions))
        if not fractions or not in_order or fractions[0] <= 0 or fractions[-1] >= 1:
            raise FieldError(
                "milestones",
                f"milestones must rise and lie inside the training of {counted(self.epochs, 'epoch')} "
                f"(fractions below 1, or epochs), got {list(given)}",
            )
        return fractions

    @property
    def trial_key(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; a field that older keys lack is left out if it has its default."""
        values = {name: getattr(self, name) for name in FIELD_NAMES}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {name: value for name, value in values.items() if name not in LATER_FIELDS or value != _DEFAULTS[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Return the configuration with these fields, the inverse of `to_dict`.

        Raises:
            FieldError: a field is unknown (the message names the nearest valid one), or a value is impossible.
        """
        for name in values:
            check_field_name(name)
        return cls(**values)

    def count_images(self, num_train: int) -> tuple[int, int]:
        """Return how many of the data set's `num_train` images are trained on, and how many are held out."""
        used = num_train if self.train_subset is None else self.train_subset
        unused = round(used * self.holdout)
        return used - unused, round(num_train * self.holdout) if self.recipe_version == SHARED_HOLDOUT else unused

    def without_holdout(self) -> "TrainConfig":
        """Return this configuration with no images held out."""
        return dataclasses.replace(self, holdout=0.0, recipe_version=RECIPE_VERSION)

    def for_dataset(self, name: str, fingerprint: str, num_train: int, num_test: int) -> "TrainConfig":
        """Return this configuration with the data set that it will be trained on.

        Raises:
            FieldError: a subset is larger than the data set, or a batch larger than the number of images to train on.
        """
        for field_name, size in (("train_subset", num_train), ("test_subset", num_test)):
            subset = getattr(self, field_name)
            if subset is not None and subset > size:
                raise FieldError(
                    field_name, f"{field_name} {subset} is larger than the {counted(size, 'image')} of {name!r}"
                )
        train_subset = None if self.train_subset == num_train else self.train_subset
        test_subset = None if self.test_subset == num_test else self.test_subset
        used, held_out = self.count_images(num_train)
        if self.holdout and not held_out:
            raise FieldError(
                "holdout",
                f"holdout {self.holdout:g} of {counted(used, 'image')} of {name!r} is less than one image: use a "
                "larger holdout or more images",
            )
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
    """A trial that belongs to a sweep, whether or not it has been trained."""

    config: TrainConfig
    repeat: Count
    """Number of the repeat: 0 for the first seed of a configuration, 1 for the second, and so on."""
    variables: Mapping[str, float | str]
    """Values that `derive` used besides the fields of the configuration, for example base_lr."""
    purpose: Purpose = Purpose.PLANNED
    """Why the sweep holds the trial."""
    proposal: int | None = None
    """Number of the search's proposal that the trial trains or confirms; None if it was planned."""
    location: Callable[[str | None], str] | None = field(default=None, compare=False, repr=False)
    """Returns, for error messages, where a field of the trial was written (for None: the trial itself).

    It is None for trials read from a store."""


FIELD_NAMES = tuple(spec.name for spec in dataclasses.fields(TrainConfig))
_DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}
LATER_FIELDS = (
    *("parent", "optimizer", "betas", "eps", "weight_decay_on", "clip_grad_norm", "warmup_epochs"),
    *("warmup_start_factor", "label_smoothing", "ghost_batch_size", "cutout_size", "mixup_alpha"),
)
"""Fields that are newer than the first trial keys, which stay as they are: a default is not part of the key."""
_COMPUTED_FIELDS = ("dataset_fingerprint", "recipe_version", "parent")
SETTABLE_FIELDS = tuple(name for name in FIELD_NAMES if name not in _COMPUTED_FIELDS)
"""Names of the fields that a user can set, in YAML or with --set."""


def check_field_name(name: str, also: tuple[str, ...] = ()) -> None:
    """Refuse a name that is neither a training field nor one of `also`.

    Raises:
        FieldError: the name is unknown; the message names the nearest valid one.
    """
    if name in FIELD_NAMES or name in also:
        return
    raise FieldError(name, f"unknown key {name!r}: {nearest(name, (*SETTABLE_FIELDS, *also), SYNONYMS)}")


def check_settable(name: str, also: tuple[str, ...] = ()) -> None:
    """Refuse a name that is neither a training field that a user can set nor one of `also`.

    Raises:
        UserError: the name is unknown, or the program computes the field.
    """
    check_field_name(name, also=also)
    if name in FIELD_NAMES and name not in SETTABLE_FIELDS:
        raise UserError(f"{name!r} is computed by the program and cannot be set")


def field_kind(name: str) -> str | None:
    """Return bool, int, float, str or tuple[float, ...], or None if there is no such field."""
    return dict(_annotations()).get(name, "").removesuffix(" | None") or None


def check_types(values: Mapping[str, Any]) -> None:
    """Refuse values of training fields that have the wrong type; other names are passed over.

    Raises:
        FieldError: a value has the wrong type.
    """
    for name, annotation in _annotations():
        if name in values:
            typed_value(name, values[name], annotation)


@functools.cache
def _annotations() -> list[tuple[str, str]]:
    """Return the name and the type (as `typed_value` expects it) of each field."""
    specs = dataclasses.fields(TrainConfig)
    return [(spec.name, str(spec.type).removeprefix("<class '").removesuffix("'>")) for spec in specs]
