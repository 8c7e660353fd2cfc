"""Rows that the lint rules check: one per published row or finished trial."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from models.names import display_name
from results.parquet.trials import Cell, variants
from results.published.cells import MEDIAN_VARIANCE, PublishedCell
from trainable.config import FIELD_NAMES
from trainable.grouping import grouped
from trainable.wording import counted

NAMED_FIELDS = ("model", "batch_size", "lr", "schedule", "epochs", "seed")
"""Training fields that a LintRow has as attributes."""


class Severity(StrEnum):
    ERROR = "error"
    """A value is most likely wrong."""
    WARNING = "warning"
    """The rows alone do not support the conclusions drawn from them."""
    NOTE = "note"
    """Nothing is wrong, but the rows differ from what is expected."""


class Rule(StrEnum):
    """Kind of finding; each function of `results.lint.rules` has one."""

    OFF_RULE_LR = "off-rule lr"
    REPEAT = "repeat"
    NEAR_DIVERGENCE = "near-divergence"
    EDGE_OPTIMUM = "edge optimum"
    SINGLE_LR = "single lr"
    TIMES = "times"
    LR_SCALING = "lr scaling"


class Protocol(NamedTuple):
    """Settings that are fixed while batch size and learning rate vary."""

    model: str
    schedule: str
    epochs: int
    other: str
    variant: str = ""
    """Words for what a row departs from the first published tables in, for example `LARS`, and for what else sets it
    apart from other rows of its sweep; shown in messages."""

    def __str__(self) -> str:
        variant = f", {self.variant}" if self.variant else ""
        return f"{display_name(self.model)}, {self.schedule}, {counted(self.epochs, 'epoch')}{variant}"


@dataclass(frozen=True, slots=True)
class LintRow:
    """One test error with its configuration and time."""

    group: str
    """Name of the table or the sweep."""
    protocol: Protocol
    batch_size: int
    lr: float
    test_error_percent: float
    """Test error at the last epoch."""
    seconds: float
    """Wall time of the whole training, evaluation included."""
    device: str
    seed: int | None
    """None if the source gives no seed; then rows with the same configuration should agree."""
    variance_factor: float = 1.0
    """Variance of the error divided by that of a single run."""

    @property
    def configuration(self) -> tuple[Protocol, int, float]:
        """What was trained, without the seed."""
        return (self.protocol, self.batch_size, self.lr)

    @property
    def seconds_per_epoch(self) -> float:
        return self.seconds / self.protocol.epochs


@dataclass(frozen=True, slots=True)
class Finding:
    """Something unusual, with the rows that show it."""

    rule: Rule
    severity: Severity
    message: str
    """One line, with the values."""
    rows: tuple[LintRow, ...]


def rows_of_published(cells: Iterable[PublishedCell]) -> list[LintRow]:
    """Return one row for every published row, in their order."""
    return [
        LintRow(
            group=cell.table,
            protocol=Protocol(cell.model, cell.schedule, cell.epochs, "", cell.configuration.variant),
            batch_size=cell.batch_size,
            lr=cell.lr,
            test_error_percent=cell.test_error_percent,
            seconds=60.0 * cell.minutes,
            device=cell.hardware,
            seed=None,
            variance_factor=MEDIAN_VARIANCE[cell.num_runs],
        )
        for cell in cells
    ]


def rows_of_cells(cells: Sequence[Cell]) -> list[LintRow]:
    """Return one row for every trial with a final test error."""
    words = variants([cell.config for cell in cells], NAMED_FIELDS)
    return [
        LintRow(
            group=trial.row.sweep,
            protocol=Protocol(trial.config.model, trial.config.schedule, trial.config.epochs, other, variant),
            batch_size=trial.config.batch_size,
            lr=trial.config.lr,
            test_error_percent=error,
            seconds=trial.row.total_seconds,
            device=f"{trial.row.host} {trial.row.device}",
            seed=trial.config.seed,
        )
        for cell, variant in zip(cells, words, strict=True)
        for other in [str([getattr(cell.config, name) for name in FIELD_NAMES if name not in NAMED_FIELDS])]
        for trial in cell.finished
        if (error := trial.row.test_error_percent) is not None and math.isfinite(error)
    ]


@dataclass(frozen=True, slots=True)
class ErrorByLr:
    """Test error by learning rate, for one batch size and protocol."""

    protocol: Protocol
    batch_size: int
    errors: dict[float, float]
    """Learning rate, ascending -> test error (percent); the median of several runs."""
    rows: tuple[LintRow, ...]

    @property
    def best_lrs(self) -> list[float]:
        """The learning rates with the smallest error; several if they tie."""
        best = min(self.errors.values())
        return [lr for lr, error in self.errors.items() if error == best]


def errors_by_lr(rows: Sequence[LintRow]) -> list[ErrorByLr]:
    """Group the rows by protocol and batch size, in the order of their first rows; rows printed twice count once."""
    curves = []
    groups = grouped(distinct(rows), lambda row: (row.protocol, row.batch_size))
    for (protocol, batch_size), members in groups.items():
        runs = grouped(members, lambda row: row.lr)
        medians = {lr: statistics.median(row.test_error_percent for row in runs[lr]) for lr in sorted(runs)}
        curves.append(ErrorByLr(protocol, batch_size, medians, tuple(members)))
    return curves


def lr_studies(rows: Sequence[LintRow], min_grid: int) -> dict[Protocol, list[ErrorByLr]]:
    """Return the protocols in which at least two, and half of all, batch sizes have `min_grid` learning rates.

    In other protocols the learning rate follows a rule and only the batch size is studied.
    """
    return {
        protocol: members
        for protocol, members in grouped(errors_by_lr(rows), lambda curve: curve.protocol).items()
        if (num_grids := sum(len(curve.errors) >= min_grid for curve in members)) >= 2
        and 2 * num_grids >= len(members)
    }


def distinct(rows: Iterable[LintRow]) -> list[LintRow]:
    """Return the rows without those that repeat an earlier row in another table."""
    return list({dataclasses.replace(row, group=""): row for row in reversed(list(rows))}.values())[::-1]
