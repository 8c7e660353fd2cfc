"""The order of a table's rows by one of its columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trainable.errors import UserError
from trainable.field_checks import SYNONYMS
from trainable.wording import nearest

Row = TypeVar("Row")
DESCENDING = ":desc"
COLUMN_WORDS = {
    **SYNONYMS,
    "batch size": "batch_size",
    "initial lr": "lr",
    "lr schedule": "schedule",
    "# of epochs": "epochs",
    "error": "test_error_percent",
    "test error": "test_error_percent",
    "mean": "mean_test_error_percent",
    "std": "std_test_error_percent",
    "n": "num_runs",
    "time": "total_seconds",
    "training time": "total_seconds",
    "trial": "trial_key",
    "key": "trial_key",
    "epochs done": "epochs_done",
}
"""Other words for a column -> its name in CSV and JSON."""


def sort_rows(rows: Sequence[Row], flat: Sequence[Mapping[str, object]], sort: str) -> list[Row]:
    """Sort rows by a column, rows without a value last.

    Args:
        rows: the rows.
        flat: the values of each row by the names of the columns.
        sort: the name of a column, smallest value first, or `NAME:desc`, largest first.

    Raises:
        UserError: there is no such column.
    """
    name = sort.removesuffix(DESCENDING)
    if flat and name not in flat[0]:
        if ":" in name:
            raise UserError(f"table --sort {sort}: write FIELD, or FIELD{DESCENDING} for the largest first")
        words = {word: column for word, column in COLUMN_WORDS.items() if column in flat[0]}
        raise UserError(f"table --sort {name}: no such column: {nearest(name, flat[0], words)}")
    values = [values[name] for values in flat]
    known = [index for index, value in enumerate(values) if value not in (None, "")]
    missing = [index for index, value in enumerate(values) if value in (None, "")]
    known.sort(key=lambda index: _rank(values[index]), reverse=sort.endswith(DESCENDING))
    return [rows[index] for index in [*known, *missing]]


def _rank(value: Any) -> tuple[bool, Sequence[Any]]:  # noqa: ANN401 (whatever a column holds)
    """Return a key that sorts numbers by size and before words, and numbers inside words by size, too."""
    if isinstance(value, str):
        return True, [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", value)]
    return False, value if isinstance(value, tuple) else (value,)
