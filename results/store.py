"""The store: a folder that holds trials by their key, and sweeps that name some of them.

    STORE/trials/<key>/        a trial's ledger, shared by all sweeps (see trainable.ledger)
    STORE/trials/<key>.superseded-<n>/   its earlier trainings, kept by `run --again`
    STORE/<sweep>/sweep.json   which trials the sweep consists of, and the space that they came from
                   trials.parquet, epochs.parquet, figures/
                   search.jsonl  of a search: what it proposed, stopped and chose (trainable.search_log)
                   runs.jsonl  what each run of the driver was expected to take, and what it took (results.runs)
                   lock        held by the driver that runs the sweep

Nothing inside holds an absolute path: a store can be moved or copied.
"""

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError, located, nearest
from trainable.ledger import (
    LOCK,
    LedgerBusyError,
    exclusive_lock,
    is_locked,
    remove_scratch,
    supersede,
    superseded_trials,
    write_atomically,
)
from trainable.records import SCHEMA_VERSION, Purpose
from trainable.search_log import SEARCH_LOG

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
    extends: list[dict[str, Any]] = field(default_factory=list)
    """Where trials of other spaces came from, oldest first: space, overrides, scale, code and created of each."""

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

    def search_log(self, name: str) -> Path:
        """Where a search of this name has its log; a sweep that is no search has none."""
        return self.sweep_folder(name) / SEARCH_LOG

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
            UserError: the manifest is damaged, or another sweep's.
        """
        path = self.sweep_folder(name) / MANIFEST
        try:
            values = json.loads(path.read_bytes())
            with located(str(path)):
                trials = [
                    PlannedTrial(
                        TrainConfig.from_dict(trial["config"]),
                        trial["repeat"],
                        trial["variables"],
                        Purpose(trial.get("purpose", Purpose.PLANNED)),
                        trial.get("proposal"),
                    )
                    for trial in values.pop("trials")
                ]
            values.pop("schema_version")
            if values["name"] != name:
                raise UserError(f"{path} is of the sweep {values['name']!r}: give the folder that name again")
            return Manifest(trials=trials, **values)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path} is damaged: delete it and run the sweep again (its trials are kept)") from None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None

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
            raise UserError(f"no sweep {name!r} in {self.path}: {hint}")
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
            keep = "add --extend to keep both, or " if existing.images == manifest.images else ""
            raise UserError(
                f"the sweep {manifest.name!r} in {self.path} already stands for other trials "
                f"({len(lost)} of its {len(existing.keys)} are not among these): {keep}give this run another --name"
            )

    def check_free(self, manifest: Manifest) -> None:
        """
        Raises:
            UserError: another process works on one of the trials.
        """
        busy = [key for key in manifest.keys if is_locked(self.trial_folder(key) / LOCK)]
        if busy:
            raise UserError(f"{len(busy)} of these trials ({busy[0]}, ...) are being trained now: wait for them")

    def supersede(self, manifest: Manifest) -> int:
        """Put aside what has ended of these trials, so that a run trains it anew; how many that were.

        Raises:
            UserError: another process works on one of the trials.
        """
        self.check_free(manifest)
        earlier = superseded_trials(self.trials_folder)
        try:
            return sum(
                supersede(self.trial_folder(key), max(earlier.get(key, ()), default=0) + 1) for key in manifest.keys
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
            "trials": [
                {
                    "config": trial.config.to_dict(),
                    "repeat": trial.repeat,
                    "variables": dict(trial.variables),
                    "purpose": trial.purpose,
                    "proposal": trial.proposal,
                }
                for trial in manifest.trials
            ],
        }
        folder = self.sweep_folder(manifest.name)
        write_atomically(folder / MANIFEST, json.dumps(values, indent=1).encode() + b"\n")

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

    @contextlib.contextmanager
    def driving(self, manifest: Manifest) -> Iterator[None]:
        """Be the one driver of the sweep, which thereby stands for the manifest's trials.

        Raises:
            UserError: another driver works on it, its name stands for other trials, or the store cannot be
                written.
        """
        folder = self.sweep_folder(manifest.name)
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(exclusive_lock(folder / LOCK))
                remove_scratch(folder)
                self.check_extends(manifest)
                self.write_manifest(manifest)
            except LedgerBusyError:
                raise UserError(busy_message(manifest.name)) from None
            except OSError as error:
                raise UserError(f"cannot write to {folder}: {error.strerror}") from None
            yield


def busy_message(name: str) -> str:
    return f"another process is running the sweep {name!r}: wait for it, or give this one another --name"
