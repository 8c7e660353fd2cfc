"""Reading the folder of a trial, also while a process writes to it."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from trainable.ledger.files import ATTEMPTS, CONFIG, EPOCHS, RESULT
from trainable.records import Attempt, EpochRecord, Status, TrialEnd, TrialFiles, TrialSummary

TAIL_BYTES = 4096
"""Number of bytes at the end of epochs.jsonl that are certain to hold its last line."""

Record = TypeVar("Record", EpochRecord, Attempt)


def read_trial(folder: Path) -> TrialFiles:
    """Read all records of a trial; each list of records ends at the first torn or damaged line."""
    files = TrialFiles()
    files.config = read_config(folder / CONFIG)
    if not files.config:
        return files
    for number, record in enumerate(_read_lines(folder / EPOCHS, EpochRecord), start=1):
        if record.epoch != number:
            break
        files.epochs.append(record)
    files.attempts = _read_lines(folder / ATTEMPTS, Attempt)
    files.end = read_end(folder / RESULT)
    if files.end is not None and files.end.status.is_final and files.end.epochs_done != len(files.epochs):
        files.end = None  # epochs are missing: the trial is trained again from what is left
    return files


def read_summary(folder: Path) -> TrialSummary:
    """Read what `read_trial` reads, except for the epochs.

    If the trial has ended for good, only its last epoch is read, so damage to earlier epochs goes unnoticed here.
    """
    config = read_config(folder / CONFIG)
    end = read_end(folder / RESULT) if config else None
    if end is not None and end.status.is_final and _last_epoch(folder / EPOCHS) == end.epochs_done:
        return TrialSummary(config, end.epochs_done, end, _read_lines(folder / ATTEMPTS, Attempt))
    files = read_trial(folder)
    return TrialSummary(files.config, files.epochs_done, files.end, files.attempts)


def trial_status(trial: TrialFiles | TrialSummary) -> Status:
    """Return the status that the trial ended with, INCOMPLETE if it has not ended."""
    return trial.end.status if trial.end else Status.INCOMPLETE


def read_config(path: Path) -> dict[str, Any]:
    """Read config.json; the result is empty if the file is missing or damaged."""
    try:
        config = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def read_end(path: Path) -> TrialEnd | None:
    """Read result.json; the result is None if the file is missing or damaged."""
    try:
        values = json.loads(path.read_bytes())
        return TrialEnd(**{**values, "status": Status(values["status"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _read_lines(path: Path, kind: type[Record]) -> list[Record]:
    """Read the records up to the first line that is torn or damaged."""
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    try:  # parsing all lines together is much faster
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
    """Return the number of the last epoch, 0 if the file is empty or missing, None if its last line is damaged."""
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
