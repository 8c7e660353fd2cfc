"""Published results as typed rows, read from the CSV files in this folder."""

import csv
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from results.parquet.settings import setting_words
from trainable.errors import UserError
from trainable.wording import format_value, nearest

PUBLISHED = "published"
"""Name of all published rows, used in place of the name of a sweep."""
FOLDER = Path(__file__).resolve().parent
SEED_FILE = "seed_tables.csv"
"""The 91 rows of the 16 published tables, in the order of printing."""
LONGER_FILE = "linear_scaling_longer.csv"
"""20 further rows by the same author: the linear rule with 400 and 800 epochs."""
SEQUEL_FILE = "large_batch_sequel.csv"
"""133 further rows by the same author on large batches, and two that were printed without an error."""
FILES = (SEED_FILE, LONGER_FILE, SEQUEL_FILE)
BASE_WEIGHT_DECAY = 1e-4
MEDIAN_VARIANCE = {1: 1.0, 3: 1 - math.sqrt(3) / math.pi}
"""Number of independent normal runs -> variance of their median divided by the variance of one run (David and
Nagaraja, 'Order Statistics', 2003, section 2.1). Published errors are of one run, or the median of three."""
OUR_PRECISIONS = {"fp32": "fp32", "mixed": "fp16", "fp16": "pure_fp16"}
"""Published name of an arithmetic -> value of the training field `precision`."""


class Configuration(NamedTuple):
    """What was trained."""

    model: str
    batch_size: int
    lr: float
    schedule: str
    epochs: int
    optimizer: str = "sgd"
    ghost_batch_size: int | None = None
    weight_decay: float = BASE_WEIGHT_DECAY
    weight_decay_on_bn: bool = True
    precision: str = "fp32"

    @property
    def variant(self) -> str:
        """How the configuration departs from the recipe of the 16 first tables; empty if not at all."""
        settings = [
            ("optimizer", self.optimizer, "sgd"),
            ("ghost_batch_size", self.ghost_batch_size, None),
            ("weight_decay", self.weight_decay, BASE_WEIGHT_DECAY),
            ("weight_decay_on", "all" if self.weight_decay_on_bn else "no_bn", "all"),
            ("precision", OUR_PRECISIONS[self.precision], "fp32"),
        ]
        return ", ".join(
            setting_words(name, format_value(value)) for name, value, usual in settings if value != usual
        )


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A row of a published table."""

    table: str
    model: str
    """Model in our naming, for example resnet_preact_20."""
    batch_size: int
    """Batch size; for the 110-layer models, whose table does not print it, the 128 of the published configuration."""
    lr: float
    """Learning rate; for the 110-layer models, whose table does not print it, that of the published configuration."""
    schedule: str
    epochs: int
    error_printed: str
    test_error_percent: float
    """Test error at the last epoch."""
    num_runs: int
    """1, or 3 if the median of three runs was printed."""
    paper: str
    """Error in the original paper as printed; empty for most rows."""
    minutes: int
    """Wall time of one whole run, evaluation included."""
    hardware: str
    optimizer: str = "sgd"
    ghost_batch_size: int | None = None
    """Number of images that are normalised together; None for the whole batch."""
    weight_decay: float = BASE_WEIGHT_DECAY
    weight_decay_on_bn: bool = True
    precision: str = "fp32"
    """fp32, mixed (Apex O1), or fp16: weights and optimiser in fp16, too (Apex O3)."""

    @property
    def configuration(self) -> Configuration:
        return Configuration(*(getattr(self, name) for name in Configuration._fields))


@functools.cache
def published_cells(file: str = SEED_FILE) -> tuple[PublishedCell, ...]:
    """Return all rows of one of FILES that have an error, in the order of printing."""
    return tuple(cell for cell in printed_cells(file) if cell.error_printed)


@functools.cache
def printed_cells(file: str) -> tuple[PublishedCell, ...]:
    """Return all rows of one of FILES; the error of a row printed without one is NaN."""
    with (FOLDER / file).open(newline="") as lines:
        return tuple(map(_cell, csv.DictReader(lines)))


def _cell(row: dict[str, str]) -> PublishedCell:
    ghost_batch_size = row.get("ghost_batch_size")
    return PublishedCell(
        table=row["table"],
        model=row["model"],
        batch_size=int(row["batch_size"]),
        lr=float(row["lr"]),
        schedule=row["schedule"],
        epochs=int(row["epochs"]),
        error_printed=row["test_error_percent"],
        test_error_percent=float(row["test_error_percent"] or "nan"),
        num_runs=int(row["num_runs"]),
        paper=row.get("paper", ""),
        minutes=int(row["minutes"] or 0),
        hardware=row["hardware"],
        optimizer=row.get("optimizer", "SGD").lower(),
        ghost_batch_size=int(ghost_batch_size) if ghost_batch_size else None,
        weight_decay=float(row.get("weight_decay", BASE_WEIGHT_DECAY)),
        weight_decay_on_bn=row.get("weight_decay_on_bn", "yes") == "yes",
        precision=row.get("precision", "fp32").lower(),
    )


def all_cells() -> list[PublishedCell]:
    """Return the rows of all files."""
    return [cell for file in FILES for cell in published_cells(file)]


def table_names(*files: str) -> list[str]:
    """Return the names of the tables of these files (by default the 16 first ones) in the order of printing."""
    return list(dict.fromkeys(cell.table for file in files or (SEED_FILE,) for cell in published_cells(file)))


def table_cells(name: str) -> list[PublishedCell]:
    """Return the rows of one published table.

    Raises:
        UserError: no such table.
    """
    cells = [cell for cell in all_cells() if cell.table == name]
    if not cells:
        raise UserError(f"no published table {name!r}: {nearest(name, table_names(*FILES))}")
    return cells
