"""The store: a folder that holds trials by their key, and sweeps that name some of them.

    STORE/trials/<key>/        a trial's ledger, shared by all sweeps (see trainable.ledger)
    STORE/<sweep>/sweep.json   which trials the sweep consists of, and the space that they came from
                   trials.parquet, epochs.parquet, figures/
                   lock        held by the driver that runs the sweep

Nothing inside holds an absolute path: a store can be moved or copied.
"""

import contextlib
import json
import os
import re
import shlex
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError, located, nearest
from trainable.ledger import (
    LOCK,
    LedgerBusyError,
    exclusive_lock,
    is_locked,
    read_trial,
    trial_status,
    write_atomically,
)
from trainable.records import SCHEMA_VERSION, TrialFiles

if TYPE_CHECKING:
    from trainable.remote_ledger import RemoteFolder

TRIALS = "trials"
MANIFEST = "sweep.json"
TRIALS_PARQUET = "trials.parquet"
EPOCHS_PARQUET = "epochs.parquet"
FIGURES = "figures"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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

    @property
    def keys(self) -> list[str]:
        return [trial.config.trial_key for trial in self.trials]


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

    def refresh(self, path: Path) -> None:
        """See to it that this file of a sweep is the newest."""

    def publish(self, *paths: Path) -> None:
        """To be called after files of a sweep were written: they become the store's."""

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a store that does not answer is not waited for."""
        return contextlib.nullcontext()

    def trial_folder(self, trial_key: str) -> Path:
        return self.trials_folder / trial_key

    def sweep_folder(self, name: str) -> Path:
        """
        Raises:
            UserError: no name for a sweep, for example one that leads out of the store.
        """
        if not _NAME.fullmatch(name) or name == TRIALS:
            raise UserError(
                f"{name!r} cannot name a sweep: letters, digits, '.', '_' and '-', at most 100, not {TRIALS!r}"
            )
        return self.path / name

    @property
    def option(self) -> str:
        """What to add to a command so that it finds this store: nothing for the default one."""
        is_default = self.path.absolute() == Path(DEFAULT_STORE).absolute()
        return "" if is_default else f" --store {shlex.quote(str(self.path))}"

    def sweeps(self) -> list[str]:
        return sorted(path.parent.name for path in self.path.glob(f"*/{MANIFEST}"))

    def find_manifest(self, name: str) -> Manifest | None:
        """The sweep's manifest, or None where the store has no such sweep.

        Raises:
            UserError: the manifest is damaged.
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
                else f"it holds none yet: start with `python tune_main.py run quickstart{self.option}`"
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
        lost = set(existing.keys) - set(manifest.keys)
        if lost:
            raise UserError(
                f"the sweep {manifest.name!r} in {self.shown()} already stands for other trials "
                f"({len(lost)} of its {len(existing.keys)} are not among these): give this run another --name"
            )

    def unfinished(self, manifest: Manifest) -> list[PlannedTrial]:
        """The trials that are not yet COMPLETE, STOPPED or DIVERGED, in whatever sweep they were trained."""
        self.refresh_trials(manifest.keys)
        return [
            trial
            for trial in manifest.trials
            if not trial_status(read_trial(self.trial_folder(trial.config.trial_key))).is_final
        ]

    def write_manifest(self, manifest: Manifest) -> None:
        values = {
            "schema_version": SCHEMA_VERSION,
            "name": manifest.name,
            "created": manifest.created,
            "code": manifest.code,
            "overrides": manifest.overrides,
            "scale": manifest.scale,
            "space": manifest.space,
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

    def at_work(self, name: str, trials: Mapping[str, TrialFiles]) -> set[str]:
        """Keys of those of the sweep's trials that a living process works on."""
        return {key for key in trials if is_locked(self.trial_folder(key) / LOCK)}

    def _only_driver(self, name: str, run_id: str) -> contextlib.AbstractContextManager[None]:
        """Inside, no other driver works on the sweep.

        Raises:
            LedgerBusyError: another driver works on the sweep.
        """
        return exclusive_lock(self.sweep_folder(name) / LOCK)

    @contextlib.contextmanager
    def driving(self, manifest: Manifest) -> Iterator[str]:
        """Be the one driver of the sweep, which thereby stands for the manifest's trials; gives the run's id.

        Raises:
            UserError: another driver works on it, its name stands for other trials, or the store cannot be
                written.
        """
        folder, run_id = self.sweep_folder(manifest.name), uuid.uuid4().hex
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
    from results.remote_store import RemoteStore  # imports pyarrow

    return RemoteStore(place)


def busy_message(name: str) -> str:
    return f"another process is running the sweep {name!r}: wait for it, or give this one another --name"
