"""The two Parquet tables, derived from the records, so that a column is named in one place only."""

import dataclasses
import types
import typing
from datetime import datetime
from typing import Any

import pyarrow as pa

from trainable.config import TrainConfig
from trainable.records import EpochRecord, TrialKey, TrialRow
from trainable.reference_pages import field_docstrings

DESCRIPTION = "description"
"""Key in the metadata of a field: the meaning of the column, from the docstring of the record's field."""
METADATA_PREFIX = "batchscape."
SEARCH_METADATA = METADATA_PREFIX + "search"
"""Key of the settings of a search, as JSON; only in the files of a search."""

_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us", tz="UTC"),
    tuple[float, ...]: pa.list_(pa.float64()),
    tuple[float | None, ...]: pa.list_(pa.float64()),
}


def _fields(record: type) -> list[pa.Field]:
    hints, meanings = typing.get_type_hints(record), field_docstrings(record)
    fields = []
    for spec in dataclasses.fields(record):
        hint = hints[spec.name]
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        parts = typing.get_args(hint) if is_union else (hint,)
        kind = next(part for part in parts if part is not type(None))
        description = {DESCRIPTION: meanings[spec.name]}
        fields.append(pa.field(spec.name, _TYPES[kind], nullable=type(None) in parts, metadata=description))
    return fields


def _trials_schema() -> pa.Schema:
    """Return the columns that identify a training, then those of the configuration, then those of the results."""
    row = _fields(TrialRow)
    key = [spec.name for spec in dataclasses.fields(TrialKey)]
    first = [field for field in row if field.name in key]
    return pa.schema(first + _fields(TrainConfig) + [field for field in row if field.name not in key])


TRIALS_SCHEMA = _trials_schema()
EPOCHS_SCHEMA = pa.schema(_fields(TrialKey) + _fields(EpochRecord))


def meaning(field: pa.Field) -> str:
    """Return what a column of these schemas means."""
    return str(field.metadata[DESCRIPTION.encode()].decode())
