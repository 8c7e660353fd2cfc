"""The files of a trial that hold a state of training: a header line with a checksum, then the state."""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from trainable.ledger.files import CHECKPOINTS, EPOCHS, json_line

MAGIC = "batchscape-checkpoint-1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of training, and the number of epochs that had been written when it was taken."""

    epochs_done: int
    state: bytes


def checkpoint_content(checkpoint: Checkpoint) -> bytes:
    """Return the content of the file that holds this checkpoint or final state."""
    sha256 = hashlib.sha256(checkpoint.state).hexdigest()
    header = {"magic": MAGIC, "epochs_done": checkpoint.epochs_done, "sha256": sha256}
    return json_line(header) + checkpoint.state


def parse_checkpoint(content: bytes) -> Checkpoint | None:
    """Return the checkpoint or final state in the content of a file, None if it is damaged."""
    try:
        line, _, state = content.partition(b"\n")
        header = json.loads(line)
        if header["magic"] != MAGIC or header["sha256"] != hashlib.sha256(state).hexdigest():
            return None
        return Checkpoint(int(header["epochs_done"]), state)
    except (ValueError, TypeError, KeyError):
        return None


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the checkpoint in a file, None if the file is missing or damaged."""
    try:
        return parse_checkpoint(path.read_bytes())
    except OSError:
        return None


def newest_checkpoint(folder: Path, num_epochs: int) -> tuple[Checkpoint | None, list[str]]:
    """Find the newest checkpoint that is whole and whose epochs are on record; delete the unusable ones.

    Returns:
        The checkpoint, and the names of the files that were found damaged.
    """
    usable, damaged = [], []
    for name in CHECKPOINTS:
        path = folder / name
        if not path.exists():
            continue
        checkpoint = read_checkpoint(path)
        if checkpoint is not None and checkpoint.epochs_done <= num_epochs:
            usable.append(checkpoint)
            continue
        damaged.append(name if checkpoint is None else EPOCHS)
        path.unlink()
    return max(usable, key=lambda checkpoint: checkpoint.epochs_done, default=None), damaged


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a trial that needs no more training; those that cannot be deleted do no harm."""
    for name in CHECKPOINTS:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def older_checkpoint(folder: Path) -> str:
    """Return the name of the checkpoint file that the next checkpoint replaces."""
    return min(CHECKPOINTS, key=lambda name: _epochs_in_header(folder / name))


def _epochs_in_header(path: Path) -> int:
    """Return the number of epochs that the header claims, -1 if there is none."""
    try:
        with path.open("rb") as file:
            return int(json.loads(file.readline())["epochs_done"])
    except (OSError, ValueError, TypeError, KeyError):
        return -1
