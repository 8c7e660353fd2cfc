"""Rows of the `trials` table as typed objects, and their grouping into configurations with repeats."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from results.parquet.settings import DEPENDENT_FIELDS, is_default, one_at_a_time, recipe_fields, swept_words
from trainable.config import FIELD_NAMES, TrainConfig, fields_that_differ, value_of
from trainable.grouping import grouped
from trainable.records import EpochRecord, Status, TrialKey, TrialRow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EpochsByKey = Mapping[str, Sequence[EpochRecord]]
"""Trial key -> the epochs of the trial."""
ROWS_AT_ONCE = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """A row of `trials`."""

    config: TrainConfig
    row: TrialRow

    @property
    def status(self) -> Status:
        return Status(self.row.status)


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A configuration with all its repeats, which differ in the seed only."""

    config: TrainConfig
    """The configuration, with the seed of the first repeat."""
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> list[Trial]:
        """Repeats that have a final test error."""
        return [trial for trial in self.trials if trial.status is Status.COMPLETE]

    @property
    def test_errors(self) -> list[float]:
        """Test error of each finished repeat after the last epoch, in percent."""
        errors = (trial.row.test_error_percent for trial in self.finished)
        return [error for error in errors if error is not None]


def trials_from_table(table: pa.Table, *, with_superseded: bool = False) -> list[Trial]:
    """Return the rows of a `trials` table; superseded trainings only if they are asked for."""
    columns = [spec.name for spec in dataclasses.fields(TrialRow)]
    trials = [
        Trial(
            TrainConfig(**{name: row[name] for name in FIELD_NAMES}),
            TrialRow(**{name: row[name] for name in columns}),
        )
        for row in _rows(table)
    ]
    return [trial for trial in trials if with_superseded or not trial.row.superseded]


def epochs_from_table(table: pa.Table) -> dict[str, list[EpochRecord]]:
    """Return the epochs of each trial of an `epochs` table by its key, without superseded trainings."""
    trainings = epochs_of_trainings(table)
    return {training.trial_key: epochs for training, epochs in trainings.items() if not training.superseded}


def epochs_of_trainings(table: pa.Table) -> dict[TrialKey, list[EpochRecord]]:
    """Return the epochs of each training of an `epochs` table, superseded ones included."""
    names = [spec.name for spec in dataclasses.fields(EpochRecord)]
    keys = [spec.name for spec in dataclasses.fields(TrialKey)]
    epochs: dict[TrialKey, list[EpochRecord]] = {}
    for start in range(0, len(table), ROWS_AT_ONCE):  # a row as a dict takes ten times the memory of its record
        for row in _rows(table.slice(start, ROWS_AT_ONCE)):
            key = TrialKey(**{name: row[name] for name in keys})
            epochs.setdefault(key, []).append(EpochRecord(**{name: row[name] for name in names}))
    return epochs


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as dicts. `Table.to_pylist` would import pandas for times, which takes a third of a second."""
    columns = [
        [
            None if value is None else EPOCH + timedelta(microseconds=value)
            for value in column.cast("int64").to_pylist()
        ]
        if pa.types.is_timestamp(column.type)
        else [None if value is None else tuple(value) for value in column.to_pylist()]
        if pa.types.is_list(column.type)
        else column.to_pylist()
        for column in table.columns
    ]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def group_repeats(trials: Iterable[Trial]) -> list[Cell]:
    """Group trials that differ in their seed only, in the order of their first appearance."""
    groups = grouped(trials, lambda trial: dataclasses.replace(trial.config, seed=0))
    return [Cell(group[0].config, tuple(group)) for group in groups.values()]


def best_cell(cells: Iterable[Cell]) -> Cell | None:
    """Return the configuration with the least mean test error; None if no trial has finished."""
    finished = [cell for cell in cells if cell.test_errors]
    return min(finished, key=lambda cell: statistics.fmean(cell.test_errors), default=None)


def varying_fields(configs: Sequence[TrainConfig]) -> list[str]:
    """Return the names of the training fields in which these configurations differ, without seed and parent.

    A field that depends on another one (`DEPENDENT_FIELDS`) is left out if the program set it in all of them.
    """
    varying = [name for name in fields_that_differ(configs) if name not in ("seed", "parent")]
    dependent = {name for owner, names in DEPENDENT_FIELDS.items() for name in names if owner in varying}
    return [
        name for name in varying if name not in dependent or not all(is_default(config, name) for config in configs)
    ]


def determines(given: str, name: str, configs: Iterable[TrainConfig]) -> bool:
    """Return whether each value of the field `given` occurs with a single value of the field `name`."""
    pairs = {(value_of(config, given), value_of(config, name)) for config in configs}
    return len(pairs) == len({first for first, _ in pairs})


def variants(configs: Sequence[TrainConfig], named: Sequence[str]) -> list[str]:
    """Return for each configuration the words for what sets it apart from the recipe and from the others.

    Fields that are `named` elsewhere, or that the model or the data set tells, are left out.
    """
    varying = [
        name
        for name in varying_fields(configs)
        if name not in named and not any(determines(given, name, configs) for given in ("model", "dataset"))
    ]
    is_grid = not one_at_a_time([tuple(value_of(config, name) for name in varying) for config in configs])
    words = []
    for config in configs:
        own = [name for name in varying if is_grid or not is_default(config, name)]
        names = dict.fromkeys([*recipe_fields(config), *own])
        words.append(", ".join(swept_words(name, value_of(config, name)) for name in names))
    return words
