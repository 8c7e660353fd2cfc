"""Published cells as typed rows, read from the CSV files beside this module."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from trainable.errors import UserError
from trainable.wording import nearest

PUBLISHED = "published"
"""Stands for all published rows where the name of a sweep could stand."""
FOLDER = Path(__file__).resolve().parent
SEED_FILE = "seed_tables.csv"
"""The 91 rows of the 16 tables, in the order in which they were printed."""
LONGER_FILE = "linear_scaling_longer.csv"
"""20 further rows of the same author: the linear rule at 400 and 800 epochs."""


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """One printed row of a published table."""

    table: str
    model: str
    """Our name, for example resnet_preact_20."""
    batch_size: int
    """128 for the 110-layer models, where the table does not print it: the published configuration's."""
    lr_printed: str
    """Exactly as printed; empty for the 110-layer models (0.1 in the published configuration)."""
    lr: float
    schedule: str
    epochs: int
    error_printed: str
    test_error_percent: float
    """At the last epoch."""
    num_runs: int
    """1, or 3 where the median of three runs was printed."""
    paper: str
    """The original paper's figure as printed; empty for most."""
    time_printed: str
    minutes: int
    """Wall time of a whole run, evaluation included."""
    hardware: str
    source: str

    @property
    def configuration(self) -> tuple[str, int, float, str, int]:
        """What was trained: (model, batch_size, lr, schedule, epochs)."""
        return (self.model, self.batch_size, self.lr, self.schedule, self.epochs)


@functools.cache
def published_cells(file: str = SEED_FILE) -> tuple[PublishedCell, ...]:
    """All cells of one of the two files, in the order in which they were printed."""
    with (FOLDER / file).open(newline="") as lines:
        return tuple(
            PublishedCell(
                table=row["table"],
                model=row["model"],
                batch_size=int(row["batch_size"]),
                lr_printed=row["lr_printed"],
                lr=float(row["lr"]),
                schedule=row["schedule"],
                epochs=int(row["epochs"]),
                error_printed=row["test_error_percent"],
                test_error_percent=float(row["test_error_percent"]),
                num_runs=int(row["num_runs"]),
                paper=row["paper"],
                time_printed=row["time_printed"],
                minutes=int(row["minutes"]),
                hardware=row["hardware"],
                source=row["source"],
            )
            for row in csv.DictReader(lines)
        )


def table_names(file: str = SEED_FILE) -> list[str]:
    """In the order of the document."""
    return list(dict.fromkeys(cell.table for cell in published_cells(file)))


def table_cells(name: str) -> list[PublishedCell]:
    """The cells of one published table.

    Raises:
        UserError: no such table; names the nearest one.
    """
    cells = [cell for file in (SEED_FILE, LONGER_FILE) for cell in published_cells(file) if cell.table == name]
    if not cells:
        names = table_names() + table_names(LONGER_FILE)
        raise UserError(f"no published table {name!r}: {nearest(name, names)}")
    return cells
