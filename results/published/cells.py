"""Published results as typed rows, read from the CSV files in this folder."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainable.errors import UserError
from trainable.wording import nearest

PUBLISHED = "published"
"""Name of all published rows, used in place of the name of a sweep."""
FOLDER = Path(__file__).resolve().parent
SEED_FILE = "seed_tables.csv"
"""The 91 rows of the 16 published tables, in the order of printing."""
LONGER_FILE = "linear_scaling_longer.csv"
"""20 further rows by the same author: the linear rule with 400 and 800 epochs."""


class Configuration(NamedTuple):
    """What was trained."""

    model: str
    batch_size: int
    lr: float
    schedule: str
    epochs: int


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

    @property
    def configuration(self) -> Configuration:
        return Configuration(self.model, self.batch_size, self.lr, self.schedule, self.epochs)


@functools.cache
def published_cells(file: str = SEED_FILE) -> tuple[PublishedCell, ...]:
    """Return all rows of one of the two files, in the order of printing."""
    with (FOLDER / file).open(newline="") as lines:
        return tuple(
            PublishedCell(
                table=row["table"],
                model=row["model"],
                batch_size=int(row["batch_size"]),
                lr=float(row["lr"]),
                schedule=row["schedule"],
                epochs=int(row["epochs"]),
                error_printed=row["test_error_percent"],
                test_error_percent=float(row["test_error_percent"]),
                num_runs=int(row["num_runs"]),
                paper=row["paper"],
                minutes=int(row["minutes"]),
                hardware=row["hardware"],
            )
            for row in csv.DictReader(lines)
        )


def table_names(file: str = SEED_FILE) -> list[str]:
    """Return the names of the tables in the order of printing."""
    return list(dict.fromkeys(cell.table for cell in published_cells(file)))


def table_cells(name: str) -> list[PublishedCell]:
    """Return the rows of one published table.

    Raises:
        UserError: no such table.
    """
    cells = [cell for file in (SEED_FILE, LONGER_FILE) for cell in published_cells(file) if cell.table == name]
    if not cells:
        names = table_names() + table_names(LONGER_FILE)
        raise UserError(f"no published table {name!r}: {nearest(name, names)}")
    return cells
