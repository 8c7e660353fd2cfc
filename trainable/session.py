"""The work of one process on one trial: replay its ledger, resume from its checkpoint, record new epochs."""

import contextlib
import dataclasses
import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from pickle import UnpicklingError

import torch

from models.user_code import UserCodeError
from trainable import provenance
from trainable.config import TrainConfig
from trainable.device import device_name, peak_memory_bytes, reset_peak_memory
from trainable.engine import OnStep
from trainable.execution import DEFAULT_EXECUTION, Execution
from trainable.heartbeat import end_process
from trainable.ledger.files import TENSORBOARD
from trainable.ledger.filesystems import is_lasting
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import RemoteError
from trainable.ledger.remote_ledger import RemoteFolder, open_ledger, read_final_state
from trainable.ledger.trial_log import TrialLog, append, log_name
from trainable.records import Attempt, Progress, Status, TrialEnd
from trainable.saved_weights import saved_weights
from trainable.side_by_side import Turns, is_lost
from trainable.splits import TrialData
from trainable.tensorboard import TrialEvents
from trainable.training import EpochOutcome, Training
from trainable.wording import one_line

CHECKPOINT_SHARE = 0.02
"""Largest share of the training time that checkpoints may take."""
FIRST_CHECKPOINT_SECONDS = 0.05
"""Assumed cost of a checkpoint until the first one has been measured."""
REPORTED_CHANGES = ("code", "versions", "device", "num_threads", "precision_resolved", "execution")
"""Fields of an attempt that may change the results of a resumed trial; the user is told if they differ."""
REPEATABLE_FIELDS = ("train_loss", "holdout_loss", "test_loss", "gradient_norm")
"""Fields of an epoch that are equal if the same training is done again."""

ParentState = Callable[[], tuple[bytes, str | None]]
"""Returns the state that a trial begins with, and a note for the user on how it was obtained (or None)."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What all processes of one run of the driver have in common."""

    run_id: str
    num_threads: int
    """Number of CPU threads that torch uses."""
    code: str
    """Identity of the driver's source code: git commit and source hash."""
    execution: Execution = DEFAULT_EXECUTION
    sweep: str | None = None
    """Name of the sweep; None if a trial is trained alone."""
    keep_final_state: bool = False
    """Whether to keep the final state of each trial, because other trials may continue from it."""
    keep_weights: bool = False
    """Whether completed trials write their weights; the driver deletes those that no sweep keeps."""
    keep_output: bool = False
    """Whether the standard output and error of the processes go into the logs of the trials."""
    gpus: float = 0.0
    """Number of GPUs given to the trial, below 1 for a share of one."""
    node: str | None = None
    """IP address of the node; None without Ray."""
    checkpoint_share: float = CHECKPOINT_SHARE
    """Largest share of the training time that checkpoints may take; infinity writes one after every epoch."""
    store_id: str | None = None
    """Identity of the store, if it is a folder: no process works in another place. None to work anywhere."""


class TrialSession:
    """An open trial: call `next_epoch` until the trial has ended, then `close`. It holds the trial's lock."""

    def __init__(
        self,
        config: TrainConfig,
        data: TrialData,
        folder: Path | RemoteFolder,
        device: torch.device,
        run: RunInfo,
        parent_state: ParentState | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Open the ledger of the trial.

        Args:
            data: the data set, cut as the configuration says.
            parent_state: called if the trial has a parent and begins from its state.
            turns: those of all trainings of this process; None if there are no others.

        Raises:
            LedgerBusyError: another process works on this trial.
            RemoteError: a remote store does not answer, or refuses.
            OSError: the folder cannot be written, or does not lie in the run's store.
        """
        self._config = config
        self._data = data
        self._device = device
        self._run = run
        self._parent_state = parent_state
        self._turns = turns or Turns()
        self._folder = folder
        self._ledger = open_ledger(folder, config.to_dict(), run.store_id)
        if not self._has_ended():
            self._ledger.rewind()
        self.epochs_reported = 0
        """Number of epochs that `next_epoch` has returned."""
        damage = self._damage()
        self._notes = [] if damage is None else [damage]
        self._training: Training | None = None
        self._events: TrialEvents | None = None
        self._log = TrialLog(self._ledger.folder, len(self._ledger.attempts) + 1)
        self._checkpoint_seconds = FIRST_CHECKPOINT_SECONDS
        self._checkpointed_at = time.perf_counter()

    def next_epoch(self, on_step: OnStep | None = None) -> Progress:
        """Replay the ledger's next epoch, or train an epoch and record it.

        Raises:
            Exception: whatever the training raised; it has been recorded as the failure of the trial, unless the
                file system is full or the like (`is_lasting`).
        """
        if self.epochs_reported < len(self._ledger.epochs) or self._has_ended():
            return self._replay()
        try:
            if (training := self._training) is None:
                with self._turns.alone():
                    training = self._begin()
            with self._turns.together():
                outcome = training.run_epoch(self._ledger.attempts[-1].attempt, self._turns.giving_way(on_step))
                self._log.trim()
                return self._record(training, outcome)
        except Exception as error:
            if self._run.execution.streams and is_lost(self._device, self._turns):
                end_process(os.getpid())  # this trial's fault or another's: each resumes in a process of its own
            self._log.close()
            if is_lasting(error):  # not the trial's failure: the next run resumes it
                raise
            append(self._log.path, traceback.format_exc().replace(f"{provenance.ROOT}/", ""))
            with contextlib.suppress(OSError, RemoteError):  # a full disk cannot record that it is full
                self._finish(Status.FAILED, error=str(error) if isinstance(error, UserCodeError) else one_line(error))
            raise

    def recover_final_state(self) -> bool:
        """Train the missing epochs, or all of them again, so that the ledger holds the state after the last epoch.

        Returns:
            Whether the last epoch has the same figures as the recorded one.

        Raises:
            RuntimeError: the training diverges this time.
        """
        while not self._has_ended():
            self.next_epoch()
        if read_final_state(self._folder, self._config.trial_key, self._config.epochs) is not None:
            return True
        training = self._new_training()
        self._begin_from_parent(training)
        outcome: EpochOutcome | None = None
        while not training.finished and not (outcome and outcome.diverged):
            outcome = training.run_epoch(len(self._ledger.attempts))
        if outcome is None or outcome.diverged:
            raise RuntimeError("it diverges when it is trained again")
        self._ledger.save_final_state(training.state())
        recorded = self._ledger.epochs[-1] if self._ledger.epochs else None
        return all(getattr(recorded, name, None) == getattr(outcome.record, name) for name in REPEATABLE_FIELDS)

    def save_checkpoint(self) -> None:
        """Write a checkpoint now, however long it takes."""
        if self._training is not None and not self._has_ended():
            self._ledger.save_checkpoint(self._training.state())

    def close(self) -> None:
        """Release the trial for other processes."""
        self._log.close()
        try:
            self._close_events()
        finally:
            self._ledger.close()

    def _has_ended(self) -> bool:
        """Return whether this run has nothing left to do. After a failure that holds until the next run."""
        end = self._ledger.end
        return end is not None and (end.status.is_final or end.run_id == self._run.run_id)

    def _replay(self) -> Progress:
        records = self._ledger.epochs
        record = records[self.epochs_reported] if self.epochs_reported < len(records) else None
        self.epochs_reported += 1
        end = self._ledger.end
        if end is not None and self._has_ended() and self.epochs_reported >= len(records):
            return Progress(record, end.status, replayed=True, error=end.error, note=self._take_note())
        return Progress(record, Status.INCOMPLETE, replayed=True, note=self._take_note())

    def _begin(self) -> Training:
        is_only = not self._run.execution.streams  # the output and the peak are those of the process
        if self._run.keep_output and is_only:
            self._log.start()
        if is_only:
            reset_peak_memory(self._device)
        number = len(self._ledger.attempts) + 1
        try:
            training = self._new_training()
        except Exception:
            self._ledger.begin(_attempt(number, self._run, device_name(self._device), precision="", execution=""))
            raise
        attempt = _attempt(
            number,
            self._run,
            device_name(self._device),
            training.precision.name,
            str(training.execution),
            self._damage(),
        )
        self._ledger.begin(attempt)
        training = self._restored(training)
        damage = self._damage()
        if damage is not None and damage != attempt.damage:
            self._ledger.amend(dataclasses.replace(attempt, damage=damage))
            self._notes = [damage, *(note for note in self._notes if note != attempt.damage)]
        self._note_changes(attempt)
        self._events = TrialEvents(self._ledger.folder / TENSORBOARD, training.epochs_done, number)
        self._training = training
        self._checkpointed_at = time.perf_counter()
        return training

    def _new_training(self) -> Training:
        return Training(self._config, self._data, self._device, self._run.execution)

    def _restored(self, training: Training) -> Training:
        """Return the training at the newest checkpoint that this code can load, else at its beginning."""
        while (checkpoint := self._ledger.checkpoint) is not None:
            try:
                training.load_state(checkpoint.state)
                if training.epochs_done == checkpoint.epochs_done:
                    return training
            except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, UnpicklingError):
                pass
            self._ledger.reject_checkpoint()
            self.epochs_reported = min(self.epochs_reported, len(self._ledger.epochs))
            training = self._new_training()  # the old one may be half loaded
        self._begin_from_parent(training)
        return training

    def _begin_from_parent(self, training: Training) -> None:
        """Load the parent's final state; a trial without a parent is left as it is."""
        if self._config.parent is None:
            return
        if self._parent_state is None:
            raise RuntimeError(f"it continues from trial {self._config.parent}: only its search can train it")
        state, note = self._parent_state()
        training.begin_from(state)
        self._notes += [] if note is None else [note]

    def _record(self, training: Training, outcome: EpochOutcome) -> Progress:
        self._ledger.append(outcome.record)
        self.epochs_reported += 1
        if self._events is not None:
            self._events.add_epoch(outcome.record)
        status = Status.INCOMPLETE
        if outcome.diverged:
            status = Status.DIVERGED
        elif training.finished:
            status = Status.COMPLETE
        if status is Status.COMPLETE and self._run.keep_final_state:
            self._ledger.save_final_state(training.state())
        if status is Status.COMPLETE and self._run.keep_weights:
            self._ledger.save_weights(saved_weights(training, outcome.record))
        if status is Status.INCOMPLETE:
            self._checkpoint_when_due(training)
        else:
            self._finish(status, bits=outcome.test_correct_bits)
        return Progress(outcome.record, status, replayed=False, note=self._take_note())

    def _checkpoint_when_due(self, training: Training) -> None:
        started = time.perf_counter()
        if (started - self._checkpointed_at) * self._run.checkpoint_share < self._checkpoint_seconds:
            return
        self._ledger.save_checkpoint(training.state())
        self._checkpointed_at = time.perf_counter()
        self._checkpoint_seconds = self._checkpointed_at - started

    def _finish(self, status: Status, *, bits: str | None = None, error: str | None = None) -> None:
        peak_memory = None if self._run.execution.streams else peak_memory_bytes(self._device)
        self._log.close()
        if self._events is not None and self._ledger.epochs:
            self._events.add_hparams(self._config, self._ledger.epochs[-1])
        self._close_events()  # before the end is recorded, since this can fail
        self._ledger.finish(_end(status, self._ledger, self._run, error=error, peak_memory=peak_memory, bits=bits))

    def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()

    def _damage(self) -> str | None:
        """Return what was found damaged and where the trial resumed; None if nothing was."""
        if not self._ledger.damage:
            return None
        files = ", ".join(self._ledger.damage)
        if self._has_ended():
            return f"damaged and written again: {files}"
        epochs_done = len(self._ledger.epochs)
        return f"damaged: {files}; " + (f"resumed after epoch {epochs_done}" if epochs_done else "started again")

    def _note_changes(self, attempt: Attempt) -> None:
        """Add a note if the epochs on record were trained by other code, on another device and so on."""
        if not self._ledger.epochs:
            return
        last_attempt = self._ledger.epochs[-1].attempt
        for before in self._ledger.attempts[:-1]:
            changes = [name for name in REPORTED_CHANGES if getattr(before, name) != getattr(attempt, name)]
            if before.attempt == last_attempt and changes:
                self._notes.append(f"resumes with other {' and '.join(changes)} than its first epochs")

    def _take_note(self) -> str | None:
        notes, self._notes = self._notes, []
        return "; ".join(notes) or None


def record_failure(
    folder: Path | RemoteFolder, config: TrainConfig, run: RunInfo, error: str, details: str = ""
) -> bool:
    """Record, in the driver, the failure of a trial whose process could not do so.

    Returns:
        Whether the failure is on record now.
    """
    try:
        with open_ledger(folder, config.to_dict(), run.store_id) as ledger:
            if ledger.end is not None and (ledger.end.status.is_final or ledger.end.run_id == run.run_id):
                return True
            if not ledger.attempts or ledger.attempts[-1].run_id != run.run_id:
                ledger.begin(_attempt(len(ledger.attempts) + 1, run, device="", precision="", execution=""))
            if details:
                append(ledger.folder / log_name(len(ledger.attempts)), details)
            ledger.finish(_end(Status.FAILED, ledger, run, error=error))
            return True
    except LedgerBusyError:
        return False  # a process that outlived its driver still trains and will record the end itself
    except (OSError, RemoteError):
        return False  # a full disk or no store: the trial stays INCOMPLETE, and the driver says what it cannot write


def _attempt(
    number: int, run: RunInfo, device: str, precision: str, execution: str, damage: str | None = None
) -> Attempt:
    return Attempt(
        attempt=number,
        start_time=_now(),
        run_id=run.run_id,
        host=platform.node(),
        device=device,
        num_threads=run.num_threads,
        precision_resolved=precision,
        versions=provenance.versions(),
        code=run.code,
        execution=execution,
        sweep=run.sweep,
        damage=damage,
        gpus=run.gpus,
        node=run.node,
    )


def _end(
    status: Status,
    ledger: Ledger,
    run: RunInfo,
    *,
    error: str | None = None,
    peak_memory: int | None = None,
    bits: str | None = None,
) -> TrialEnd:
    return TrialEnd(
        status=status,
        epochs_done=len(ledger.epochs),
        end_time=max([_now(), *(attempt.start_time for attempt in ledger.attempts)]),  # clocks may be set back
        run_id=run.run_id,
        error=error,
        peak_memory_bytes=peak_memory,
        test_correct_bits=bits,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
