"""Trials that have ended: what killed processes left of them, and trainings that `run --again` has replaced.

The folder of a replaced training is renamed, nothing is deleted.
"""

import contextlib
from pathlib import Path

from trainable.ledger.checkpoints import remove_checkpoints
from trainable.ledger.files import CHECKPOINTS, CONFIG, EPOCHS, LOCK, RESULT, SUPERSEDED, read_regular, sync_folder
from trainable.ledger.locks import LedgerBusyError, exclusive_lock
from trainable.ledger.reading import read_config, read_trial, trial_status


def supersede(folder: Path, number: int) -> bool:
    """Rename the folder of a trial that has ended, in one step, so that the trial can be trained again.

    Args:
        number: the number of superseded trainings of this trial, including this one.

    Returns:
        False if the trial has not ended for good; nothing is done then.

    Raises:
        LedgerBusyError: another process works on this trial.
    """
    if folder.is_symlink() or not folder.is_dir():
        return False
    with exclusive_lock(folder / LOCK):
        if not trial_status(read_trial(folder)).is_final:
            return False
        sync_folder(folder)
        remove_checkpoints(folder)
        folder.rename(folder.with_name(f"{folder.name}{SUPERSEDED}{number}"))
        sync_folder(folder.parent)  # or a power cut could undo it after the next training has begun
    return True


def drop_checkpoints(folder: Path) -> None:
    """Delete checkpoints that a killed process left in the folder of a trial that has ended for good."""

    def are_left() -> bool:
        return any((folder / name).exists() for name in CHECKPOINTS) and trial_status(read_trial(folder)).is_final

    with contextlib.suppress(OSError, LedgerBusyError):
        if not folder.is_symlink() and are_left():
            with exclusive_lock(folder / LOCK):
                if are_left():  # it may be retrained since
                    sync_folder(folder)  # the result must survive the checkpoints
                    remove_checkpoints(folder)


def superseded_trials(trials_folder: Path) -> dict[str, dict[int, Path]]:
    """Map each trial key to the folders of its superseded trainings by their number, the oldest first.

    In a remote store the files are copied instead (see `RemoteLedger.supersede`). Such a copy counts
    once it is complete and the original no longer counts.
    """
    found: dict[str, dict[int, Path]] = {}
    for folder in trials_folder.glob(f"*{SUPERSEDED}*"):
        key, _, number = folder.name.partition(SUPERSEDED)
        if number.isdecimal() and _is_complete_copy(folder, trials_folder / key):
            found.setdefault(key, {})[int(number)] = folder
    return {key: dict(sorted(folders.items())) for key, folders in found.items()}


def _is_complete_copy(folder: Path, original: Path) -> bool:
    """Return whether the folder holds its result, and the original folder does not hold the same training."""
    if not (folder / RESULT).exists():
        return False
    is_same = all(_read_if_there(folder / name) == _read_if_there(original / name) for name in (RESULT, EPOCHS))
    return not (is_same and read_config(original / CONFIG))


def _read_if_there(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None
