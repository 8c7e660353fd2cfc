"""The writing side of a trial's folder (see trainable.ledger.files)."""

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from trainable.config import TrainConfig
from trainable.ledger.checkpoints import (
    Checkpoint,
    checkpoint_content,
    newest_checkpoint,
    older_checkpoint,
    read_checkpoint,
    remove_checkpoints,
)
from trainable.ledger.checksums import sealed
from trainable.ledger.files import (
    ATTEMPTS,
    CHECKPOINTS,
    CONFIG,
    EPOCHS,
    FINAL_STATE,
    LOCK,
    RESULT,
    TENSORBOARD,
    WEIGHTS,
    make_folder,
    open_regular,
    read_regular,
    refuse_special,
    remove_scratch,
    sync_folder,
    write_atomically,
)
from trainable.ledger.identity import check_identity
from trainable.ledger.locks import exclusive_lock
from trainable.ledger.reading import read_trial, trial_status
from trainable.ledger.safetensors import StoredWeights, parse_weights, weights_content
from trainable.records import Attempt, EpochRecord, TrialEnd


class Ledger:
    """The records of one trial, open for writing under the trial's lock from construction to `close`.

    A process that resumes a trial calls `rewind` first. It cuts off the epochs after the last good checkpoint,
    which are about to be trained again, so that no epoch is ever recorded twice. A damaged checkpoint is skipped in
    favour of the one before it; if both are damaged, the trial starts again.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], store_id: str | None = None) -> None:
        """Take the lock and read what the folder holds.

        Args:
            store_id: the identity of the store to whose trials the folder belongs; None to work in any folder.

        Raises:
            LedgerBusyError: another process works on this trial.
            OSError: the folder cannot be written, holds symbolic links, or does not lie in this store.
        """
        if store_id is not None:
            refuse_special([folder.parent])
            check_identity(folder.parent.parent, store_id)
        if store_id is None and not folder.parent.exists():
            make_folder(folder.parent, parents=True)
        folder.mkdir(exist_ok=True)
        refuse_special([folder, *folder.iterdir(), *(folder / TENSORBOARD).glob("*")])
        self.folder = folder
        self.damage: list[str] = []
        """Names of files that were found damaged, with the line if one line is."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(exclusive_lock(folder / LOCK))
            remove_scratch(folder)
            self._before_reading()
            files = read_trial(folder)
            if not files.config:
                self.damage += files.damage
                write_atomically(folder / CONFIG, sealed(config), durable=False)
                files = read_trial(folder)
            self.damage += files.damage
            if trial_status(files).is_final:  # the process may have been killed before it could do this
                sync_folder(folder)
                remove_checkpoints(folder)
            self._stack = stack.pop_all()
        self._key = TrainConfig.from_dict(files.config or config).trial_key
        self.attempts = files.attempts
        self.end = files.end
        self.epochs = files.epochs
        self.checkpoint: Checkpoint | None = None
        self._epochs_file: IO[bytes] | None = None
        self._is_listed = False
        """Whether the folder and the names of its files survive a power cut."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock."""
        self._stack.close()

    def _before_reading(self) -> None:
        """Fetch the trial's files, if they lie elsewhere. The lock is held."""

    def rewind(self) -> None:
        """Go back to the newest good checkpoint, or to the beginning, and cut off the later epochs."""
        self.checkpoint, damage = newest_checkpoint(self.folder, len(self.epochs), self._key)
        known = {name.partition(":")[0] for name in self.damage}
        self.damage += [name for name in dict.fromkeys(damage) if name not in known]
        del self.epochs[self.checkpoint.epochs_done if self.checkpoint else 0 :]
        kept = b"".join(self._sealed(record) for record in self.epochs)
        path = self.folder / EPOCHS
        if path.exists() and path.read_bytes() != kept:
            write_atomically(path, kept)

    def reject_checkpoint(self) -> None:
        """Go back to the checkpoint before, because this code cannot load the newest one although it is whole.

        No epoch may have been appended so far.
        """
        for name in CHECKPOINTS:
            if self.checkpoint is not None and read_checkpoint(self.folder / name, self._key) == self.checkpoint:
                (self.folder / name).unlink()
                self.damage.append(f"{name} (this code cannot load it)")
        self.rewind()

    def repair(self) -> list[str]:
        """Drop what is damaged, as the next process would before it trains, and return the names of the files.

        Epochs after the newest checkpoint are kept: they may be all that the trial needs.
        """
        self.checkpoint, damage = newest_checkpoint(self.folder, len(self.epochs), self._key)
        files = {name.partition(":")[0]: None for name in [*self.damage, *damage]}
        if EPOCHS in files:
            write_atomically(self.folder / EPOCHS, b"".join(self._sealed(record) for record in self.epochs))
        if ATTEMPTS in files:
            self._write_attempts()
        if self.end is None:
            (self.folder / RESULT).unlink(missing_ok=True)
        if (self.folder / FINAL_STATE).exists() and read_checkpoint(self.folder / FINAL_STATE, self._key) is None:
            files[FINAL_STATE] = None
            (self.folder / FINAL_STATE).unlink()
        if (self.folder / WEIGHTS).exists():
            try:
                parse_weights(read_regular(self.folder / WEIGHTS), self._key)
            except ValueError:
                files[WEIGHTS] = None
                (self.folder / WEIGHTS).unlink()
        return list(files)

    def begin(self, attempt: Attempt) -> None:
        """Record that a process starts to work on the trial; an earlier failure no longer counts."""
        self.attempts.append(attempt)
        self._write_attempts()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / RESULT).unlink()
            sync_folder(self.folder)
        self.end = None

    def amend(self, attempt: Attempt) -> None:
        """Replace the record of the attempt that was begun last."""
        self.attempts[-1] = attempt
        self._write_attempts()

    def append(self, record: EpochRecord) -> None:
        """Add the next epoch. Readers see it at once; it is synced to disk at the next checkpoint or at the end."""
        if self._epochs_file is None:
            self._epochs_file = self._stack.enter_context(_open_to_append(self.folder / EPOCHS))
        self._epochs_file.write(self._sealed(record))
        self._epochs_file.flush()
        self.epochs.append(record)

    def save_checkpoint(self, state: bytes) -> str:
        """Write a checkpoint in place of the older of the two, and return the name of its file."""
        self._sync_records()
        name = older_checkpoint(self.folder, self._key)
        write_atomically(self.folder / name, self._checkpoint(state))
        return name

    def save_final_state(self, state: bytes) -> None:
        """Write the state after the last epoch, for trials that continue from this one."""
        write_atomically(self.folder / FINAL_STATE, self._checkpoint(state))

    def save_weights(self, weights: StoredWeights) -> None:
        """Write the weights after the last epoch. The result follows, so that no completed trial lacks them."""
        write_atomically(self.folder / WEIGHTS, weights_content(weights, self._key))

    def finish(self, end: TrialEnd) -> None:
        """Record how the trial ended, and delete its checkpoints if it needs no more training."""
        self._sync_records()
        write_atomically(self.folder / RESULT, self._sealed(end))
        self.end = end
        if end.status.is_final:
            remove_checkpoints(self.folder)

    def _write_attempts(self) -> None:
        lines = b"".join(self._sealed(attempt) for attempt in self.attempts)
        write_atomically(self.folder / ATTEMPTS, lines, durable=False)

    def _sealed(self, record: EpochRecord | Attempt | TrialEnd) -> bytes:
        return sealed(dataclasses.asdict(record), self._key)

    def _checkpoint(self, state: bytes) -> bytes:
        return checkpoint_content(Checkpoint(len(self.epochs), state), self._key)

    def _sync_records(self) -> None:
        """Make all that has been written survive a power cut; no checkpoint or result may survive it alone."""
        if self._epochs_file is not None:
            os.fsync(self._epochs_file.fileno())
        if not self._is_listed:
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
            self._is_listed = True


def _open_to_append(path: Path) -> IO[bytes]:
    return os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")
