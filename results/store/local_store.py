"""A store in a folder that all processes see: one machine's disk, or a file system that nodes share."""

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from results.store.driver_record import living_driver, recorded
from results.store.holder import RECORD, Holder
from results.store.journal import Journal, LocalJournal
from results.store.manifest import MANIFEST
from results.store.store import Store, begun_by
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import (
    EPOCHS,
    LOCK,
    SUPERSEDED,
    make_folder,
    read_regular,
    refuse_special,
    remove_scratch,
    sync_folder,
    write_atomically,
)
from trainable.ledger.identity import GONE, make_identity, read_identity
from trainable.ledger.locks import LedgerBusyError, exclusive_lock, is_locked, known_holder, try_file
from trainable.ledger.superseded import drop_checkpoints, supersede
from trainable.records import TrialSummary
from trainable.sweep_name import TRIALS, check_sweep_name

DEFAULT_STORE = "runs"
LOCK_SECONDS, LOCK_POLL_SECONDS = 1.0, 0.02
"""Time for which a sweep's lock is tried again, unless a driver holds it, and time between two tries."""


class LocalStore(Store):
    """A store at `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(path / TRIALS)
        self.path = path

    @property
    def ledgers(self) -> Path:
        return self.trials_folder.absolute()

    @property
    def option(self) -> str:
        is_default = self.path.absolute() == Path(DEFAULT_STORE).absolute()
        return "" if is_default else f" --store {shlex.quote(str(self.path))}"

    def location(self, sweep: str | None = None, file: str = "") -> str:
        return str(self.path if sweep is None else self.sweep_folder(sweep) / file)

    def check_writable(self, sweep: str | None = None) -> None:
        existing = self.path
        while not existing.exists():
            existing = existing.parent
        is_writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        try:
            if is_writable:
                try_file(existing)
        except OSError:  # /sys, for example, where root seems to have the permission
            is_writable = False
        if not is_writable:
            raise UserError(f"cannot write to the store {self.path}: give another with --store")
        try:
            self._refuse_links(sweep)
        except OSError as error:
            raise UserError(f"cannot write to {self.location(sweep)}: {error.strerror}") from None

    def is_missing(self) -> bool:
        return not self.path.exists()

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def sweep_folder(self, name: str) -> Path:
        """
        Raises:
            UserError: the name cannot be that of a sweep.
        """
        check_sweep_name(name)
        return self.path / name

    def sweeps(self, file: str = MANIFEST) -> list[str]:
        return sorted(path.parent.name for path in self.path.glob(f"*/{file}"))

    def read(self, sweep: str, file: str) -> bytes | None:
        try:
            return read_regular(self.sweep_folder(sweep) / file)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, file: str) -> dict[str, bytes]:
        return {path.parent.name: read_regular(path) for path in sorted(self.path.glob(f"*/{file}"))}

    def write(self, sweep: str, file: str, content: bytes) -> None:
        path = self.sweep_folder(sweep) / file
        self._prepare(path)
        write_atomically(path, content)

    def journal(self, sweep: str, file: str) -> Journal:
        return LocalJournal(self.sweep_folder(sweep) / file, self._prepare)

    def _prepare(self, path: Path) -> None:
        """Make the folder of a file that is about to be written.

        Raises:
            UserError: this process has driven a sweep of the store, and the store is no longer there.
            OSError: a folder between the file and the store is a symbolic link, or cannot be made.
        """
        self.check_present()
        if self.store_id is None and not self.path.is_dir():
            make_folder(self.path, parents=True)
        for folder in reversed([folder for folder in path.parents if self.path in folder.parents]):
            refuse_special([folder])
            if not folder.is_dir():
                make_folder(folder)

    def _refuse_links(self, sweep: str | None) -> None:
        """
        Raises:
            OSError: a symbolic link or the like stands for the folder of the trials, that of the sweep, or a file of
                the sweep.
        """
        refuse_special([self.trials_folder])
        if sweep is not None:
            refuse_special([self.sweep_folder(sweep)])
            refuse_special(self.sweep_folder(sweep).rglob("*"))

    def check_present(self) -> None:
        if self.store_id is not None and read_identity(self.path) != self.store_id:
            again = "run the same command again when it is back, or with --store and its new folder"
            raise UserError(f"{GONE} ({self.path}); what was trained is kept: {again}")

    def files(self) -> dict[str, tuple[int, int]]:
        stats = {path: path.stat() for path in self.path.rglob("*") if path.exists() and not path.is_dir()}
        return {
            path.relative_to(self.path).as_posix(): (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()
        }

    def read_path(self, path: str) -> bytes | None:
        try:
            return read_regular(self.path / path)
        except FileNotFoundError:
            return None

    def delete_sweep(self, name: str) -> None:
        folder = self.sweep_folder(name)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in (MANIFEST, LOCK):
                path.unlink()
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)

    def trial_names(self) -> list[str]:
        return sorted(path.name for path in self.trials_folder.glob("*") if path.is_dir())

    def latest_trials(self, limit: int) -> list[Path]:
        files = sorted(self.trials_folder.glob(f"*/{EPOCHS}"), key=_modified_at, reverse=True)
        return [path.parent for path in files[:limit]]

    def trial_with_logs(self, name: str) -> Path:
        return self.trials_folder / name

    def _update_trials(self, keys: Collection[str] | None = None) -> None:
        """Do nothing: `trials_folder` is where the trials are."""

    def at_work(self, name: str, trials: Mapping[str, TrialSummary]) -> set[str]:
        drivers = [living_driver(path.parent, read_only=self.read_only) for path in self.path.glob(f"*/{RECORD}")]
        return begun_by({driver.run_id for driver in drivers if driver is not None}, trials)

    def holding(self, file: str, keys: Collection[str]) -> set[str]:
        return {key for key in keys if (self.trial_folder(key) / file).is_file()}

    def drop_files(self, file: str, keys: Collection[str]) -> None:
        for key in keys:
            if not self.trial_folder(key).is_symlink():
                (self.trial_folder(key) / file).unlink(missing_ok=True)

    def drop_checkpoints(self, keys: Collection[str]) -> None:
        for key in keys:
            drop_checkpoints(self.trial_folder(key))

    def delete_trials(self, keys: Collection[str]) -> None:
        for name in self.trial_names():
            if name.partition(SUPERSEDED)[0] in keys:
                _delete_trial(self.trials_folder / name)
        sync_folder(self.trials_folder)  # before the sweep is deleted, which is all that still names them

    def _busy(self, keys: Collection[str]) -> list[str]:
        return [key for key in keys if is_locked(self.trial_folder(key) / LOCK)]

    def _supersede(self, trainings: Sequence[tuple[TrainConfig, int]]) -> int:
        return sum(supersede(self.trial_folder(config.trial_key), number) for config, number in trainings)

    def driver(self, name: str) -> Holder | None:
        return living_driver(self.sweep_folder(name), read_only=self.read_only)

    def check_no_driver(self, name: str) -> None:
        if is_locked(self.sweep_folder(name) / LOCK):  # a driver in another container may just have died
            super().check_no_driver(name)

    @contextlib.contextmanager
    def _only_driver(self, name: str, run_id: str) -> Iterator[None]:
        folder = self.sweep_folder(name)
        self._refuse_links(name)
        make_folder(self.path, parents=True)
        self.store_id = make_identity(self.path)
        make_folder(self.trials_folder)
        with self._locked(name), recorded(folder, run_id):
            remove_scratch(folder)
            yield

    def _locked(self, name: str) -> contextlib.ExitStack:
        """Take the lock of a sweep. Whoever holds it for a moment, or is about to let go of it, is waited for.

        Raises:
            LedgerBusyError: another driver holds it.
            UserError: another process holds it that has no record of driving the sweep.
        """
        folder = self.sweep_folder(name)
        deadline = time.monotonic() + LOCK_SECONDS
        with contextlib.ExitStack() as stack:
            while True:
                make_folder(folder)
                try:
                    stack.enter_context(exclusive_lock(folder / LOCK))
                    return stack.pop_all()
                except LedgerBusyError:
                    if living_driver(folder) is not None:
                        raise
                if time.monotonic() > deadline:
                    pid = known_holder(folder / LOCK)
                    who = "another process" if pid is None else f"another process ({pid})"
                    raise UserError(
                        f"{who} holds {folder / LOCK}, but no driver is known to run the sweep {name!r}: "
                        "wait for it, end it, or give this run another --name"
                    )
                time.sleep(LOCK_POLL_SECONDS)

    def check_driver(self, name: str, *, ask: bool = False) -> None:
        """Do nothing: a lock of the kernel is not lost."""


def _delete_trial(folder: Path) -> None:
    """Delete the folder of a training; of a symbolic link, only the link."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted since it was listed
        return 0.0
