"""Write and read the Parquet files of a sweep. A reader sees the old file or the new, never a part."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from results.parquet.checks import check_table
from results.parquet.checksum import check_content, with_checksum
from results.parquet.data_card import data_card
from results.parquet.schema import EPOCHS_SCHEMA, METADATA_PREFIX, TRIALS_SCHEMA
from results.parquet.stamp import stamped
from results.store.store import Store
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from trainable.errors import UserError
from trainable.ledger.files import write_atomically
from trainable.ledger.remote import Remote, RemoteError, is_uri
from trainable.wording import command

CARD = "README.md"
SCHEMAS = {TRIALS_PARQUET: TRIALS_SCHEMA, EPOCHS_PARQUET: EPOCHS_SCHEMA}


def write_tables(trials: pa.Table, epochs: pa.Table, store: Store, sweep: str) -> None:
    """Write both tables into the store, each atomically.

    Raises:
        OSError: the store cannot be written.
        RemoteError: a remote store does not answer, or refuses.
    """
    for name, content in _parquet_files(trials, epochs):
        store.write(sweep, name, content)


def export_into_store(trials: pa.Table, epochs: pa.Table, store: Store, sweep: str) -> str:
    """Write both tables and their data card into the store, and return their location.

    Raises:
        UserError: the store cannot be written.
    """
    location = store.location(sweep)
    try:
        write_tables(trials, epochs, store, sweep)
        store.write(sweep, CARD, stamped_card(trials, epochs).encode())
    except OSError as error:
        raise UserError(f"cannot write to {location}: {error.strerror or error}") from None
    return location


def export_tables(trials: pa.Table, epochs: pa.Table, target: str) -> str:
    """Write both tables and their data card elsewhere, and return their location.

    `target` is a folder, or any URI that pyarrow can write (s3://, gs://, ...).

    Raises:
        UserError: the target cannot be written.
    """
    try:
        if not is_uri(target):
            folder = Path(target).expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in _exported(trials, epochs):
                write_atomically(folder / name, content)
            return str(folder)
        remote = Remote(target, patience_seconds=0.0)
        remote.check()
        for name, content in _exported(trials, epochs):
            remote.write(name, content)
    except RemoteError as error:
        raise UserError(f"cannot write to {target}: {error.reason}") from None
    except OSError as error:
        raise UserError(f"cannot write to {target}: {error.strerror or error}") from None
    return target


def _exported(trials: pa.Table, epochs: pa.Table) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each exported file."""
    yield from _parquet_files(trials, epochs)
    yield CARD, stamped_card(trials, epochs).encode()


def stamped_card(trials: pa.Table, epochs: pa.Table) -> str:
    """Return the content of the data card's file."""
    return stamped(data_card(trials, epochs) + "\n", trials, epochs)


def _parquet_files(trials: pa.Table, epochs: pa.Table) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of both Parquet files; whoever finds a trial finds its epochs."""
    for name, table in ((EPOCHS_PARQUET, epochs), (TRIALS_PARQUET, trials)):
        stream = pa.BufferOutputStream()
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        # texts have few distinct values
        pq.write_table(table, stream, use_dictionary=texts, write_page_checksum=True)
        yield name, with_checksum(stream.getvalue().to_pybytes())


def read_trials(store: Store, sweep: str) -> pa.Table:
    """Return the `trials` table of a sweep.

    Raises:
        UserError: there is no such sweep, or no Parquet file that can be read.
    """
    return _read(store, sweep, TRIALS_PARQUET)


def read_epochs(store: Store, sweep: str) -> pa.Table:
    """Return the `epochs` table of a sweep. Errors are those of `read_trials`."""
    return _read(store, sweep, EPOCHS_PARQUET)


def parquet_table(content: bytes) -> pa.Table:
    """Return the table in the content of a Parquet file.

    Raises:
        OSError, ValueError, pa.ArrowException: it is damaged.
    """
    check_content(content)
    # `read_table` imports pandas
    return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()


def _read(store: Store, sweep: str, file: str) -> pa.Table:
    location = store.location(sweep, file)
    export = f"`{command('export', sweep)}{store.option}` writes it again"
    try:
        content = store.read(sweep, file)
    except OSError:
        raise UserError(f"{location} is damaged: {export}") from None
    if content is None:
        keys = store.manifest(sweep).keys  # raises an error of its own if there is no such sweep
        if not any(summary.end for summary in store.summaries(keys).values()):
            status = f"`{command('status', sweep)}{store.option}` shows how far it is"
            raise UserError(f"{sweep}: no trial has ended yet: {status}")
    return checked_table(content, file, location, export, sweep)


def checked_table(content: bytes | None, file: str, location: str, remedy: str, sweep: str | None = None) -> pa.Table:
    """Return the table in one of both files, with the columns of this version.

    Args:
        content: the file's content; None if there is no file.
        file: which of the two it is.
        location: where it lies, for messages.
        remedy: words on how to get a better one.
        sweep: the sweep whose table it must be, if any.

    Raises:
        UserError: it is missing, damaged or of another sweep.
    """
    if content is None:
        raise UserError(f"{location} is missing: {remedy}")
    try:
        table = parquet_table(content)
        owner = (table.schema.metadata or {}).get(f"{METADATA_PREFIX}sweep".encode(), b"").decode()
        if sweep and owner and owner != sweep:
            raise UserError(f"{location} is of the sweep {owner!r}: {remedy}")
        table.validate(full=True)
        missing = [field for field in SCHEMAS[file] if field.name not in table.column_names]
        if not all(field.nullable for field in missing):
            raise UserError(f"{location} lacks columns of this version: {remedy}")
        for field in missing:  # written by an earlier version
            table = table.append_column(field, pa.nulls(len(table), field.type))
        check_table(table, SCHEMAS[file])
    except (OSError, pa.ArrowException, ValueError, KeyError):  # even the name of a column may be no UTF-8
        raise UserError(f"{location} is damaged: {remedy}") from None
    return table
