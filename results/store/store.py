"""The store: a folder that holds trials by their key, and sweeps that name some of them.

    STORE/trials/<key>/        a trial's ledger, shared by all sweeps (see trainable.ledger.files)
    STORE/trials/<key>.superseded-<n>/   its earlier trainings, kept by `run --again`
    STORE/<sweep>/sweep.json   which trials the sweep consists of, and the space that they came from
                   trials.parquet, epochs.parquet, figures/
                   search.jsonl  of a search: what it proposed, stopped and chose (results.store.search_log)
                   runs.jsonl  what each run of the driver was expected to take, and what it took (sweep.runs)
                   metrics.prom  counters for Prometheus, kept by the driver (sweep.observers.prometheus)
                   lock        held by the driver that runs the sweep

Nothing inside holds an absolute path: a store can be moved or copied.
"""

import contextlib
import json
import os
import shlex
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.store.search_log import SEARCH_LOG
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError, located
from trainable.ledger.files import EPOCHS, FINAL_STATE, LOCK, SUPERSEDED, remove_scratch, write_atomically
from trainable.ledger.locks import LedgerBusyError, exclusive_lock, is_locked
from trainable.ledger.superseded import supersede, superseded_trials
from trainable.records import SCHEMA_VERSION, TrialSummary
from trainable.sweep_name import TRIALS, check_sweep_name
from trainable.wording import command, nearest

if TYPE_CHECKING:
    from trainable.ledger.remote_ledger import RemoteFolder

MANIFEST = "sweep.json"
TRIALS_PARQUET = "trials.parquet"
EPOCHS_PARQUET = "epochs.parquet"
FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a sweep is to hold."""

    name: str
    trials: list[PlannedTrial]
    space: str
    """The YAML text of the space."""
    overrides: dict[str, Any]
    """What --set put over it."""
    code: str
    created: str
    """UTC, ISO 8601."""
    scale: str | None = None
    """The space's scale that was asked for; None is its full size."""
    extends: list[dict[str, Any]] = field(default_factory=list)
    """Where trials of other spaces came from, oldest first: space, overrides, scale, code and created of each."""
    is_search: bool = False
    """Whether its trials stand in the log of a search; `trials` is empty then."""

    @property
    def keys(self) -> list[str]:
        return [trial.config.trial_key for trial in self.trials]

    @property
    def images(self) -> set[tuple[str, str]]:
        """Data set and fingerprint of its trials."""
        return {(trial.config.dataset, trial.config.dataset_fingerprint) for trial in self.trials}


def new_manifest(
    name: str,
    trials: list[PlannedTrial],
    space: str,
    overrides: dict[str, Any],
    code: str,
    scale: str | None = None,
) -> Manifest:
    return Manifest(name, trials, space, overrides, code, datetime.now(UTC).isoformat(timespec="seconds"), scale)


DEFAULT_STORE = "runs"


class Store:
    """A store at `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def trials_folder(self) -> Path:
        return self.path / TRIALS

    @property
    def ledgers(self) -> "Path | RemoteFolder":
        """Absolute; where processes open the trials that they train, each by its key."""
        return self.trials_folder.absolute()

    def shown(self, path: Path | None = None) -> str:
        """Where a file of the store lies, or the store itself, for people."""
        return str(path or self.path)

    def refresh_trials(self, keys: Collection[str] | None = None) -> None:
        """See to it that `trial_folder` of each key (None: of all trials) holds what is known of the trial now."""

    def refresh(self, *paths: Path) -> None:
        """See to it that these files of sweeps are the newest."""

    def publish(self, *paths: Path) -> None:
        """To be called after files of a sweep were written: they become the store's."""

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a store that does not answer is not waited for."""
        return contextlib.nullcontext()

    def trial_folder(self, trial_key: str) -> Path:
        return self.trials_folder / trial_key

    def trial_names(self) -> list[str]:
        """Names of the folders of all trainings in the store, superseded ones included."""
        return sorted(path.name for path in self.trials_folder.glob("*") if path.is_dir())

    def refresh_logs(self, name: str) -> None:
        """See to it that the folder of that name holds the trial's logs as they are now."""

    def latest_trials(self, limit: int) -> list[Path]:
        """Folders of the trainings, superseded ones included, whose epochs were written last, the latest first."""
        files = sorted(self.trials_folder.glob(f"*/{EPOCHS}"), key=_changed, reverse=True)
        return [path.parent for path in files[:limit]]

    def sweep_folder(self, name: str) -> Path:
        """
        Raises:
            UserError: no name for a sweep, for example one that leads out of the store.
        """
        check_sweep_name(name)
        return self.path / name

    def search_log(self, name: str) -> Path:
        """Where a search of this name has its log; a sweep that is no search has none."""
        return self.sweep_folder(name) / SEARCH_LOG

    @property
    def option(self) -> str:
        """What to add to a command so that it finds this store: nothing for the default one."""
        is_default = self.path.absolute() == Path(DEFAULT_STORE).absolute()
        return "" if is_default else f" --store {shlex.quote(str(self.path))}"

    def sweeps(self, file: str = MANIFEST) -> list[str]:
        """Names of the sweeps that have this file."""
        return sorted(path.parent.name for path in self.path.glob(f"*/{file}"))

    def find_manifest(self, name: str) -> Manifest | None:
        """The sweep's manifest, or None where the store has no such sweep.

        Raises:
            UserError: the manifest is damaged, or another sweep's.
        """
        path = self.sweep_folder(name) / MANIFEST
        self.refresh(path)
        try:
            values = json.loads(path.read_bytes())
            with located(self.shown(path)):
                trials = [
                    PlannedTrial(TrainConfig.from_dict(trial["config"]), trial["repeat"], trial["variables"])
                    for trial in values.pop("trials")
                ]
            values.pop("schema_version")
            if values["name"] != name:
                raise UserError(
                    f"{self.shown(path)} is of the sweep {values['name']!r}: give the folder that name again"
                )
            return Manifest(trials=trials, **values)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{self.shown(path)} is damaged: delete it and run the sweep again (its trials are kept)"
            ) from None
        except OSError as error:
            raise UserError(f"cannot read {self.shown(path)}: {error.strerror}") from None

    def manifest(self, name: str) -> Manifest:
        """
        Raises:
            UserError: no such sweep here; names the nearest one.
        """
        found = self.find_manifest(name)
        if found is None:
            sweeps = self.sweeps()
            hint = (
                nearest(name, sweeps)
                if sweeps
                else f"it holds none yet: start with `{command('run', 'quickstart')}{self.option}`"
            )
            raise UserError(f"no sweep {name!r} in {self.shown()}: {hint}")
        return found

    def check_extends(self, manifest: Manifest) -> None:
        """
        Raises:
            UserError: the store's sweep of this name holds trials that the new manifest lacks.
        """
        existing = self.find_manifest(manifest.name)
        if existing is None:
            return
        if existing.is_search != manifest.is_search:
            kind = "a search" if existing.is_search else "rows or a grid"
            raise UserError(f"the sweep {manifest.name!r} in {self.shown()} is {kind}: give this run another --name")
        lost = set(existing.keys) - set(manifest.keys)
        if lost:
            keep = "add --extend to keep both, or " if existing.images == manifest.images else ""
            raise UserError(
                f"the sweep {manifest.name!r} in {self.shown()} already stands for other trials "
                f"({len(lost)} of its {len(existing.keys)} are not among these): {keep}give this run another --name"
            )

    def files(self) -> dict[str, tuple[int, int]]:
        """Return the path of every file, relative to the store, with its size in bytes and its time in ns."""
        stats = {path: path.stat() for path in self.path.rglob("*") if path.is_file()}
        return {
            path.relative_to(self.path).as_posix(): (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()
        }

    def delete_trials(self, keys: Collection[str]) -> None:
        """Delete the ledgers of these trials, superseded trainings included."""
        for name in self.trial_names():
            if name.partition(SUPERSEDED)[0] in keys:
                shutil.rmtree(self.trial_folder(name))

    def delete_sweep(self, name: str) -> None:
        """Delete the files of a sweep; its trials stay. The manifest goes last, so that a second call can finish."""
        folder = self.sweep_folder(name)
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (MANIFEST, LOCK):
                path.unlink()
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)

    def check_free(self, keys: Collection[str]) -> None:
        """
        Raises:
            UserError: another process works on one of these trials.
        """
        busy = self._busy(keys)
        if busy:
            raise UserError(f"{len(busy)} of these trials ({busy[0]}, ...) are being trained now: wait for them")

    def supersede(self, manifest: Manifest) -> int:
        """Put aside what has ended of these trials, so that a run trains it anew; how many that were.

        Raises:
            UserError: another process works on one of the trials.
        """
        self.check_free(manifest.keys)
        earlier = superseded_trials(self.trials_folder)
        configs = [trial.config for trial in manifest.trials]
        try:
            return self._put_aside(
                [(config, max(earlier.get(config.trial_key, ()), default=0) + 1) for config in configs]
            )
        except LedgerBusyError:  # since we looked
            raise UserError("another process has just begun to train one of these trials: wait for it") from None

    def write_manifest(self, manifest: Manifest) -> None:
        values = {
            "schema_version": SCHEMA_VERSION,
            "name": manifest.name,
            "created": manifest.created,
            "code": manifest.code,
            "overrides": manifest.overrides,
            "scale": manifest.scale,
            "space": manifest.space,
            "extends": manifest.extends,
            "is_search": manifest.is_search,
            "trials": [
                {"config": trial.config.to_dict(), "repeat": trial.repeat, "variables": dict(trial.variables)}
                for trial in manifest.trials
            ],
        }
        folder = self.sweep_folder(manifest.name)
        write_atomically(folder / MANIFEST, json.dumps(values, indent=1).encode() + b"\n")
        self.publish(folder / MANIFEST)

    def check_writable(self) -> None:
        """
        Raises:
            UserError: nothing can be written where the store is to be.
        """
        existing = self.path
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(f"cannot write to the store {self.path}: give another with --store")

    def is_running(self, name: str) -> bool:
        """True while a living driver works on the sweep."""
        return is_locked(self.sweep_folder(name) / LOCK)

    def at_work(self, name: str, trials: Mapping[str, TrialSummary]) -> set[str]:
        """Keys of those of the sweep's unfinished trials that a living process works on."""
        return {key for key in trials if is_locked(self.trial_folder(key) / LOCK)}

    def drop_final_states(self, keys: Collection[str]) -> None:
        """Delete the states that these trials ended with: nobody is to go on from them. Figures stay."""
        for key in keys:
            (self.trial_folder(key) / FINAL_STATE).unlink(missing_ok=True)

    def _busy(self, keys: Collection[str]) -> list[str]:
        """Those of the trials that a living process works on, in whatever sweep."""
        return [key for key in keys if is_locked(self.trial_folder(key) / LOCK)]

    def _put_aside(self, generations: Sequence[tuple[TrainConfig, int]]) -> int:
        """Supersede those of the trials that have ended; how many that were.

        Args:
            generations: of each trial, the number that its training gets.

        Raises:
            LedgerBusyError: another process works on one of them.
        """
        return sum(supersede(self.trial_folder(config.trial_key), number) for config, number in generations)

    @contextlib.contextmanager
    def _only_driver(self, name: str, run_id: str) -> Iterator[None]:
        """Inside, no other driver works on the sweep.

        Raises:
            LedgerBusyError: another driver works on the sweep.
        """
        folder = self.sweep_folder(name)
        with exclusive_lock(folder / LOCK):
            remove_scratch(folder)
            yield

    @contextlib.contextmanager
    def driving(self, manifest: Manifest, run_id: str | None = None) -> Iterator[str]:
        """Be the one driver of the sweep, which thereby stands for the manifest's trials; gives the run's id.

        Args:
            run_id: a new one where none is given.

        Raises:
            UserError: another driver works on it, its name stands for other trials, or the store cannot be
                written.
        """
        folder, run_id = self.sweep_folder(manifest.name), run_id or uuid.uuid4().hex
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self._only_driver(manifest.name, run_id))
                self.check_extends(manifest)
                self.write_manifest(manifest)
            except LedgerBusyError:
                raise UserError(busy_message(manifest.name)) from None
            except OSError as error:
                raise UserError(f"cannot write to {folder}: {error.strerror}") from None
            yield run_id


def open_store(place: str) -> Store:
    """The store in a folder, or at a URI such as s3://bucket/prefix; a folder need not exist yet.

    Raises:
        UserError: the URI cannot be opened, or nobody answers there.
    """
    if "://" not in place:
        return Store(Path(place))
    from results.store.remote_store import RemoteStore  # imports pyarrow

    return RemoteStore(place)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone since
        return 0.0


def busy_message(name: str) -> str:
    return f"another process is running the sweep {name!r}: wait for it, or give this one another --name"
