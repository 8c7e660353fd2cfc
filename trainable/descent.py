"""Trials that continue from the final state of another trial, and how a lost state is trained again."""

import contextlib
import functools
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from trainable.config import TrainConfig
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote_ledger import RemoteFolder, read_final_state
from trainable.session import RunInfo, TrialSession
from trainable.side_by_side import Turns
from trainable.splits import TrialData

BUSY_POLL_SECONDS = 0.2


def open_session(
    config: TrainConfig,
    ancestors: Sequence[TrainConfig],
    data: TrialData,
    folder: Path | RemoteFolder,
    device: torch.device,
    run: RunInfo,
    turns: Turns | None = None,
) -> TrialSession:
    """Open the session of a trial.

    Args:
        ancestors: the configurations that the trial descends from, the oldest first and its parent last; empty for
            most trials.
        data: the data set, cut as all these configurations say.
        folder: the folder of the trial; the folders of its ancestors are beside it.
        turns: those of all trainings of this process; None if there are no others.

    Raises:
        LedgerBusyError: another process works on this trial.
        RemoteError: a remote store does not answer, or refuses.
    """
    parent_state = functools.partial(final_state, ancestors, data, folder, device, run) if ancestors else None
    return TrialSession(config, data, folder, device, run, parent_state, turns)


def final_state(
    ancestors: Sequence[TrainConfig],
    data: TrialData,
    neighbour: Path | RemoteFolder,
    device: torch.device,
    run: RunInfo,
) -> tuple[bytes, str | None]:
    """Return the final state of the last ancestor, which is trained again if its state is missing or damaged.

    Args:
        ancestors: the configurations in the order of descent.
        data: the data set, cut as all these configurations say.
        neighbour: a folder beside those of the ancestors.

    Returns:
        The state, and a note for the user if it had to be trained again.

    Raises:
        Exception: whatever that training raised.
    """
    *earlier, parent = ancestors
    folder = neighbour.with_name(parent.trial_key)
    note = None
    while True:
        state = read_final_state(folder, parent.trial_key, parent.epochs)
        if state is not None:
            return state, note
        if note is not None:
            raise RuntimeError(f"the final state of {parent.trial_key} cannot be stored: it is damaged again")
        try:
            session = open_session(parent, earlier, data, folder, device, run)
        except LedgerBusyError:  # another descendant is training it again, or has just done so
            time.sleep(BUSY_POLL_SECONDS)
            continue
        with contextlib.closing(session):
            is_same = session.recover_final_state()
        note = f"the final state of its parent {parent.trial_key} was missing or damaged: trained again"
        note += "" if is_same else ", with other results than those on record"
