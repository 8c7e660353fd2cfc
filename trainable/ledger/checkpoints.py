"""The files of a trial that hold a state of training: a header line with a checksum, then the state."""

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from trainable.decoding import Count, decode
from trainable.ledger.checksums import sealed, unsealed
from trainable.ledger.files import CHECKPOINTS, EPOCHS, open_to_read, read_regular, sync_folder

MAGIC: Final = "batchscape-checkpoint-1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of training, and the number of epochs that had been written when it was taken."""

    epochs_done: int
    state: bytes


@dataclass(frozen=True, slots=True)
class _Header:
    """The first line of the file."""

    magic: Literal["batchscape-checkpoint-1"]
    epochs_done: Count
    sha256: str
    """Checksum of the state."""


def checkpoint_content(checkpoint: Checkpoint, key: str) -> bytes:
    """Return the content of the file that holds this checkpoint or final state of the trial with this key."""
    header = _Header(MAGIC, checkpoint.epochs_done, hashlib.sha256(checkpoint.state).hexdigest())
    return sealed(asdict(header), key) + checkpoint.state


def parse_checkpoint(content: bytes, key: str) -> Checkpoint | None:
    """Return the checkpoint or final state in the content of a file, None if it is damaged or of another trial."""
    line, _, state = content.partition(b"\n")
    try:
        header = decode(_Header, unsealed(line, key))
    except ValueError:
        return None
    is_whole = header.sha256 == hashlib.sha256(state).hexdigest()
    return Checkpoint(header.epochs_done, state) if is_whole else None


def read_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """Return the checkpoint in a file, None if the file is missing, damaged or of another trial."""
    try:
        return parse_checkpoint(read_regular(path), key)
    except OSError:
        return None


def newest_checkpoint(folder: Path, num_epochs: int, key: str) -> tuple[Checkpoint | None, list[str]]:
    """Find the newest checkpoint that is whole and whose epochs are on record; delete the unusable ones.

    Returns:
        The checkpoint, and the names of the files that were found damaged.
    """
    usable, damaged = [], []
    for name in CHECKPOINTS:
        path = folder / name
        if not path.exists():
            continue
        checkpoint = read_checkpoint(path, key)
        if checkpoint is not None and checkpoint.epochs_done <= num_epochs:
            usable.append(checkpoint)
            continue
        damaged.append(name if checkpoint is None else EPOCHS)
        path.unlink()
    if damaged:
        sync_folder(folder)  # none may come back once epochs have been trained again
    return max(usable, key=lambda checkpoint: checkpoint.epochs_done, default=None), damaged


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a trial that needs no more training; those that cannot be deleted do no harm."""
    for name in CHECKPOINTS:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def older_checkpoint(folder: Path, key: str) -> str:
    """Return the name of the checkpoint file that the next checkpoint replaces."""
    return min(CHECKPOINTS, key=lambda name: _epochs_in_header(folder / name, key))


def _epochs_in_header(path: Path, key: str) -> int:
    """Return the number of epochs that the header claims, -1 if there is no whole one."""
    try:
        with open_to_read(path) as file:
            return decode(_Header, unsealed(file.readline(), key)).epochs_done
    except (OSError, ValueError):
        return -1
