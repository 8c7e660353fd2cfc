"""Check that a table read from a Parquet file holds what the records promise."""

import typing

import pyarrow as pa
import pyarrow.compute as pc

from results.parquet.schema import METADATA_PREFIX, TRIALS_SCHEMA
from results.parquet.search_results import read_search
from results.parquet.trials import trials_from_table
from trainable.decoding import range_of
from trainable.errors import UserError
from trainable.ledger.checksums import parse_json
from trainable.records import EpochRecord, Purpose, Status, TrialRow

JSON_METADATA = ("overrides", "extends", "versions")
JSON_COLUMNS = ("variables", "versions", "attempts_differ")


def check_table(table: pa.Table, schema: pa.Schema) -> None:
    """Check types, ranges and texts, so that nothing that reads the table fails later.

    Raises:
        ValueError: the table is damaged.
    """
    record = TrialRow if schema is TRIALS_SCHEMA else EpochRecord
    hints = typing.get_type_hints(record, include_extras=True)
    for field in schema:
        column = table[field.name]
        if column.type != field.type or (column.null_count and not field.nullable):
            raise ValueError(f"column {field.name} is damaged")
        _check_range(column, hints.get(field.name))
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    for name in JSON_METADATA:
        parse_json(metadata.get(METADATA_PREFIX + name, "{}"))
    if schema is TRIALS_SCHEMA:
        _check_trials(table)


def _check_range(column: pa.ChunkedArray, hint: object) -> None:
    """Check that all numbers of a column lie in the range of its annotation, if it has one, and are finite."""
    rule = range_of(hint)
    if rule is None or column.null_count == len(column):
        return
    ends = pc.min_max(column).as_py()
    if not rule.least <= ends["min"] <= ends["max"] <= rule.most or not pc.all(pc.is_finite(column)).as_py():
        raise ValueError("a number is out of range")


def _check_trials(table: pa.Table) -> None:
    try:
        for trial in trials_from_table(table, with_superseded=True):
            Status(trial.row.status), Purpose(trial.row.purpose)
            for name in JSON_COLUMNS:
                if not isinstance(parse_json(getattr(trial.row, name) or "{}"), dict):
                    raise ValueError(f"{name} is no object")
        read_search(table)
    except (UserError, OverflowError) as error:
        raise ValueError(str(error)) from None
