"""Passes on to the observers what Ray Tune reports, and says why a trial failed."""

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from models.costs import num_weights
from results.store.store import Store
from sweep.driver.search_plugins import NotPickled, SearchSteps
from sweep.driver.stop_request import StopRequest
from sweep.driver.supervision import Supervision
from sweep.observers.observer import Observer
from trainable.errors import RunEndedError, SweepLostError, UserError
from trainable.ledger.files import CHECKPOINTS
from trainable.ledger.filesystems import cannot_write, trouble_text
from trainable.ledger.remote import RemoteError
from trainable.ledger.trial_log import MAX_BYTES
from trainable.records import Progress, Status
from trainable.session import record_failure
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import SHARE, TRIAL_KEY, config_of, from_report, share_of

PROCESS_DIED = "the trial's process died: it was killed, or its memory was not enough"
BYTES_PER_WEIGHT, CHECKPOINT_SPARE_BYTES, EPOCH_BYTES = 8, 2**17, 512
"""Size of a weight with its momentum, and at most of what else is in a checkpoint and of a line of `epochs.jsonl`."""
ANSI_STYLE = re.compile(r"\x1b\[[\d;]*m")
FAILURE = "Failure # "
"""The words with which Tune begins its text on each failure of a trial."""


class StoppedError(Exception):
    """Ends a run whose stop was requested while trials run.

    After an Exception, unlike a KeyboardInterrupt, Tune gives trials some ten seconds to finish their epoch and write
    a checkpoint, and kills those that take longer.
    """


class ObserverCallback(NotPickled, tune.Callback):  # type: ignore[misc] # Ray's class is untyped here
    """Tells the observers what Tune reports, and records failures.

    It ends the run when a stop was requested or the store has gone.
    """

    def __init__(
        self,
        observers: Sequence[Observer],
        setup: TrialSetup,
        store: Store,
        stop: StopRequest,
        steps: SearchSteps | None,
        supervision: Supervision | None = None,
    ) -> None:
        self._observers = observers
        self._setup = setup
        self._store = store
        self._stop = stop
        self._steps = steps
        self._supervision = supervision
        self._store_error: RunEndedError | None = None
        """What ends the run if the store cannot be written any more."""

    def setup(self, **info: object) -> None:
        self._stop.take_signals()

    def on_step_end(self, iteration: int, trials: list[Any], **info: object) -> None:
        try:
            self._stop.check_driver()
        except RunEndedError:
            raise KeyboardInterrupt from None  # after which Tune drops the running trials at once
        try:
            self._store.check_present()
            for observer in self._observers:
                observer.on_tick()
            if self._supervision is not None:
                self._supervision.look([trial.config[TRIAL_KEY] for trial in trials if trial.status == Trial.RUNNING])
            if self._steps is not None:
                self._steps.raise_error()
        except SweepLostError:
            raise KeyboardInterrupt from None
        except OSError as error:
            self._note_trouble(trouble_text(error, self._store.trials_folder), trials)
        if self._store_error is not None:
            raise self._store_error
        if self._stop.is_requested:
            num_running = sum(trial.status == Trial.RUNNING for trial in trials)
            for observer in self._observers:
                observer.on_stop(num_running)
            if num_running:
                raise StoppedError
            self._stop.raise_if_requested()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        key = trial.config[TRIAL_KEY]
        if self._supervision is not None:
            self._supervision.on_trial_start(key)
        for observer in self._observers:
            observer.on_trial_start(key)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Any],
        trial: Any,  # noqa: ANN401
        result: Mapping[str, Any],
        **info: object,
    ) -> None:
        key = trial.config[TRIAL_KEY]
        progress = from_report(result)
        if progress.store_trouble is not None:
            self._note_trouble(progress.store_trouble, trials)
            return  # the run ends with one line, after which the trial has not failed
        if progress.record is not None and not progress.replayed:
            trial.run_metadata.num_failures = 0  # a trial that makes progress is never given up
            if self._supervision is not None:
                self._supervision.ended.pop(key, None)
        if self._steps is not None and key in self._steps.stopped:
            progress = dataclasses.replace(progress, status=Status.STOPPED)
        self._pass_on(key, progress)
        if self._steps is not None and key in self._steps.paused:
            for observer in self._observers:
                observer.on_trial_paused(key)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        """Give a trial a process of its own if that in which it trained beside others has died.

        Any of them may have killed it. It counts for none: one that does it again kills only its own.
        """
        share = share_of(trial.config)
        if share.streams and failure_reason(trial) == PROCESS_DIED:
            trial.config[SHARE] = dataclasses.asdict(dataclasses.replace(share, streams=False))
            trial.run_metadata.num_failures -= 1

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:  # noqa: ANN401
        """Record a trial whose process died, or could not be set up, more often than it is retried."""
        try:
            with contextlib.suppress(RemoteError):
                self._stop.check_driver(ask=True)
        except RunEndedError:
            return  # the trial is another run's now, or Ray has died
        key = trial.config[TRIAL_KEY]
        error = failure_reason(trial)
        if error == PROCESS_DIED and self._supervision is not None:
            error = self._supervision.ended.get(key, error)
        config = config_of(trial.config, self._setup.configs)
        folder, details = self._setup.trials_folder / key, failure_details(trial)
        share = share_of(trial.config)
        run = dataclasses.replace(self._setup.run, num_threads=share.num_threads, gpus=share.gpus)
        is_recorded = record_failure(folder, config, run, error, details)
        if self._steps is not None:
            self._steps.fail(key, is_recorded=is_recorded)
        self._pass_on(key, Progress(None, Status.FAILED, replayed=False, error=error))

    def _note_trouble(self, trouble: str, trials: Sequence[Any]) -> None:
        needed_bytes = sum(self._needed_bytes(trial) for trial in trials if trial.status == Trial.RUNNING)
        self._store_error = self._store_error or cannot_write(self._store.location(), trouble, needed_bytes)

    def _needed_bytes(self, trial: Any) -> int:  # noqa: ANN401
        """Return the size of what a running trial may still write: above all its checkpoints."""
        config = config_of(trial.config, self._setup.configs)
        state_bytes = (BYTES_PER_WEIGHT * num_weights(config.model) + CHECKPOINT_SPARE_BYTES) * len(CHECKPOINTS)
        return state_bytes + MAX_BYTES + config.epochs * EPOCH_BYTES

    def _pass_on(self, key: str, progress: Progress) -> None:
        """Tell the observers, unless a trial fails because the store or the sweep is lost, which ends the run."""
        if progress.status is Status.FAILED:
            try:
                self._stop.check_driver()
                self._store.check_present()
            except UserError:
                return
            self._stop.note_failure()
        for observer in self._observers:
            observer.on_progress(key, progress)


def failure_reason(trial: Any) -> str:  # noqa: ANN401
    """Return the last line of Ray's text on a trial's failure; our own words if its process was killed."""
    error = _text_of_ray(trial).rpartition(FAILURE)[2]
    lines = [line for line in error.splitlines() if line.strip()]
    if not lines or "worker process has died" in error:
        return PROCESS_DIED
    return lines[-1].strip()


def failure_details(trial: Any) -> str:  # noqa: ANN401
    """Return Ray's whole text on a trial's failures, for the trial's log."""
    return f"told by Ray, in the driver:\n{_text_of_ray(trial).strip() or PROCESS_DIED}\n"


def _text_of_ray(trial: Any) -> str:  # noqa: ANN401
    """Read Tune's file on this machine: the copy that `get_error` reads is made after the callback is called."""
    try:
        return ANSI_STYLE.sub("", Path(trial.error_file).read_text(errors="replace"))
    except (OSError, TypeError):  # TypeError: there is no such file
        return ""
