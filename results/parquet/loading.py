"""The two tables of a sweep as its store is now, or those that were exported into a folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from results.parquet.collect import Collector
from results.parquet.files import checked_table, read_epochs, read_trials
from results.store.local_store import DEFAULT_STORE, LocalStore
from results.store.manifest import MANIFEST, Manifest
from results.store.opening import open_store
from results.store.search_progress import planned_trials, search_record
from results.store.store import Store
from results.store.sweep_files import EPOCHS_PARQUET, TRIALS_PARQUET
from trainable.errors import UserError
from trainable.ledger.files import read_regular
from trainable.ledger.reading import trial_status
from trainable.wording import MAX_LISTED, command, listed, nearest

Tables = tuple[pa.Table, pa.Table]


def split(sweep: str | os.PathLike[str], store: str | os.PathLike[str] | None) -> tuple[str, str]:
    """Return a store and the name of a sweep in it, from a sweep's folder, or from its name and perhaps the store."""
    text = expanded(sweep)
    if store is not None:
        return expanded(store), text
    if "://" in text:
        location, _, name = text.rstrip("/").rpartition("/")
        return location, name
    path = Path(text)
    if path.name == text and (not path.is_dir() or Path(DEFAULT_STORE, text).is_dir()):
        return DEFAULT_STORE, text
    path = path if path.name not in ("", "..") else path.resolve()
    return str(path.parent), path.name


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path, in which ~ is the home folder as in a shell, or a URI."""
    text = os.fspath(path)
    return text if "://" in text else str(Path(text).expanduser())


def load_tables(location: str, name: str) -> Tables:
    """Return `trials` and `epochs`.

    Args:
        location: a folder or a URI that holds sweeps.
        name: name of a sweep, or of a folder with exported files.

    Raises:
        UserError: there is no such sweep, or its files are damaged.
    """
    folder = Path(location) / name
    if "://" not in location and (folder / TRIALS_PARQUET).is_file() and not (folder / MANIFEST).exists():
        return _exported(lambda file: read_regular(folder / file) if (folder / file).exists() else None, str(folder))
    store = open_store(location)
    manifest = store.find_manifest(name)
    if manifest is not None:
        return _current(store, manifest)
    if store.read(name, TRIALS_PARQUET) is not None:
        return _exported(lambda file: store.read(name, file), store.location(name))
    if "://" not in location and (inner := _sweeps(LocalStore(folder))):
        raise UserError(f"{folder} is a store, not a sweep: load one of its sweeps, {listed(inner, MAX_LISTED)}")
    sweeps = _sweeps(store)
    start = f"it holds none yet: start with `{command('run', 'quickstart')}{store.option}`"
    raise UserError(f"no sweep {name!r} in {store.location()}: {nearest(name, sweeps) if sweeps else start}")


def _sweeps(store: Store) -> list[str]:
    return sorted({*store.sweeps(), *store.sweeps(TRIALS_PARQUET)})


def _current(store: Store, manifest: Manifest) -> Tables:
    """Return what the Parquet files hold if the ledgers say the same, otherwise what the ledgers hold."""
    try:
        tables = read_trials(store, manifest.name), read_epochs(store, manifest.name)
    except UserError:  # none yet, or damaged
        return Collector(store, manifest).tables()
    planned = planned_trials(manifest, search_record(store, manifest))
    summaries = store.summaries([trial.config.trial_key for trial in planned])
    begun = {key: trial for key, trial in summaries.items() if trial.attempts or trial.epochs_done or trial.end}
    rows = tables[0].select(["trial_key", "epochs_done", "status", "superseded"]).to_pylist()
    exported = {row["trial_key"]: (row["epochs_done"], row["status"]) for row in rows if not row["superseded"]}
    held = {key: (trial.epochs_done, trial_status(trial).value) for key, trial in begun.items()}
    return tables if exported == held else Collector(store, manifest).tables()


def _exported(read: Callable[[str], bytes | None], location: str) -> Tables:
    """Return the tables in a folder without a manifest, whatever its name.

    Raises:
        UserError: a file is missing or damaged.
    """
    trials, epochs = (
        checked_table(read(file), file, f"{location}/{file}", "export the sweep again")
        for file in (TRIALS_PARQUET, EPOCHS_PARQUET)
    )
    return trials, epochs
