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
    if end is not None and end.status.is_final:
        with contextlib.suppress(ValueError, TypeError):  # the last line is damaged
            last = _last_epoch(folder / EPOCHS)
            if (last.epoch if last else 0) == end.epochs_done:
                attempts = _read_lines(folder / ATTEMPTS, Attempt)
                return TrialSummary(config, end.epochs_done, end, attempts, last.test_error_percent if last else None)
    files = read_trial(folder)
    error = files.epochs[-1].test_error_percent if files.epochs else None
    return TrialSummary(files.config, files.epochs_done, files.end, files.attempts, error)


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


def _last_epoch(path: Path) -> EpochRecord | None:
    """Return the record of the last epoch, None if the file is empty or missing.

    Raises:
        ValueError, TypeError: the last line is damaged.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return None
    if not tail:
        return None
    *_, line, torn = tail.split(b"\n")
    if torn:
        raise ValueError("torn line")
    return EpochRecord(**json.loads(line))
