"""A trial's ledger in a remote store: a local ledger whose files are pushed to the store after every step.

The store holds the truth: a process that opens a trial first pulls its files, which replace those that an earlier
process left on this machine. The files are pushed at these times:

    config, attempts    when a process begins to work on the trial
    epochs.jsonl        before every checkpoint and before the end, otherwise every few seconds
    checkpoint-0, -1    as soon as they have been written; deleted from the store once the trial has ended
    final-state         before the result, if other trials may continue from this one
    log-<attempt>.txt   with the epochs, if it has grown, and before the result
    weights.safetensors before the result; no copy stays on this machine
    result.json         last
    tensorboard/        when the process closes the trial

`run --again` copies the files of a training to another folder and then deletes them (`RemoteLedger.supersede`).
"""

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainable.ledger.checkpoints import parse_checkpoint
from trainable.ledger.files import (
    ATTEMPTS,
    CHECKPOINTS,
    CONFIG,
    EPOCHS,
    FINAL_STATE,
    RESULT,
    SUPERSEDED,
    TENSORBOARD,
    WEIGHTS,
    read_regular,
    write_atomically,
)
from trainable.ledger.ledger import Ledger
from trainable.ledger.remote import Remote, RemoteError, in_parallel, mirror_folder, without_options
from trainable.ledger.safetensors import StoredWeights, weights_content
from trainable.ledger.trial_log import KEPT_ATTEMPTS, logs_among, logs_in, presentable
from trainable.records import Attempt, EpochRecord, TrialEnd

PUSH_SECONDS = 5.0
"""Seconds between two pushes of the epochs, if there is no checkpoint."""
FILES = (CONFIG, ATTEMPTS, EPOCHS, *CHECKPOINTS, RESULT)


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of a remote store. It can be sent to other machines, unlike a connection."""

    uri: str
    """URI of the store."""
    name: str
    """Path of the folder relative to the store."""

    def __truediv__(self, name: str) -> "RemoteFolder":
        return RemoteFolder(self.uri, f"{self.name}/{name}")

    def with_name(self, name: str) -> "RemoteFolder":
        """Return the folder with this name beside this one."""
        return RemoteFolder(self.uri, self.name.rpartition("/")[0]) / name

    def __str__(self) -> str:
        return f"{without_options(self.uri)}/{self.name}"

    @property
    def local(self) -> Path:
        """Folder of this machine that holds the local copy."""
        return mirror_folder(self.uri) / "work" / self.name


class TakenOverError(RemoteError):
    """Another process has taken over the trial, so the work of this one no longer counts."""


class RemoteLedger(Ledger):
    """The ledger of a trial in a remote store, open for writing under a lock on this machine."""

    def __init__(self, folder: RemoteFolder, config: Mapping[str, Any]) -> None:
        """Pull the trial's files and open them; the errors are those of `open_ledger`."""
        self._remote = Remote(folder.uri)
        self._remote_folder = folder.name
        self._has_remote_result = False
        self._pushed_at = 0.0
        self._old_logs: list[str] = []
        self._pushed_logs: dict[Path, tuple[int, int]] = {}
        super().__init__(folder.local, config)

    def begin(self, attempt: Attempt) -> None:
        super().begin(attempt)
        self._push(CONFIG)
        self._push(ATTEMPTS)
        in_parallel(lambda name: self._remote.delete(f"{self._remote_folder}/{name}"), self._old_logs)
        if self._has_remote_result:
            self._remote.delete(f"{self._remote_folder}/{RESULT}")
        self._pushed_at = time.monotonic()

    def amend(self, attempt: Attempt) -> None:
        super().amend(attempt)
        self._push(ATTEMPTS)

    def append(self, record: EpochRecord) -> None:
        super().append(record)
        if time.monotonic() - self._pushed_at >= PUSH_SECONDS:
            self._push_epochs()
            with contextlib.suppress(RemoteError):  # the logs are pushed again before the end
                self._push_logs()

    def save_checkpoint(self, state: bytes) -> str:
        self._push_epochs()
        name = super().save_checkpoint(state)
        self._push(name)
        return name

    def save_final_state(self, state: bytes) -> None:
        super().save_final_state(state)
        self._push(FINAL_STATE)

    def save_weights(self, weights: StoredWeights) -> None:
        self._check_ours()
        self._remote.write(f"{self._remote_folder}/{WEIGHTS}", weights_content(weights, self._key))

    def finish(self, end: TrialEnd) -> None:
        super().finish(end)
        self._push_epochs()
        self._push_logs()
        self._push(RESULT)
        if end.status.is_final:
            with contextlib.suppress(RemoteError):  # the trial is complete even if they stay
                for name in CHECKPOINTS:
                    self._remote.delete(f"{self._remote_folder}/{name}")

    def supersede(self, number: int) -> bool:
        """Move the training to another folder, so that the trial can be trained again.

        Nothing can be renamed in a bucket. With this order of steps the training counts exactly once at any moment,
        and a process that continues after a kill sees how far it came:

            all files are copied, the result last   the copy is complete, but does not count beside the same training
                                                    (`superseded_trials`)
            config.json is deleted                  the copy counts, and the trial has not begun (`read_trial`)
            the rest is deleted, the result last    the remaining files have the result of a copy, so the next process
                                                    to open the trial deletes them (`_before_reading`)

        Args:
            number: the number of superseded trainings of this trial, including this one.

        Returns:
            False if the trial has not ended for good; nothing is done then.
        """
        if self.end is None or not self.end.status.is_final:
            return False
        self._push(CONFIG)  # it may be damaged or missing in the store
        aside = f"{self._remote_folder}{SUPERSEDED}{number}"
        names = self._names(self._remote_folder)
        in_parallel(lambda name: self._remote.delete(f"{aside}/{name}"), self._names(aside) - names)
        in_parallel(lambda name: self._copy(name, aside), names - {RESULT, *CHECKPOINTS})
        self._copy(RESULT, aside)
        self._remote.delete(f"{self._remote_folder}/{CONFIG}")
        self._delete_all(names)
        return True

    def close(self) -> None:
        """Free the lock. TensorBoard files, which only show the epochs, are pushed if that succeeds at once."""
        self._remote.patience_seconds = 0.0
        with contextlib.suppress(RemoteError, OSError):
            self._push_logs()
            self._check_ours()
            for path in sorted((self.folder / TENSORBOARD).glob("*")):
                self._remote.write(f"{self._remote_folder}/{TENSORBOARD}/{path.name}", path.read_bytes())
        super().close()

    def _before_reading(self) -> None:
        there = self._names(self._remote_folder)
        if RESULT in there and CONFIG not in there and self._is_superseded():
            self._delete_all(there)
            there = set()
        names = [name for name in FILES if name in there]
        self._old_logs = [*logs_among(there).values()][: -KEPT_ATTEMPTS + 1]
        self._has_remote_result = RESULT in names
        shutil.rmtree(self.folder / TENSORBOARD, ignore_errors=True)
        attempts_here = self._attempts_here()
        for name in FILES:
            (self.folder / name).unlink(missing_ok=True)
        in_parallel(self._pull, names)
        self._keep_logs_of(self._attempts_here(), attempts_here)

    def _is_superseded(self) -> bool:
        """Return whether the remaining files belong to a superseded training and were about to be deleted."""
        parent, _, key = self._remote_folder.rpartition("/")
        end = self._remote.read(f"{self._remote_folder}/{RESULT}")
        copies = [name for name in self._remote.folders(parent) if name.startswith(f"{key}{SUPERSEDED}")]
        return end is not None and any(self._remote.read(f"{parent}/{name}/{RESULT}") == end for name in copies)

    def _names(self, folder: str) -> set[str]:
        """Return the relative names of all files below a folder of the store."""
        return {path.removeprefix(f"{folder}/") for path in self._remote.stamps(folder)}

    def _copy(self, name: str, folder: str) -> None:
        self._remote.copy(f"{self._remote_folder}/{name}", f"{folder}/{name}")

    def _delete_all(self, names: set[str]) -> None:
        """Delete these files from the store, the result last."""
        in_parallel(lambda name: self._remote.delete(f"{self._remote_folder}/{name}"), names - {RESULT})
        self._remote.delete(f"{self._remote_folder}/{RESULT}")

    def _pull(self, name: str) -> None:
        content = self._remote.read(f"{self._remote_folder}/{name}")
        if content is not None:
            write_atomically(self.folder / name, content)

    def _push(self, name: str) -> None:
        if name not in (CONFIG, ATTEMPTS):
            self._check_ours()
        self._remote.write(f"{self._remote_folder}/{name}", (self.folder / name).read_bytes())

    def _check_ours(self) -> None:
        """Check that no other process has taken over the trial.

        A node that is cut off is given up after half a minute and its trials resume elsewhere, but it may come back.
        """
        attempts = self._remote.read(f"{self._remote_folder}/{ATTEMPTS}")
        if attempts is not None and attempts.splitlines() != self._attempts_here():
            raise TakenOverError(
                f"{self._remote.shown}/{self._remote_folder}", "another process has taken the trial over"
            )

    def _attempts_here(self) -> list[bytes]:
        """Return the lines of this machine's attempts.jsonl."""
        path = self.folder / ATTEMPTS
        return path.read_bytes().splitlines() if path.exists() else []

    def _keep_logs_of(self, attempts: list[bytes], attempts_here: list[bytes]) -> None:
        """Delete the local logs, except for that of the last attempt if it ran on this machine.

        That attempt may have been killed before it could push its log, which is then pushed with ours.

        Args:
            attempts: the attempts on record in the store.
            attempts_here: the attempts that this machine knew.
        """
        for attempt, path in logs_in(self.folder).items():
            if attempt != len(attempts) or attempts != attempts_here:
                path.unlink()

    def _push_logs(self) -> None:
        """Push the logs that have changed since this process pushed them."""
        for path in logs_in(self.folder).values():
            status = path.stat()
            version = (status.st_size, status.st_mtime_ns)
            if status.st_size and self._pushed_logs.get(path) != version:
                self._remote.write(f"{self._remote_folder}/{path.name}", presentable(path.read_bytes()))
                self._pushed_logs[path] = version

    def _push_epochs(self) -> None:
        if (self.folder / EPOCHS).exists():
            self._push(EPOCHS)
        self._pushed_at = time.monotonic()


def open_ledger(folder: Path | RemoteFolder, config: Mapping[str, Any], store_id: str | None = None) -> Ledger:
    """Open the ledger of a trial in a local or remote folder.

    Args:
        store_id: the identity of the store, if it is a folder; None to work in any folder.

    Raises:
        LedgerBusyError: another process works on this trial.
        RemoteError: a remote store does not answer, or refuses.
        OSError: the folder cannot be written, or does not lie in this store.
    """
    return RemoteLedger(folder, config) if isinstance(folder, RemoteFolder) else Ledger(folder, config, store_id)


def read_final_state(folder: Path | RemoteFolder, key: str, num_epochs: int) -> bytes | None:
    """Return the final state of a trial after this number of epochs, None if it is missing or damaged.

    Raises:
        RemoteError: a remote store does not answer, or refuses.
    """
    content: bytes | None = None
    if isinstance(folder, RemoteFolder):
        content = Remote(folder.uri).read(f"{folder.name}/{FINAL_STATE}")
    else:
        with contextlib.suppress(OSError):
            content = read_regular(folder / FINAL_STATE)
    state = None if content is None else parse_checkpoint(content, key)
    return None if state is None or state.epochs_done != num_epochs else state.state
