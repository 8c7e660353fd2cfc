"""Reading the folder of a trial, also while a process writes to it."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trainable.canonical import TRIAL_KEY_PATTERN
from trainable.config import TrainConfig
from trainable.decoding import decode
from trainable.ledger.checksums import has_checksum, is_torn, parse_json, stripped_lines, unsealed, verified
from trainable.ledger.files import (
    ATTEMPTS,
    CONFIG,
    EPOCHS,
    RESULT,
    SUPERSEDED,
    NotRegularError,
    open_to_read,
    read_regular,
)
from trainable.ledger.noticed import notice
from trainable.records import Attempt, EpochRecord, Status, TrialEnd, TrialFiles, TrialSummary

TAIL_BYTES = 4096
"""Number of bytes at the end of epochs.jsonl that are certain to hold its last line."""

Record = TypeVar("Record", EpochRecord, Attempt)


def read_trial(folder: Path) -> TrialFiles:
    """Read all records of a trial; each list of records ends at the first torn or damaged line."""
    files = _read_files(folder)
    _notice(folder, files.damage)
    return files


def _read_files(folder: Path) -> TrialFiles:
    config, key = _read_config(folder / CONFIG)
    files = TrialFiles(config=config)
    if not files.config:
        files.damage += _if_there(folder, CONFIG)
        return files
    files.end, is_sealed = _read_end(folder / RESULT, key)  # before the epochs: a living process may write both now
    epochs, damaged_line = _read_lines(folder / EPOCHS, EpochRecord, key, is_sealed=is_sealed)
    for number, record in enumerate(epochs, start=1):
        if record.epoch != number:
            damaged_line = number
            break
        files.epochs.append(record)
    if damaged_line is not None:
        files.damage.append(f"{EPOCHS}:{damaged_line}")
    attempts = _read_attempts(folder, key)
    files.attempts = attempts.records
    files.damage += attempts.damage
    if files.end is None:
        files.damage += _if_there(folder, RESULT) if read_end(folder / RESULT, key) is None else []
    elif files.end.status.is_final and files.end.epochs_done != len(files.epochs):
        files.end = None  # epochs are missing: the trial is trained again from what is left
        files.damage += [EPOCHS] * (damaged_line is None)
    return files


def read_summary(folder: Path) -> TrialSummary:
    """Read what `read_trial` reads, except for the epochs.

    If the trial has ended for good, only its last epoch is read, so damage to earlier epochs goes unnoticed here.
    """
    config, key = _read_config(folder / CONFIG)
    end, is_sealed = _read_end(folder / RESULT, key) if config else (None, False)
    if end is not None and end.status.is_final:
        with contextlib.suppress(ValueError):  # the last line is damaged
            last = _last_epoch(folder / EPOCHS, key, is_sealed=is_sealed)
            if (last.epoch if last else 0) == end.epochs_done:
                attempts = _read_attempts(folder, key)
                _notice(folder, attempts.damage)
                test, held_out = _errors(last)
                return TrialSummary(config, end.epochs_done, end, attempts.records, test, attempts.damage, held_out)
    files = read_trial(folder)
    test, held_out = _errors(files.epochs[-1] if files.epochs else None)
    return TrialSummary(files.config, files.epochs_done, files.end, files.attempts, test, files.damage, held_out)


def _errors(last: EpochRecord | None) -> tuple[float | None, float | None]:
    """Return the test error and the held-out error of the last epoch."""
    return (None, None) if last is None else (last.test_error_percent, last.holdout_error_percent)


def trial_status(trial: TrialFiles | TrialSummary) -> Status:
    """Return the status that the trial ended with, INCOMPLETE if it has not ended."""
    return trial.end.status if trial.end else Status.INCOMPLETE


def read_config(path: Path) -> dict[str, Any]:
    """Read config.json; the result is empty if the file is missing, damaged or of another trial than its folder."""
    return _read_config(path)[0]


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    """Return what `read_config` returns, and the trial's key; it is empty if the configuration is."""
    try:
        config: dict[str, Any] = unsealed(read_regular(path))
        key = decode(TrainConfig, config).trial_key
    except (FileNotFoundError, ValueError):
        return {}, ""
    name = path.parent.name.partition(SUPERSEDED)[0]
    is_named = TRIAL_KEY_PATTERN.fullmatch(name) is not None  # `train` works in any folder
    return ({}, "") if is_named and name != key else (config, key)


def read_end(path: Path, key: str) -> TrialEnd | None:
    """Read result.json; the result is None if the file is missing, damaged or of another trial."""
    return _read_end(path, key)[0]


def _read_end(path: Path, key: str) -> tuple[TrialEnd | None, bool]:
    """Return what `read_end` returns, and whether the trial ended for good in a version that writes checksums."""
    try:
        content = read_regular(path)
        end = decode(TrialEnd, unsealed(content, key))
    except (FileNotFoundError, ValueError):
        return None, False
    return end, end.status.is_final and has_checksum(content)


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The attempts on record, and the damage of their file."""

    records: list[Attempt]
    damage: list[str]


def _read_attempts(folder: Path, key: str) -> _Attempts:
    records, damaged_line = _read_lines(folder / ATTEMPTS, Attempt, key, is_atomic=True)
    return _Attempts(records, [] if damaged_line is None else [f"{ATTEMPTS}:{damaged_line}"])


def _read_lines(
    path: Path, kind: type[Record], key: str, *, is_atomic: bool = False, is_sealed: bool = False
) -> tuple[list[Record], int | None]:
    """Read the records up to the first line that is torn or damaged.

    Args:
        is_atomic: the file is written as a whole, so that a torn last line is damage, too.
        is_sealed: a line without a checksum is damaged.

    Returns:
        The records, and the number of the damaged line; None if there is none.
    """
    try:
        *lines, torn = read_regular(path).split(b"\n")
    except FileNotFoundError:
        return [], None
    except NotRegularError:
        return [], 1
    torn_line = len(lines) + 1 if torn and (is_atomic or not is_torn(torn)) else None
    if stripped := stripped_lines(lines, is_sealed=is_sealed):
        torn_line = stripped[0]
        del lines[torn_line - 1 :]
    with contextlib.suppress(ValueError):  # parsing all lines together is much faster
        values = parse_json(b"[%b]" % b",".join([verified(line, key) for line in lines]))
        if len(values) == len(lines):
            return [decode(kind, value) for value in values], torn_line
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(decode(kind, unsealed(line, key)))
        except ValueError:
            return records, number
    return records, torn_line


def _notice(folder: Path, damage: list[str]) -> None:
    for name in damage:
        notice(f"{folder.parent.name}/{folder.name}/{name}")


def _if_there(folder: Path, name: str) -> list[str]:
    """Return the name of a file that cannot be read, unless there is no such file."""
    return [name] if (folder / name).exists() else []


def _last_epoch(path: Path, key: str, *, is_sealed: bool) -> EpochRecord | None:
    """Return the record of the last epoch, None if the file is empty or missing.

    Raises:
        ValueError: the last line is damaged.
    """
    try:
        with open_to_read(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return None
    if not tail:
        return None
    *_, line, torn = tail.split(b"\n")
    if torn or (is_sealed and not has_checksum(line)):
        raise ValueError("torn line, or one that has lost its checksum")
    return decode(EpochRecord, unsealed(line, key))
