"""What each column means, read from the docstrings of the records' fields, so that it is written once."""

import functools

from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA
from trainable.config import TrainConfig
from trainable.docstrings import field_docstrings
from trainable.records import EpochRecord, TrialKey, TrialRow


@functools.cache
def trials_columns() -> dict[str, str]:
    """Column of `trials` -> what it means, in the table's order."""
    described = field_docstrings(TrainConfig) | field_docstrings(TrialRow)
    return {name: described[name] for name in TRIALS_SCHEMA.names}


@functools.cache
def epochs_columns() -> dict[str, str]:
    """Column of `epochs` -> what it means, in the table's order."""
    described = field_docstrings(TrialKey) | field_docstrings(EpochRecord)
    return {name: described[name] for name in EPOCHS_SCHEMA.names}
