"""Measures what a run takes: its start, its epochs, and the time between them."""

import time
from datetime import UTC, datetime

import numpy as np

from sweep.estimate.wall_time import makespans
from sweep.observers.observer import Observer
from sweep.runs import ExpectedTime, RunRecord, RunStart
from trainable.records import Progress


class RunClock(Observer):
    """Measures one run of the driver. The clock starts when it is created."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._start_time = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = time.monotonic()
        self._start_up_seconds: float | None = None
        self._epoch_seconds: dict[str, float] = {}
        self._epochs_trained = 0
        self.trials_ended = 0

    def start(self) -> RunStart:
        """Return the record to write before the first trial begins."""
        return RunStart(self.run_id, self._start_time)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        self.trials_ended += progress.ended
        record = progress.record
        if record is None or progress.replayed:
            return
        seconds = record.train_seconds + record.eval_seconds
        if self._start_up_seconds is None:
            self._start_up_seconds = max(0.0, time.monotonic() - self._started - seconds)
        self._epoch_seconds[trial_key] = self._epoch_seconds.get(trial_key, 0.0) + seconds
        self._epochs_trained += 1

    def stop(
        self,
        *,
        num_trials: int,
        num_slots: int,
        interrupted: bool,
        expected: ExpectedTime | None,
        stopped_by: str | None = None,
    ) -> RunRecord:
        """Return the record of the run up to now."""
        wall_seconds = time.monotonic() - self._started
        return RunRecord(
            run_id=self.run_id,
            start_time=self._start_time,
            num_slots=num_slots,
            num_trials=num_trials,
            trials_ended=self.trials_ended,
            epochs_trained=self._epochs_trained,
            wall_seconds=wall_seconds,
            start_up_seconds=self._start_up_seconds,
            between_seconds=None if interrupted else self._between_seconds(wall_seconds, num_slots),
            interrupted=interrupted,
            estimate=expected,
            stopped_by=stopped_by,
        )

    def _between_seconds(self, wall_seconds: float, num_slots: int) -> float | None:
        """Return the seconds per trial that neither the start nor the epochs account for; None without an epoch."""
        if self._start_up_seconds is None:
            return None
        epoch_seconds = float(makespans(np.array([list(self._epoch_seconds.values())]), num_slots)[0])
        trials_per_slot = max(1.0, len(self._epoch_seconds) / num_slots)
        return max(0.0, wall_seconds - self._start_up_seconds - epoch_seconds) / trials_per_slot
