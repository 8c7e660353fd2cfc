"""The folder of one trial: its config, its epochs as they happen, two checkpoints, and at last its end.

    trials/<key>/config.json        what is trained
                 attempts.jsonl     a line for every process that worked on it
                 epochs.jsonl       a line for every epoch, append only
                 checkpoint-0, -1   the last two, each with a checksum and the epochs that belong to it
                 result.json        how it ended; there only then, written atomically
                 lock               held (flock) by whoever writes; freed by the kernel when that process dies

Standard library only: the worker writes it, `results` reads it, and both know it from here.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from trainable.records import Attempt, EpochRecord, Status, TrialEnd, TrialFiles

CONFIG = "config.json"
ATTEMPTS = "attempts.jsonl"
EPOCHS = "epochs.jsonl"
RESULT = "result.json"
LOCK = "lock"
TENSORBOARD = "tensorboard"
CHECKPOINTS = ("checkpoint-0", "checkpoint-1")
CHECKPOINT_MAGIC = "batchscape-checkpoint-1"

Record = TypeVar("Record", EpochRecord, Attempt)


class LedgerBusyError(RuntimeError):
    """Another process writes to this trial's folder now."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash at any moment, sees the old content or the new, never a part."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` against every other process of this machine; a dead holder leaves no lock behind.

    Raises:
        LedgerBusyError: somebody else holds it.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerBusyError(str(path)) from None
        yield


def is_locked(path: Path) -> bool:
    """True where a living process holds the lock."""
    if not path.exists():
        return False
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of training and the epochs that had been written when it was taken."""

    epochs_done: int
    state: bytes


class Ledger:
    """The writing side of a trial's folder, under its lock from construction to `close`.

    Whoever goes on with a trial calls `rewind` first: epochs after the last good checkpoint are cut off,
    since they are about to be trained again, so that no epoch ever stands there twice. A damaged checkpoint
    is passed over for the one before it, and for the beginning where both are damaged.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """
        Raises:
            LedgerBusyError: another process works on this trial.
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with contextlib.ExitStack() as stack:
            stack.enter_context(exclusive_lock(folder / LOCK))
            self._before_reading()
            files = read_trial(folder)
            if not files.config:
                write_atomically(folder / CONFIG, _dump(config))
                files = read_trial(folder)
            self._stack = stack.pop_all()
        self.attempts = files.attempts
        self.end = files.end
        self.epochs = files.epochs
        self.checkpoint: Checkpoint | None = None
        self._epochs_file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock; what was appended is on disk."""
        self._stack.close()

    def _before_reading(self) -> None:
        """Under the lock: where the trial really lies elsewhere, it is fetched now."""

    def rewind(self) -> None:
        """Go back to the newest good checkpoint, or to the beginning; what came after it is cut off."""
        self.checkpoint = _newest_checkpoint(self.folder, len(self.epochs))
        del self.epochs[self.checkpoint.epochs_done if self.checkpoint else 0 :]
        kept = b"".join(_dump(dataclasses.asdict(record)) for record in self.epochs)
        path = self.folder / EPOCHS
        if path.exists() and path.read_bytes() != kept:
            write_atomically(path, kept)

    def reject_checkpoint(self) -> None:
        """The checkpoint is whole and yet of no use: go back to the one before it (nothing appended so far)."""
        for name in CHECKPOINTS:
            if self.checkpoint is not None and _read_checkpoint(self.folder / name) == self.checkpoint:
                (self.folder / name).unlink()
        self.rewind()

    def begin(self, attempt: Attempt) -> None:
        """Record that a process starts to work; an earlier failure no longer counts."""
        self.attempts.append(attempt)
        lines = b"".join(_dump(dataclasses.asdict(one)) for one in self.attempts)
        write_atomically(self.folder / ATTEMPTS, lines)
        (self.folder / RESULT).unlink(missing_ok=True)
        self.end = None

    def append(self, record: EpochRecord) -> None:
        """Add the next epoch; readers see it at once, the disk at the next checkpoint or at the end."""
        if self._epochs_file is None:
            self._epochs_file = self._stack.enter_context((self.folder / EPOCHS).open("ab"))
        self._epochs_file.write(_dump(dataclasses.asdict(record)))
        self._epochs_file.flush()
        self.epochs.append(record)

    def save_checkpoint(self, state: bytes) -> str:
        """Keep `state` as the newest checkpoint in place of the older of the two; gives its file's name."""
        self._sync_epochs()
        epochs_done = len(self.epochs)
        header = {
            "magic": CHECKPOINT_MAGIC,
            "epochs_done": epochs_done,
            "sha256": hashlib.sha256(state).hexdigest(),
        }
        older = min(CHECKPOINTS, key=lambda name: _checkpoint_age(self.folder / name))
        write_atomically(self.folder / older, _dump(header) + state)
        return older

    def finish(self, end: TrialEnd) -> None:
        """Record how the trial ended; where it needs no more training its checkpoints go."""
        self._sync_epochs()
        write_atomically(self.folder / RESULT, _dump(dataclasses.asdict(end)))
        self.end = end
        if end.status.is_final:
            for name in CHECKPOINTS:
                (self.folder / name).unlink(missing_ok=True)

    def _sync_epochs(self) -> None:
        if self._epochs_file is not None:
            os.fsync(self._epochs_file.fileno())


def read_trial(folder: Path) -> TrialFiles:
    """All that a trial's folder holds, also while it is being written: torn or damaged lines end the list."""
    files = TrialFiles()
    files.config = _read_config(folder / CONFIG)
    if not files.config:
        return files
    for number, record in enumerate(_read_lines(folder / EPOCHS, EpochRecord), start=1):
        if record.epoch != number:
            break
        files.epochs.append(record)
    files.attempts = list(_read_lines(folder / ATTEMPTS, Attempt))
    files.end = _read_end(folder / RESULT)
    if files.end is not None and files.end.status.is_final and files.end.epochs_done != len(files.epochs):
        files.end = None  # epochs are missing: the trial is trained again from what is left
    return files


def trial_status(files: TrialFiles) -> Status:
    return files.end.status if files.end else Status.INCOMPLETE


def _read_config(path: Path) -> dict[str, Any]:
    """Empty where there is none, or only a damaged one: the trial's key still says what it is."""
    try:
        config = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _read_end(path: Path) -> TrialEnd | None:
    try:
        values = json.loads(path.read_bytes())
        return TrialEnd(**{**values, "status": Status(values["status"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _read_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                return
            yield kind(**json.loads(line))
        except (ValueError, TypeError):
            return


def _newest_checkpoint(folder: Path, num_epochs: int) -> Checkpoint | None:
    """The newest checkpoint that is whole and whose epochs are there; those that are not are deleted."""
    usable = []
    for name in CHECKPOINTS:
        checkpoint = _read_checkpoint(folder / name)
        if checkpoint is not None and checkpoint.epochs_done <= num_epochs:
            usable.append(checkpoint)
        else:
            (folder / name).unlink(missing_ok=True)
    return max(usable, key=lambda checkpoint: checkpoint.epochs_done, default=None)


def _read_checkpoint(path: Path) -> Checkpoint | None:
    try:
        line, _, state = path.read_bytes().partition(b"\n")
        header = json.loads(line)
        if header["magic"] != CHECKPOINT_MAGIC or header["sha256"] != hashlib.sha256(state).hexdigest():
            return None
        return Checkpoint(int(header["epochs_done"]), state)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _checkpoint_age(path: Path) -> int:
    """Epochs done as the header claims; -1 where there is none, so that it is replaced first."""
    try:
        with path.open("rb") as file:
            return int(json.loads(file.readline())["epochs_done"])
    except (OSError, ValueError, TypeError, KeyError):
        return -1


def _dump(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"
