"""Refresh docs/results-schema.md: its tables are made from the docstrings of the records."""

import re

import pyarrow as pa

from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA, meaning
from trainable.records import Purpose, Status
from trainable.reference_pages import field_docstrings, markdown_table, refreshed

UNITS = {
    "_percent": "%",
    "_percent_last5": "%",
    "images_per_second": "images/s",
    "_seconds": "s",
    "_bytes": "bytes",
    "_loss": "nats",
    "_time": "UTC",
}
"""End of a column's name -> its unit. Columns with other names have none."""


def refresh(page: str) -> str:
    """Return the page with its tables as the records' docstrings give them now."""
    statuses = [(f"`{name}`", meaning) for name, meaning in field_docstrings(Status).items()]
    purposes = [(f"`{Purpose[name]}`", meaning) for name, meaning in field_docstrings(Purpose).items()]
    made = {
        "status": markdown_table(["status", "meaning"], statuses),
        "purpose": markdown_table(["purpose", "meaning"], purposes),
        "trials": _columns(TRIALS_SCHEMA),
        "epochs": _columns(EPOCHS_SCHEMA),
    }
    return refreshed(page, made)


def _columns(schema: pa.Schema) -> str:
    rows = []
    for field in schema:
        sentences = re.split(r"(?<=\.) (?=[A-Z`])", meaning(field))
        null = [sentence for sentence in sentences if sentence.startswith("None ")]
        rest = " ".join(sentence for sentence in sentences if sentence not in null)
        rows.append([f"`{field.name}`", _type_name(field.type), _unit(field.name), rest, _null(" ".join(null))])
    return markdown_table(["column", "type", "unit", "meaning", "null"], rows)


def _null(text: str) -> str:
    """Return when a column is null: `if the trial diverged`; empty if it never is."""
    return text.removeprefix("None ").rstrip(".").replace("None", "null")


def _type_name(kind: pa.DataType) -> str:
    """Return the name of a type without the names of its items: `list of double`."""
    if pa.types.is_list(kind):
        return f"list of {kind.value_type}"
    return "timestamp" if pa.types.is_timestamp(kind) else str(kind)


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
