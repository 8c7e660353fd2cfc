"""The files in the folder of one trial, and how they are written.

    trials/<key>/config.json        the configuration that is trained
                 attempts.jsonl     one line for each process that worked on the trial
                 epochs.jsonl       one line for each epoch, append only
                 checkpoint-0, -1   the last two checkpoints, each with a checksum and its number of epochs
                 final-state        the state after the last epoch, in the format of a checkpoint; written only for
                                    trials that others may continue from
                 result.json        how the trial ended; written atomically, and only then
                 log-<n>.txt        the end of what attempt n wrote (see trainable.ledger.trial_log)
                 lock               held (flock) by the writing process; freed by the kernel when that process dies
    trials/<key>.superseded-<n>/    the same files of the n-th training that `run --again` has replaced

This package uses the standard library only (pyarrow where the store is remote): workers write the files, and
`results` reads them.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"
ATTEMPTS = "attempts.jsonl"
EPOCHS = "epochs.jsonl"
RESULT = "result.json"
LOCK = "lock"
TENSORBOARD = "tensorboard"
SUPERSEDED = ".superseded-"
CHECKPOINTS = ("checkpoint-0", "checkpoint-1")
FINAL_STATE = "final-state"
_SCRATCH = re.compile(r"\..+\.\d+")


def json_line(values: Mapping[str, Any]) -> bytes:
    """Return the values as one line of JSON."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash at any moment, sees either the old or the new content as a whole."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:  # above all a full disk
        scratch.unlink(missing_ok=True)
        raise


def remove_scratch(folder: Path) -> None:
    """Delete half-written files that killed processes left. Only the holder of the folder's lock may do this."""
    for path in folder.iterdir():
        if _SCRATCH.fullmatch(path.name):
            path.unlink(missing_ok=True)
