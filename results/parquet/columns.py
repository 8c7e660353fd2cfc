"""What each column means, read from the docstrings of the records' fields, so that it is written once."""

import functools

import pyarrow as pa

from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA
from trainable.config import TrainConfig
from trainable.records import EpochRecord, TrialKey, TrialRow
from trainable.reference_pages import field_docstrings

DESCRIPTION = "description"
"""Key in the metadata of a field of the Parquet files."""


@functools.cache
def trials_columns() -> dict[str, str]:
    """Return the meaning of each column of `trials`, in the order of the table."""
    described = field_docstrings(TrainConfig) | field_docstrings(TrialRow)
    return {name: described[name] for name in TRIALS_SCHEMA.names}


@functools.cache
def epochs_columns() -> dict[str, str]:
    """Return the meaning of each column of `epochs`, in the order of the table."""
    described = field_docstrings(TrialKey) | field_docstrings(EpochRecord)
    return {name: described[name] for name in EPOCHS_SCHEMA.names}


def with_descriptions(table: pa.Table, meanings: dict[str, str]) -> pa.Table:
    """Return the table with the meaning of each column in the metadata of its field."""
    fields = [field.with_metadata({DESCRIPTION: meanings[field.name]}) for field in table.schema]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, table.schema.metadata))
