"""The axes of tables, figures and pages: the fields that vary, their values and scale, and which of them matter most.

Everything is decided from the trials alone. The parameters of a search, where they are known, tell the scale of a
range and the order of choices.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.names import display_name
from results.parquet.search_results import Parameter
from results.parquet.settings import NONE_WORDS, OPTIMIZER_NAMES
from results.parquet.trials import Cell, Trial, determines, varying_fields
from trainable.canonical import ZERO_IS_NONE
from trainable.config import FIELD_NAMES, TrainConfig, value_of
from trainable.field_checks import ARGUMENT_PREFIX
from trainable.grouping import grouped
from trainable.ledger.checksums import parse_json
from trainable.records import PUBLISHED_BATCH_SIZE, PUBLISHED_EPOCHS, PUBLISHED_GHOST_BATCH_SIZE, PUBLISHED_MODEL
from trainable.wording import format_value

FIRST = ("batch_size", "lr")
"""Fields that come first where both vary, as in the published tables."""
LOGARITHMIC = ("batch_size", "lr")
"""Fields whose scale is logarithmic however their values are spaced."""
OWNERS = ("model", "dataset", "schedule")
STRUCTURE = (*OWNERS, "batch_size", "lr", "epochs")
"""Fields that are never left out; others are if an owner tells their value, as a schedule tells its milestones."""
LABELS = {
    "lr": "initial learning rate",
    "epochs": "number of epochs",
    "warmup_epochs": "warm-up (epochs)",
    "train_subset": "training images",
    "test_subset": "test images",
    "cutout_size": "cutout size (pixels)",
    "ghost_batch_size": "ghost batch size (images)",
}
"""Field -> label of its axis, where it is not the name without underscores."""
RESULTS = {
    "test_error_percent": "test error (%)",
    "test_error_percent_last5": "median test error, last 5 epochs (%)",
    "holdout_error_percent": "holdout error (%)",
    "train_loss": "training loss (nats)",
    "total_seconds": "time (s)",
    "train_seconds": "training time (s)",
    "images_per_second": "images/s",
    "peak_memory_bytes": "peak memory (MB)",
    "epochs_done": "epochs done",
    "attempts": "attempts",
}
"""Column of `trials` that is a result -> label."""
STAND_INS = (PUBLISHED_MODEL, PUBLISHED_EPOCHS, PUBLISHED_BATCH_SIZE, PUBLISHED_GHOST_BATCH_SIZE)
"""Variables that are no parameters: what a scaled-down trial stands for."""
CHANCE = 2.0
LOG_RATIO = 10
"""Ratio of two values from which on their axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A field that varies, with its values in the order of an axis."""

    name: str
    values: tuple[Any, ...]
    """The distinct values: numbers in rising order, words in the order of the space, None last."""
    is_number: bool
    """Whether every value is a number; None is 0 for the fields where it means 0."""
    is_log: bool
    """Whether the scale is logarithmic: all values are above 0, and evenly spaced in their logarithm."""

    @property
    def label(self) -> str:
        """Name for people, with the unit."""
        is_argument = self.name.startswith(ARGUMENT_PREFIX)
        return {**LABELS, **RESULTS}.get(self.name, self.name if is_argument else self.name.replace("_", " "))

    @property
    def positions(self) -> dict[Any, int]:
        """Position of each value on the axis, from 0."""
        return {value: position for position, value in enumerate(self.values)}

    def value(self, config: TrainConfig) -> Any:  # noqa: ANN401 (whatever the field holds)
        """Return the value of a configuration, one of `values` for those that the axis is made of."""
        return axis_value(config, self.name)

    def text(self, value: object) -> str:
        """Return a value for a tick, a column or a legend."""
        return value_words(self.name, value)


def axis_value(config: TrainConfig, name: str) -> Any:  # noqa: ANN401 (whatever the field holds)
    """Return the value of a field; 0 instead of None where None means 0."""
    return zero_if_none(name, value_of(config, name))


def zero_if_none(name: str, value: Any) -> Any:  # noqa: ANN401 (whatever the field holds)
    """Return a value of a field; 0 instead of None where None means 0."""
    return 0 if value is None and name in ZERO_IS_NONE else value


def value_words(name: str, value: object) -> str:
    """Return the value of a field in words: `LARS`, `ResNet-20`, `0.0005`, `whole batch`."""
    if value is None:
        return NONE_WORDS.get(name, "none")
    if name == "model":
        return display_name(str(value))
    if name == "optimizer":
        return OPTIMIZER_NAMES.get(str(value), str(value))
    return str(value).lower() if isinstance(value, bool) else format_value(value, digits=4)


def varying_names(configs: Sequence[TrainConfig]) -> list[str]:
    """Return the names of the fields in which configurations differ, in the order of the fields.

    A field that depends on another one is left out if that one tells its value.
    """
    return [
        name
        for name in varying_fields(configs)
        if name in STRUCTURE or not any(determines(owner, name, configs) for owner in OWNERS)
    ]


def varying_variables(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """Return the variables of `derive` in which trials differ, with the value of each trial: None if it has none.

    A variable whose value a field has, wherever the field is not None, is left out.
    """
    values = [parse_json(trial.row.variables) for trial in trials]
    names = sorted({name for own in values for name in own} - {*FIELD_NAMES, *STAND_INS})
    columns = {name: [own.get(name) for own in values] for name in names}
    fields = varying_fields([trial.config for trial in trials])

    def is_field_too(column: Sequence[Any]) -> bool:
        pairs = list(zip(trials, column, strict=True))
        return any(all(value_of(trial.config, name) in (None, own) for trial, own in pairs) for name in fields)

    return {name: column for name, column in columns.items() if len({*column}) > 1 and not is_field_too(column)}


def varying_axes(configs: Sequence[TrainConfig], parameters: Sequence[Parameter] = ()) -> list[Axis]:
    """Return the axes of `varying_names`, in the order of the fields."""
    axes = [
        axis_of(name, [axis_value(config, name) for config in configs], parameters) for name in varying_names(configs)
    ]
    return [axis for axis in axes if len(axis.values) > 1]


def ranked_axes(
    measured: Iterable[Cell | tuple[TrainConfig, float | None]], parameters: Sequence[Parameter] = ()
) -> list[Axis]:
    """Return the fields in which configurations differ, the most important first.

    `measured` has cells, or configurations with an error each (None if the trial has none). The rank is the share of
    the errors' variance that the field explains alone. Batch size and lr come first where both vary.
    """
    pairs = [pair for item in measured for pair in (_pairs(item) if isinstance(item, Cell) else [item])]
    axes = varying_axes([config for config, _ in pairs], parameters)
    return ranked(axes, [({axis.name: axis.value(config) for axis in axes}, error) for config, error in pairs])


def ranked(
    axes: Sequence[Axis], measured: Sequence[tuple[Mapping[str, Any], float | None]], first: Sequence[str] = FIRST
) -> list[Axis]:
    """Return axes, the most important first, by the errors of values: those of each field by its name.

    The fields `first` come before all others where all of them vary. Of those that explain nothing, batch size and lr
    come first.
    """
    known = [(values, error) for values, error in measured if error is not None and math.isfinite(error)]
    has_all = {*first} <= {axis.name for axis in axes}

    def rank(axis: Axis) -> tuple[int, float, bool]:
        if axis.name in first and has_all:
            return first.index(axis.name) - len(first), 0.0, True
        share = _explained_share(axis, [(values[axis.name], error) for values, error in known])
        return 0, -share, axis.name not in FIRST

    return sorted(axes, key=rank)


def _explained_share(axis: Axis, known: Sequence[tuple[Any, float]]) -> float:
    """Return the share of the errors' variance, from 0 to 1, that a field explains alone.

    It is adjusted for the number of values, so that a field with many values does not win by chance, and 0 within
    `CHANCE` standard deviations of what a field without effect explains. Numbers that hardly repeat, drawn from a
    range, are divided into about sqrt(n) equal parts first.
    """
    present = {value for value, _ in known}
    values = [value for value in axis.values if value in present]
    parts = len(values)
    if axis.is_number and parts > len(known) // 2:
        parts = max(2, round(math.sqrt(len(known))))
    part = {value: index * parts // len(values) for index, value in enumerate(values)}
    groups = [[error for _, error in members] for members in grouped(known, lambda pair: part[pair[0]]).values()]
    total = _squares([error for _, error in known])
    if len(known) == len(groups) or len(groups) < 2 or total == 0:
        return 0.0
    share, by_chance = 1 - math.fsum(map(_squares, groups)) / total, (len(groups) - 1) / (len(known) - 1)
    deviation = math.sqrt(2 * by_chance * (1 - by_chance) / (len(known) + 1))  # of a beta distribution
    if share < by_chance + CHANCE * deviation:
        return 0.0
    return round(min((share - by_chance) / (1 - by_chance), 1.0), 9)


def _pairs(cell: Cell) -> list[tuple[TrainConfig, float | None]]:
    return [(cell.config, error) for error in cell.test_errors] or [(cell.config, None)]


def _squares(errors: Sequence[float]) -> float:
    mean = statistics.fmean(errors) if errors else 0.0
    return math.fsum((error - mean) ** 2 for error in errors)


def axis_of(name: str, values: Iterable[Any], parameters: Sequence[Parameter] = ()) -> Axis:
    """Return the axis of these values, which may repeat, of a field, a variable or a result."""
    parameter = next((parameter for parameter in parameters if parameter.name == name), None)
    found = dict.fromkeys(values)
    choices = [choice for choice in (parameter and parameter.choices) or () if choice in found]
    distinct = [value for value in dict.fromkeys([*choices, *found]) if value is not None]
    if _are_numbers(distinct) or all(isinstance(value, bool) for value in distinct):
        distinct.sort()
    is_number = bool(distinct) and _are_numbers(distinct) and None not in found
    if parameter is not None and parameter.choices is None:
        is_log = parameter.log
    else:
        is_log = name in LOGARITHMIC or (is_number and is_geometric(distinct))
    return Axis(name, (*distinct, *([None] * (None in found))), is_number, is_number and distinct[0] > 0 and is_log)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def is_geometric(rising: Sequence[float]) -> bool:
    """Return whether rising numbers are above 0 and spaced more evenly in their logarithms than as they are."""
    if rising[0] <= 0 or len(rising) < 3:
        return rising[0] > 0 and rising[-1] >= LOG_RATIO * rising[0]
    return _unevenness([math.log(value) for value in rising]) < _unevenness(rising)


def _unevenness(rising: Sequence[float]) -> float:
    """Return the largest distance between numbers, scaled to [0, 1], and as many evenly spaced ones."""
    span, last = rising[-1] - rising[0], len(rising) - 1
    return max(abs((value - rising[0]) / span - index / last) for index, value in enumerate(rising))
