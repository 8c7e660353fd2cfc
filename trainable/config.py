"""The configuration of a trial and its key, which identifies the trial. Standard library only."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.names import display_name
from models.user_code import is_reference
from trainable.canonical import canonical_values
from trainable.decoding import Count
from trainable.errors import FieldError, UserError
from trainable.field_checks import ARGUMENT_PREFIX, SYNONYMS, typed_value
from trainable.records import Purpose
from trainable.wording import counted, nearest

ARCHITECTURE_SEPARATOR = "\t"
RECIPE_VERSION = 1
"""Version of the training recipe. Raise it when the meaning of training changes, so that old results are not used."""
SHARED_HOLDOUT = 2
"""Version of the recipe of a search over `train_subset`: its trials hold out the same images of the whole data set.
Elsewhere the held-out images are some of the subset."""


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
    2000; ResNet-DEPTH and ResNet-preact-DEPTH, as in tables, are read, too. Or a model of your own: FILE.py:NAME,
    with a path relative to the space's folder, or the importable package.module:NAME."""
    model_args: str | None = None
    """Arguments of a model of your own besides num_classes and image_size: a mapping like {width: 64}, or single ones
    as `model_args.width`. Values are numbers, words, true, false or lists of them. It is stored as JSON text."""
    model_fingerprint: str | None = None
    """First 16 hexadecimal digits of the SHA-256 of the file of a model of your own; None for built-in models."""
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
    which adamw and muon cannot hold in pure_fp16, for lars 1e-9; it is always None for sgd."""
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
    loss: str | None = None
    """Training loss of your own, FILE.py:NAME or package.module:NAME like `model`: a function of the logits [B, C]
    and the labels [B] that returns a scalar. Holdout and test losses stay the cross entropy, as for None."""
    loss_fingerprint: str | None = None
    """First 16 hexadecimal digits of the SHA-256 of the file of the loss; None for cross entropy."""
    ghost_batch_size: int | None = None
    """Number of images that batch normalisation takes its statistics over, at least 2; `batch_size` must be a
    multiple of it (ghost batch normalisation, Hoffer et al. 2017). None means the whole batch."""
    augmentation: str = "crop_flip"
    """Augmentation of the training images: crop_flip (pad by 4 zero pixels, crop at random, mirror half of the
    images), crop (without mirroring) or none."""
    cutout_size: int | None = None
    """Side of a square in pixels, at least 0, that is set to the mean colour at a random position of each training
    image, partly outside of it or not (DeVries and Taylor 2017). None means 0, which cuts out nothing."""
    mixup_alpha: float | None = None
    """Parameter of the beta distribution of the shares in which mixup blends each training image, and its label, with
    another of the batch, at least 0 (Zhang et al. 2018). None means 0, which blends nothing."""
    precision: str = "auto"
    """Number format of the training: auto, bf16, fp16, tf32, fp32 or pure_fp16. `auto` is bf16 on devices that
    support it, else fp16 on a GPU and fp32 on a CPU. bf16 and fp16 are mixed precision with fp32 weights, where fp16
    scales the loss; pure_fp16 keeps weights, optimiser and batch normalisation in fp16 and scales nothing. A trial
    of `auto` is another one than a trial of the format that it becomes: both are trained."""
    noise_scale: bool | None = False
    """Whether the gradient noise scale is measured, at every 80th step; `batch_size` must be at least 4. The training
    stays the same bit for bit, but the trial is another one. Steps of a CUDA graph are not measured. None means
    false."""
    seed: int = 0
    """Seed of the initial weights and, together with the epoch, of the order, the crops and the flips, from 0 to
    2**63 - 1."""
    recipe_version: int = field(default=RECIPE_VERSION)
    """Version of the training recipe, raised by the program when equal settings no longer mean the same training."""
    parent: str | None = None
    """Key of the trial whose final weights and momentum this trial begins with (population based training). None if
    it begins with random weights."""

    def __post_init__(self) -> None:
        typed = {name: typed_value(name, getattr(self, name), annotation) for name, annotation in _annotations()}
        for name, value in canonical_values(typed).items():
            object.__setattr__(self, name, value)

    @property
    def trial_key(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; a field that older keys lack is left out if it has its default."""
        values = {name: getattr(self, name) for name in FIELD_NAMES}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        values["model_args"] = self.model_arguments() or None
        return {name: value for name, value in values.items() if name not in LATER_FIELDS or value != DEFAULTS[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Return the configuration with these fields, the inverse of `to_dict`.

        Raises:
            FieldError: a field is unknown (the message names the nearest valid one), or a value is impossible.
        """
        for name in values:
            check_field_name(name)
        return cls(**values)

    @property
    def architecture(self) -> str:
        """The model's name; one of the user's own is followed by its fingerprint and its arguments."""
        parts = (self.model_fingerprint or "", self.model_args or "") if is_reference(self.model) else ()
        return ARCHITECTURE_SEPARATOR.join([self.model, *parts])

    def model_arguments(self) -> dict[str, Any]:
        """Return `model_args` as keyword arguments."""
        return {} if self.model_args is None else dict(json.loads(self.model_args))

    def count_images(self, num_train: int) -> tuple[int, int]:
        """Return how many of the data set's `num_train` images are trained on, and how many are held out."""
        used = num_train if self.train_subset is None else self.train_subset
        unused = round(used * self.holdout)
        return used - unused, round(num_train * self.holdout) if self.recipe_version == SHARED_HOLDOUT else unused

    @property
    def images_per_pass(self) -> int:
        """Number of images that go through the model at once: a ghost batch, or the whole batch."""
        return self.ghost_batch_size or self.batch_size

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


FIRST_REPEATS = 2
"""Number of seeds of a configuration before the errors decide on further ones: the least that shows a variance."""
FIELD_NAMES = tuple(spec.name for spec in dataclasses.fields(TrainConfig))
DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}
LATER_FIELDS = (
    *("parent", "optimizer", "betas", "eps", "weight_decay_on", "clip_grad_norm", "warmup_epochs"),
    *("warmup_start_factor", "label_smoothing", "ghost_batch_size", "cutout_size", "mixup_alpha"),
    *("model_args", "model_fingerprint", "loss", "loss_fingerprint", "noise_scale"),
)
"""Fields that are newer than the first trial keys, which stay as they are: a default is not part of the key."""
_COMPUTED_FIELDS = ("dataset_fingerprint", "model_fingerprint", "loss_fingerprint", "recipe_version", "parent")
SETTABLE_FIELDS = tuple(name for name in FIELD_NAMES if name not in _COMPUTED_FIELDS)
"""Names of the fields that a user can set, in YAML or with --set."""


def architecture_fields(architecture: str) -> dict[str, Any]:
    """Return the fields of a configuration with this architecture."""
    names = ("model", "model_fingerprint", "model_args")
    parts = zip(names, architecture.split(ARCHITECTURE_SEPARATOR), strict=False)
    return {name: part for name, part in parts if part}


def value_of(config: TrainConfig, name: str) -> Any:  # noqa: ANN401 (whatever the field holds)
    """Return the value of a training field, or of an argument of a model as `model_args.width`: None if not given."""
    if not name.startswith(ARGUMENT_PREFIX):
        return getattr(config, name)
    value = config.model_arguments().get(name.removeprefix(ARGUMENT_PREFIX))
    return json.dumps(value) if isinstance(value, list) else value


def fields_that_differ(configs: Sequence[TrainConfig]) -> list[str]:
    """Return the names of the training fields in which these differ, with each argument of a model on its own.

    Fingerprints of models and losses are left out where the names that people see tell them apart.
    """

    def differ(name: str) -> bool:
        return len({value_of(config, name) for config in configs}) > 1

    keys = sorted({key for config in configs if config.model_args for key in config.model_arguments()})
    arguments = {"model_args": [f"{ARGUMENT_PREFIX}{key}" for key in keys]}
    names = [name for field_name in FIELD_NAMES for name in arguments.get(field_name, [field_name]) if differ(name)]
    for field_name in ("model", "loss"):
        pairs = {(getattr(config, field_name), getattr(config, f"{field_name}_fingerprint")) for config in configs}
        shown = [display_name(reference) for reference, fingerprint in pairs if fingerprint]
        if len(shown) == len(set(shown)):
            names = [name for name in names if name != f"{field_name}_fingerprint"]
    return names


def in_field_order(names: Iterable[str]) -> list[str]:
    """Sort names of training fields, and of arguments of a model, as the fields stand in `TrainConfig`."""
    return sorted(names, key=lambda name: (FIELD_NAMES.index(name.partition(".")[0]), name))


def is_field(name: str) -> bool:
    """Return whether this is the name of a training field, or of an argument of a model as `model_args.width`."""
    return name in FIELD_NAMES or (name.startswith(ARGUMENT_PREFIX) and len(name) > len(ARGUMENT_PREFIX))


def check_field_name(name: str, also: tuple[str, ...] = ()) -> None:
    """Refuse a name that is neither a training field nor one of `also`.

    Raises:
        FieldError: the name is unknown; the message names the nearest valid one.
    """
    if is_field(name) or name in also:
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
