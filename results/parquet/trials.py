"""Rows of the `trials` table as typed objects, and their grouping into configurations with repeats."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from trainable.config import FIELD_NAMES, TrainConfig
from trainable.records import EpochRecord, Status, TrialKey, TrialRow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    """A configuration with all its repeats."""

    config: TrainConfig
    """With the seed of the first repeat."""
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> list[Trial]:
        """The repeats that have a final test error."""
        return [trial for trial in self.trials if trial.status is Status.COMPLETE]

    @property
    def test_errors(self) -> list[float]:
        """Test error (percent) at the last epoch of every finished repeat."""
        errors = (trial.row.test_error_percent for trial in self.finished)
        return [error for error in errors if error is not None]


def trials_from_table(table: pa.Table, *, with_superseded: bool = False) -> list[Trial]:
    """The inverse of what `collect` writes; superseded trainings only where they are asked for."""
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
    """Trial key -> its epochs, in their order, from the `epochs` table; without superseded trainings."""
    trainings = epochs_of_trainings(table)
    return {training.trial_key: epochs for training, epochs in trainings.items() if not training.superseded}


def epochs_of_trainings(table: pa.Table) -> dict[TrialKey, list[EpochRecord]]:
    """Training, superseded ones too -> its epochs, in their order, from the `epochs` table."""
    names = [spec.name for spec in dataclasses.fields(EpochRecord)]
    keys = [spec.name for spec in dataclasses.fields(TrialKey)]
    epochs: dict[TrialKey, list[EpochRecord]] = {}
    for row in _rows(table):
        key = TrialKey(**{name: row[name] for name in keys})
        epochs.setdefault(key, []).append(EpochRecord(**{name: row[name] for name in names}))
    return epochs


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """As `Table.to_pylist`, which for times would import pandas: a third of a second for nothing."""
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
    """Trials that differ in their seed only become one cell, in the order of their first appearance."""
    groups: dict[TrainConfig, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(dataclasses.replace(trial.config, seed=0), []).append(trial)
    return [Cell(group[0].config, tuple(group)) for group in groups.values()]


def varying_fields(configs: Sequence[TrainConfig]) -> list[str]:
    """Names of the training fields in which these configurations differ: what a reader tells them apart by.

    The seed is none of them, nor the parent: its key says nothing of how a trial trains.
    """
    told = [name for name in FIELD_NAMES if name not in ("seed", "parent")]
    return [name for name in told if len({getattr(config, name) for config in configs}) > 1]
