"""A store in a folder that all processes see: one machine's disk, or a file system that nodes share."""

import contextlib
import os
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from results.store.journal import Journal, LocalJournal
from results.store.manifest import MANIFEST
from results.store.store import Store
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import EPOCHS, FINAL_STATE, LOCK, SUPERSEDED, remove_scratch, write_atomically
from trainable.ledger.locks import exclusive_lock, is_locked
from trainable.ledger.superseded import supersede
from trainable.records import TrialSummary
from trainable.sweep_name import TRIALS, check_sweep_name

DEFAULT_STORE = "runs"


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

    def check_writable(self) -> None:
        existing = self.path
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(f"cannot write to the store {self.path}: give another with --store")

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
            return (self.sweep_folder(sweep) / file).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, file: str) -> dict[str, bytes]:
        return {path.parent.name: path.read_bytes() for path in sorted(self.path.glob(f"*/{file}"))}

    def write(self, sweep: str, file: str, content: bytes) -> None:
        path = self.sweep_folder(sweep) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)

    def journal(self, sweep: str, file: str) -> Journal:
        return LocalJournal(self.sweep_folder(sweep) / file)

    def files(self) -> dict[str, tuple[int, int]]:
        stats = {path: path.stat() for path in self.path.rglob("*") if path.is_file()}
        return {
            path.relative_to(self.path).as_posix(): (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()
        }

    def delete_sweep(self, name: str) -> None:
        folder = self.sweep_folder(name)
        for path in folder.iterdir():
            if path.is_dir():
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
        return set(self._busy(trials))

    def drop_final_states(self, keys: Collection[str]) -> None:
        for key in keys:
            (self.trial_folder(key) / FINAL_STATE).unlink(missing_ok=True)

    def delete_trials(self, keys: Collection[str]) -> None:
        for name in self.trial_names():
            if name.partition(SUPERSEDED)[0] in keys:
                shutil.rmtree(self.trials_folder / name)

    def _busy(self, keys: Collection[str]) -> list[str]:
        return [key for key in keys if is_locked(self.trial_folder(key) / LOCK)]

    def _supersede(self, trainings: Sequence[tuple[TrainConfig, int]]) -> int:
        return sum(supersede(self.trial_folder(config.trial_key), number) for config, number in trainings)

    def is_running(self, name: str) -> bool:
        return is_locked(self.sweep_folder(name) / LOCK)

    @contextlib.contextmanager
    def _only_driver(self, name: str, run_id: str) -> Iterator[None]:
        folder = self.sweep_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder / LOCK):
            remove_scratch(folder)
            yield


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted since it was listed
        return 0.0
