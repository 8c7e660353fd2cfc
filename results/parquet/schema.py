"""The two Parquet tables, derived from the records, so that a column is named in one place only."""

import dataclasses
import types
import typing
from datetime import datetime
from typing import Any

import pyarrow as pa

from trainable.config import TrainConfig
from trainable.records import EpochRecord, TrialKey, TrialRow

METADATA_PREFIX = "batchscape."
SEARCH_METADATA = METADATA_PREFIX + "search"
"""Only of a search: its settings, JSON, as its log begins with them."""

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
    hints = typing.get_type_hints(record)
    fields = []
    for spec in dataclasses.fields(record):
        hint = hints[spec.name]
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kind = next(part for part in parts if part is not type(None))
        fields.append(pa.field(spec.name, _TYPES[kind], nullable=type(None) in parts))
    return fields


def _trials_schema() -> pa.Schema:
    """sweep and trial_key, then the configuration, then what came of it."""
    row = _fields(TrialRow)
    key = [spec.name for spec in dataclasses.fields(TrialKey)]
    first = [field for field in row if field.name in key]
    return pa.schema(first + _fields(TrainConfig) + [field for field in row if field.name not in key])


TRIALS_SCHEMA = _trials_schema()
EPOCHS_SCHEMA = pa.schema(_fields(TrialKey) + _fields(EpochRecord))
