"""The keys of a search's settings: plain JSON in its log, and in the metadata of its `trials` table."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

from trainable.config import FIELD_NAMES, TrainConfig
from trainable.decoding import Count, Ordinal, decode
from trainable.records import (
    PUBLISHED_BATCH_SIZE,
    PUBLISHED_EPOCHS,
    PUBLISHED_GHOST_BATCH_SIZE,
    PUBLISHED_MODEL,
)

Scalar = bool | int | float | str | None

ALGORITHM = "algorithm"
NUM_TRIALS = "num_trials"
SEED = "seed"
WARM_START = "warm_start"
PARAMETERS = "parameters"
FIRST = "first"
"""The values of the first proposals; only if the space gives some."""
OBJECTIVE = "objective"
"""A list, each entry with a METRIC, and with SEEDS if there are several."""
METRIC = "metric"
SEEDS = "seeds"
"""Number of seeds over whose mean a configuration is judged."""
SCHEDULER = "scheduler"
"""A mapping with SCHEDULER_TYPE and the keys of that type."""
SCHEDULER_TYPE = "type"
CONFIRM = "confirm"
"""None, or a mapping with TOP and REPEATS."""
TOP = "top"
REPEATS = "repeats"
TRIAL = "trial"
"""What makes a trial of a proposal: defaults, DERIVE, OVERRIDES, SCALE, and the fingerprint of the data set."""
FINGERPRINT = "dataset_fingerprint"
"""Key of the data set's fingerprint in TRIAL."""
RECIPE_VERSION = "recipe_version"
"""Key of the recipe's version in TRIAL; only a search over `train_subset` has it."""
DERIVE = "derive"
OVERRIDES = "set"
SCALE = "scale"
"""None, or a mapping with OVERRIDES and DERIVE."""

KIND = "kind"
CHOICES = "choices"
LOW = "low"
HIGH = "high"
STEP = "step"
LOG = "log"
WHEN = "when"
"""Keys of one of the PARAMETERS."""

METRIC_NAMES = {
    "holdout_error_percent": ("holdout error", "%"),
    "holdout_loss": ("holdout loss", "nats"),
    "train_seconds": ("training time", "s"),
}
"""Name for people and unit of each metric that can be an objective."""

FULL_SCALE = {
    "model": PUBLISHED_MODEL,
    "epochs": PUBLISHED_EPOCHS,
    "batch_size": PUBLISHED_BATCH_SIZE,
    "ghost_batch_size": PUBLISHED_GHOST_BATCH_SIZE,
}
"""Field -> the variable that holds the proposed value, if a scale has replaced the value of the field."""


def value_text(metric: str, value: float) -> str:
    """Return the value of an objective with its name and unit: `training time 12.5 s`."""
    name, unit = METRIC_NAMES.get(metric, (metric, ""))
    return f"{name} {value:.4g} {unit}".rstrip()


class LoggedParameter(TypedDict):
    """One of the PARAMETERS: choices, or a range."""

    kind: Literal["float", "int", "categorical"]
    choices: NotRequired[list[bool | int | float | str | None]]
    low: NotRequired[float]
    high: NotRequired[float]
    step: NotRequired[float | None]
    log: NotRequired[bool]
    when: NotRequired[str]


class LoggedObjective(TypedDict):
    """One of the entries of OBJECTIVE."""

    metric: str
    goal: Literal["minimize"]
    seeds: NotRequired[Ordinal]


class LoggedScheduler(TypedDict):
    """The value of SCHEDULER."""

    type: str
    grace_epochs: NotRequired[Ordinal]
    reduction_factor: NotRequired[Ordinal]
    brackets: NotRequired[Ordinal]
    min_trials: NotRequired[Ordinal]
    population: NotRequired[Ordinal]
    quantile: NotRequired[float]
    perturb: NotRequired[list[float]]
    resample_probability: NotRequired[float]


class LoggedConfirm(TypedDict):
    """The value of CONFIRM."""

    top: Ordinal
    repeats: Ordinal


class LoggedSettings(TypedDict):
    """All settings of a search."""

    algorithm: str
    num_trials: Count
    seed: Count
    warm_start: str | None
    parameters: dict[str, LoggedParameter]
    first: NotRequired[list[dict[str, bool | int | float | str | None]]]
    objective: list[LoggedObjective]
    scheduler: LoggedScheduler
    confirm: LoggedConfirm | None
    trial: dict[str, Any]


def check_settings(values: object) -> Mapping[str, Any]:
    """Return the settings, if they are those of a search.

    Raises:
        ValueError: a key is missing or unknown, or a value is impossible.
    """
    settings: Mapping[str, Any] = dict(decode(LoggedSettings, values))
    for name, parameter in settings[PARAMETERS].items():
        wanted = {CHOICES} if parameter[KIND] == "categorical" else {LOW, HIGH, STEP, LOG}
        if parameter.keys() - {KIND, WHEN} != wanted:
            raise ValueError(f"parameter {name} has wrong keys")
    return settings


def trained_params(names: Iterable[str], config: TrainConfig, variables: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the values of a search's parameters that a trial was trained with, at the full size of the space.

    They are not what was proposed where that has no effect: the momentum of adamw is 0.
    """
    values = {name: getattr(config, name) for name in FIELD_NAMES}
    values |= {name: variables[full] for name, full in FULL_SCALE.items() if full in variables}
    return {name: values[name] if name in values else variables.get(name) for name in names}
