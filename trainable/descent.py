"""Trials that go on from the last state of another: whose state it is, and how it is got back where it was lost."""

import contextlib
import functools
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from trainable.config import TrainConfig
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote_ledger import RemoteFolder, read_final_state
from trainable.session import CHECKPOINT_SHARE, RunInfo, TrialSession
from trainable.splits import TrialData

BUSY_POLL_SECONDS = 0.2


def open_session(
    config: TrainConfig,
    ancestors: Sequence[TrainConfig],
    data: TrialData,
    folder: Path | RemoteFolder,
    device: torch.device,
    run: RunInfo,
    checkpoint_share: float = CHECKPOINT_SHARE,
) -> TrialSession:
    """The session of a trial.

    Args:
        ancestors: whose trainings it goes on from, the first first, its parent last; all on the same `data`.
        folder: of the trial; those of its ancestors are its neighbours.

    Raises:
        LedgerBusyError: another process works on this trial.
        RemoteError: a remote store does not answer, or refuses.
    """
    parent_state = functools.partial(final_state, ancestors, data, folder, device, run) if ancestors else None
    return TrialSession(config, data, folder, device, run, checkpoint_share, parent_state)


def final_state(
    ancestors: Sequence[TrainConfig],
    data: TrialData,
    neighbour: Path | RemoteFolder,
    device: torch.device,
    run: RunInfo,
) -> tuple[bytes, str | None]:
    """The last state of the last of these, which is trained again where its state is missing or damaged.

    Args:
        neighbour: a folder beside theirs.

    Returns:
        It, and what a person should be told.

    Raises:
        Exception: whatever that training raised.
    """
    *earlier, parent = ancestors
    folder = neighbour.with_name(parent.trial_key)
    note = None
    while True:
        state = read_final_state(folder, parent.epochs)
        if state is not None:
            return state, note
        if note is not None:
            raise RuntimeError(f"the last state of {parent.trial_key} cannot be kept: it is damaged again")
        try:
            session = open_session(parent, earlier, data, folder, device, run)
        except LedgerBusyError:  # another one that goes on from there trains it again, or has just done so
            time.sleep(BUSY_POLL_SECONDS)
            continue
        with contextlib.closing(session):
            is_same = session.recover_final_state()
        note = f"the last state of {parent.trial_key}, from which it goes on, was missing or damaged: trained again"
        note += "" if is_same else ", with other figures than those recorded"
