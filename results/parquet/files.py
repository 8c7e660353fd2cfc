"""The Parquet files of a sweep: written whole, so that a reader sees the old or the new, and read back."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from results.parquet.data_card import data_card
from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA
from results.store.store import EPOCHS_PARQUET, TRIALS_PARQUET, Store
from trainable.errors import UserError
from trainable.ledger.files import write_atomically
from trainable.ledger.remote import Remote, RemoteError, is_uri
from trainable.wording import command

CARD = "README.md"
EXPORTED = (TRIALS_PARQUET, EPOCHS_PARQUET, CARD)
COLUMNS = {TRIALS_PARQUET: TRIALS_SCHEMA.names, EPOCHS_PARQUET: EPOCHS_SCHEMA.names}


def write_tables(trials: pa.Table, epochs: pa.Table, folder: Path) -> None:
    """Write both tables into an existing local folder, each atomically."""
    for table, name in ((epochs, EPOCHS_PARQUET), (trials, TRIALS_PARQUET)):
        scratch = folder / f".{name}.{os.getpid()}"
        pq.write_table(table, scratch, use_dictionary=_texts(table))
        scratch.replace(folder / name)


def export_tables(trials: pa.Table, epochs: pa.Table, target: str) -> str:
    """Write both tables and their data card to a folder, or to any URI that pyarrow can write (s3://, gs://, ...).

    Returns:
        Where they lie.

    Raises:
        UserError: the target cannot be written.
    """
    try:
        if not is_uri(target):
            folder = Path(target).expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            write_tables(trials, epochs, folder)
            write_atomically(folder / CARD, data_card(trials, epochs).encode())
            return str(folder)
        remote = Remote(target, patience_seconds=0.0)
        remote.check()
        for table, name in ((epochs, EPOCHS_PARQUET), (trials, TRIALS_PARQUET)):
            remote.write(name, _parquet(table))
        remote.write(CARD, data_card(trials, epochs).encode())
    except RemoteError as error:
        raise UserError(f"cannot write to {target}: {error.reason}") from None
    except OSError as error:
        raise UserError(f"cannot write to {target}: {error.strerror or error}") from None
    return target


def _parquet(table: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream, use_dictionary=_texts(table))
    content: bytes = stream.getvalue().to_pybytes()
    return content


def _texts(table: pa.Table) -> list[str]:
    """The columns with few distinct values; a dictionary of measured figures costs time and space for nothing."""
    return [field.name for field in table.schema if pa.types.is_string(field.type)]


def read_trials(store: Store, sweep: str) -> pa.Table:
    """The `trials` table of a sweep.

    Raises:
        UserError: no such sweep, or no (readable) Parquet file.
    """
    return _read(store, sweep, TRIALS_PARQUET)


def read_epochs(store: Store, sweep: str) -> pa.Table:
    """The `epochs` table of a sweep.

    Raises:
        UserError: no such sweep, or no (readable) Parquet file.
    """
    return _read(store, sweep, EPOCHS_PARQUET)


def _read(store: Store, sweep: str, file: str) -> pa.Table:
    path = store.sweep_folder(sweep) / file
    store.refresh(path)
    if not path.exists():
        store.manifest(sweep)  # says so where there is no such sweep
        raise UserError(f"{store.shown(path)} is missing: `{command('export', sweep)}{store.option}` writes it again")
    try:
        table = pq.ParquetFile(path).read()  # `read_table` imports pandas
    except (OSError, pa.ArrowInvalid):
        raise UserError(
            f"{store.shown(path)} is damaged: `{command('export', sweep)}{store.option}` writes it again"
        ) from None
    if not {*COLUMNS[file]} <= {*table.column_names}:
        raise UserError(
            f"{store.shown(path)} lacks columns of this version: "
            f"`{command('export', sweep)}{store.option}` writes it again"
        )
    return table
