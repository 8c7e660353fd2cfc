"""The folder of one trial: its config, its epochs as they happen, two checkpoints, and at last its end.

    trials/<key>/config.json        what is trained
                 attempts.jsonl     a line for every process that worked on it
                 epochs.jsonl       a line for every epoch, append only
                 checkpoint-0, -1   the last two, each with a checksum and the epochs that belong to it
                 final-state        the state after the last epoch, like a checkpoint; only of a trial that others
                                    may go on from
                 result.json        how it ended; there only then, written atomically
                 log-<n>.txt        the end of what the n-th attempt wrote (see trainable.ledger.trial_log)
                 lock               held (flock) by whoever writes; freed by the kernel when that process dies
    trials/<key>.superseded-<n>/    the same, of the n-th training that `run --again` has put another in place of

Standard library only: the worker writes it, `results` reads it, and both know it from here.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from trainable.records import Attempt, EpochRecord, Standing, Status, TrialEnd, TrialFiles

CONFIG = "config.json"
ATTEMPTS = "attempts.jsonl"
EPOCHS = "epochs.jsonl"
RESULT = "result.json"
LOCK = "lock"
TENSORBOARD = "tensorboard"
SUPERSEDED = ".superseded-"
CHECKPOINTS = ("checkpoint-0", "checkpoint-1")
FINAL_STATE = "final-state"
CHECKPOINT_MAGIC = "batchscape-checkpoint-1"
TAIL_BYTES = 4096
"""Of epochs.jsonl, more than a line has."""
_SCRATCH = re.compile(r"\..+\.\d+")

Record = TypeVar("Record", EpochRecord, Attempt)


class LedgerBusyError(RuntimeError):
    """Another process writes to this trial's folder now."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash at any moment, sees the old content or the new, never a part."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:  # a full disk, above all
        scratch.unlink(missing_ok=True)
        raise


def remove_scratch(folder: Path) -> None:
    """Delete what processes that were killed left of files half written. Only for the holder of the folder's lock."""
    for path in folder.iterdir():
        if _SCRATCH.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` against every other process of this machine; a dead holder leaves no lock behind.

    Raises:
        LedgerBusyError: somebody else holds it, or has just moved its folder away.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise LedgerBusyError(str(path))
        except (BlockingIOError, FileNotFoundError):
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
            OSError: the folder cannot be written, or holds symbolic links.
        """
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_links(folder)
        self.folder = folder
        self.damage: list[str] = []
        """Names of files that were found damaged."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(exclusive_lock(folder / LOCK))
            remove_scratch(folder)
            self._before_reading()
            files = read_trial(folder)
            if not files.config:
                if (folder / CONFIG).exists():
                    self.damage.append(CONFIG)
                write_atomically(folder / CONFIG, _dump(config))
                files = read_trial(folder)
            self.damage += _damaged_records(folder, files)
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
        self.checkpoint, damage = _newest_checkpoint(self.folder, len(self.epochs))
        self.damage = list(dict.fromkeys(self.damage + damage))
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
                self.damage.append(f"{name} (this code cannot load it)")
        self.rewind()

    def begin(self, attempt: Attempt) -> None:
        """Record that a process starts to work; an earlier failure no longer counts."""
        self.attempts.append(attempt)
        self._write_attempts()
        (self.folder / RESULT).unlink(missing_ok=True)
        self.end = None

    def amend(self, attempt: Attempt) -> None:
        """Record more of the attempt that was begun last."""
        self.attempts[-1] = attempt
        self._write_attempts()

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
        older = min(CHECKPOINTS, key=lambda name: _checkpoint_age(self.folder / name))
        write_atomically(self.folder / older, self._with_header(state))
        return older

    def save_final_state(self, state: bytes) -> None:
        """Keep the state after the last epoch: for trials that go on from this one."""
        write_atomically(self.folder / FINAL_STATE, self._with_header(state))

    def finish(self, end: TrialEnd) -> None:
        """Record how the trial ended; where it needs no more training its checkpoints go."""
        self._sync_epochs()
        write_atomically(self.folder / RESULT, _dump(dataclasses.asdict(end)))
        self.end = end
        if end.status.is_final:
            for name in CHECKPOINTS:
                (self.folder / name).unlink(missing_ok=True)

    def _with_header(self, state: bytes) -> bytes:
        header = {
            "magic": CHECKPOINT_MAGIC,
            "epochs_done": len(self.epochs),
            "sha256": hashlib.sha256(state).hexdigest(),
        }
        return _dump(header) + state

    def _write_attempts(self) -> None:
        lines = b"".join(_dump(dataclasses.asdict(one)) for one in self.attempts)
        write_atomically(self.folder / ATTEMPTS, lines)

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
    files.attempts = _read_lines(folder / ATTEMPTS, Attempt)
    files.end = _read_end(folder / RESULT)
    if files.end is not None and files.end.status.is_final and files.end.epochs_done != len(files.epochs):
        files.end = None  # epochs are missing: the trial is trained again from what is left
    return files


def supersede(folder: Path, number: int) -> bool:
    """Move an ended trial aside, in one step, so that it can be trained anew; False where it has not ended.

    Args:
        number: of the superseded trainings of this trial, this one included.

    Raises:
        LedgerBusyError: another process works on this trial.
    """
    if not folder.is_dir():
        return False
    with exclusive_lock(folder / LOCK):
        if not trial_status(read_trial(folder)).is_final:
            return False
        folder.rename(folder.with_name(f"{folder.name}{SUPERSEDED}{number}"))
    return True


def superseded_trials(trials_folder: Path) -> dict[str, dict[int, Path]]:
    """Trial key -> the folders of its superseded trainings by their number, oldest first.

    In a remote store a training is put aside by copies (see remote_ledger): such a folder counts once
    the copy is whole and its original does not count any more.
    """
    found: dict[str, dict[int, Path]] = {}
    for folder in trials_folder.glob(f"*{SUPERSEDED}*"):
        key, _, number = folder.name.partition(SUPERSEDED)
        if number.isdecimal() and _is_whole_copy(folder, trials_folder / key):
            found.setdefault(key, {})[int(number)] = folder
    return {key: dict(sorted(folders.items())) for key, folders in found.items()}


def _is_whole_copy(folder: Path, original: Path) -> bool:
    """Whether it holds its result, and the original is not the same training."""
    if not (folder / RESULT).exists():
        return False
    is_same = all(_read_if_there(folder / name) == _read_if_there(original / name) for name in (RESULT, EPOCHS))
    return not (is_same and _read_config(original / CONFIG))


def _read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def read_standing(folder: Path) -> Standing:
    """What `read_trial` would find, for those who only count.

    Of a trial that has ended for good the last epoch alone is read: that the epochs before it are whole is
    seen by `read_trial` only.
    """
    config = _read_config(folder / CONFIG)
    end = _read_end(folder / RESULT) if config else None
    if end is not None and end.status.is_final and _last_epoch(folder / EPOCHS) == end.epochs_done:
        return Standing(config, end.epochs_done, end, _read_lines(folder / ATTEMPTS, Attempt))
    files = read_trial(folder)
    return Standing(files.config, files.epochs_done, files.end, files.attempts)


def trial_status(trial: TrialFiles | Standing) -> Status:
    return trial.end.status if trial.end else Status.INCOMPLETE


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


def _read_lines(path: Path, kind: type[Record]) -> list[Record]:
    """The records up to the first line that is torn or damaged."""
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    try:  # all at once: much faster than one by one
        values = json.loads(b"[%b]" % b",".join(lines))
        if len(values) == len(lines):
            return [kind(**value) for value in values]
    except (ValueError, TypeError):
        pass
    records = []
    with contextlib.suppress(ValueError, TypeError):
        for line in lines:
            records.append(kind(**json.loads(line)))
    return records


def _last_epoch(path: Path) -> int | None:
    """Number of the last epoch; 0 where the file is empty or missing, None where its last line is damaged."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return 0
    try:
        *_, line, torn = tail.split(b"\n")
        return None if torn else EpochRecord(**json.loads(line)).epoch
    except (ValueError, TypeError):
        return None if tail else 0


def _newest_checkpoint(folder: Path, num_epochs: int) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole and whose epochs are there; those that are not are deleted.

    Returns:
        It, and the names of files that were found damaged.
    """
    usable, damaged = [], []
    for name in CHECKPOINTS:
        path = folder / name
        if not path.exists():
            continue
        checkpoint = _read_checkpoint(path)
        if checkpoint is not None and checkpoint.epochs_done <= num_epochs:
            usable.append(checkpoint)
            continue
        damaged.append(name if checkpoint is None else EPOCHS)
        path.unlink()
    return max(usable, key=lambda checkpoint: checkpoint.epochs_done, default=None), damaged


def _damaged_records(folder: Path, files: TrialFiles) -> list[str]:
    """Names of the files that do not hold what was written. (A torn last line of epochs is no damage.)"""
    damaged = []
    path = folder / ATTEMPTS
    if path.exists() and len(path.read_bytes().splitlines()) != len(files.attempts):
        damaged.append(ATTEMPTS)
    end = _read_end(folder / RESULT)
    if end is None and (folder / RESULT).exists():
        damaged.append(RESULT)
    if end is not None and files.end is None:
        damaged.append(EPOCHS)
    return damaged


def _refuse_links(folder: Path) -> None:
    """A store may come from elsewhere: nothing in it makes us write outside of it.

    Raises:
        OSError: the folder is a symbolic link, or holds one.
    """
    for path in (folder, *folder.iterdir()):
        if path.is_symlink():
            raise OSError(errno.ELOOP, "a trial's folder and files must not be symbolic links", str(path))


def _read_checkpoint(path: Path) -> Checkpoint | None:
    try:
        return parse_checkpoint(path.read_bytes())
    except OSError:
        return None


def parse_checkpoint(content: bytes) -> Checkpoint | None:
    """What the file of a checkpoint, or of a final state, holds; None where it is damaged."""
    try:
        line, _, state = content.partition(b"\n")
        header = json.loads(line)
        if header["magic"] != CHECKPOINT_MAGIC or header["sha256"] != hashlib.sha256(state).hexdigest():
            return None
        return Checkpoint(int(header["epochs_done"]), state)
    except (ValueError, TypeError, KeyError):
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
