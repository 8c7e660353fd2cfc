"""Counts what a run has done: the state behind the live table and the progress lines."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sweep.observers.observer import Observer
from sweep.trial_label import describe, short_label, telling_fields
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import EpochRecord, Progress

RUNNING, PAUSED = "running", "paused"
SPEED_WINDOW = 5
"""Number of epochs whose median speed is shown."""
HOLDOUT_LOSS = "holdout_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutline:
    """What is known of a sweep before a run works on it."""

    name: str
    num_before: int = 0
    """Number of trials that were finished before this run."""
    num_proposed: int = 0
    """Largest number of trials that a search will propose in this run."""
    fields: Sequence[str] = ()
    """Training fields and parameters that tell the trials apart; by default those that vary between them."""
    metrics: Sequence[str] = ()
    """Objectives of a search."""
    stopped_before: frozenset[str] = frozenset()
    """Keys of those finished trials that a search may train on."""


@dataclass(slots=True)
class TrialProgress:
    """What is known of a trial that this run works on."""

    label: str
    short_label: str
    config: TrainConfig
    epochs_done: int = 0
    replayed: int = 0
    """Number of epochs that were replayed from the ledger."""
    error_percent: float | None = None
    """Error on the held-out images if there are any, otherwise on the test images."""
    loss: float | None = None
    """Loss on the held-out images in nats."""
    speeds: list[float] = field(default_factory=list)
    """Images per second of the last epochs."""
    seconds: float = 0.0
    """Time of all epochs."""
    died_at: int | None = None
    """Number of epochs done when the process died; None once it is known how the trial continues."""
    is_stalled: bool = False
    """Whether the trial runs and has not moved for long."""
    status: str = ""
    """Empty while the trial waits, then 'running' or 'paused', or a Status once it has ended."""

    @property
    def has_ended(self) -> bool:
        return self.status not in ("", RUNNING, PAUSED)

    @property
    def images_per_second(self) -> float | None:
        """Median of the last epochs."""
        return statistics.median(self.speeds) if self.speeds else None

    def add(self, record: EpochRecord, *, replayed: bool) -> None:
        """Count an epoch."""
        self.epochs_done = record.epoch
        self.error_percent = record.holdout_error_percent if self.config.holdout else record.test_error_percent
        self.loss = record.holdout_loss
        self.seconds += record.train_seconds + record.eval_seconds
        if replayed:
            self.replayed = record.epoch
        else:
            self.speeds = [*self.speeds[1 - SPEED_WINDOW :], record.images_per_second]


class SweepProgress(Observer):
    """The state of a sweep and of the trials that this run works on."""

    def __init__(
        self,
        outline: SweepOutline,
        configs: Mapping[str, TrainConfig],
        variables: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> None:
        """
        Args:
            configs: trial key -> configuration of the planned trials.
            variables: trial key -> variables of these trials.
        """
        self.outline = outline
        self.shows_loss = HOLDOUT_LOSS in outline.metrics
        self._fields = telling_fields(list(configs.values()), outline.fields)
        self._training_since = 0.0
        self.trials: dict[str, TrialProgress] = {}
        for key, config in configs.items():
            self._add(key, config, (variables or {}).get(key))

    def on_trial_added(self, trial: PlannedTrial) -> None:
        self._add(trial.config.trial_key, trial.config, trial.variables)

    def on_trial_start(self, trial_key: str) -> None:
        self._training_since = self._training_since or time.monotonic()
        trial = self.trials[trial_key]
        died_at = trial.epochs_done if trial.status == RUNNING else None
        self.trials[trial_key] = TrialProgress(
            trial.label, trial.short_label, trial.config, died_at=died_at, status=RUNNING
        )

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        trial = self.trials[trial_key]
        if not progress.replayed:  # a replayed epoch does not tell whether the trial continues
            trial.died_at = None
        if progress.record is not None:
            trial.add(progress.record, replayed=progress.replayed)
        if progress.ended:
            trial.status = progress.status

    def on_trial_paused(self, trial_key: str) -> None:
        self.trials[trial_key].status = PAUSED

    def on_trial_note(self, trial_key: str, note: str, *, is_stalled: bool) -> None:
        self.trials[trial_key].is_stalled = is_stalled

    @property
    def num_before(self) -> int:
        """Number of trials that were finished before this run, and that it does not train on."""
        return self.outline.num_before - self._num_trained_on

    @property
    def num_trials(self) -> int:
        """Number of the sweep's trials, with those that were finished before and those still to be proposed."""
        return self.num_before + max(len(self.trials), self._num_proposed)

    @property
    def num_done(self) -> int:
        """Number of trials that have ended, in this run or before."""
        return self.num_before + sum(trial.has_ended for trial in self.trials.values())

    @property
    def num_waiting(self) -> int:
        return sum(not trial.status for trial in self.trials.values())

    @property
    def num_paused(self) -> int:
        return sum(trial.status == PAUSED for trial in self.trials.values())

    @property
    def num_to_propose(self) -> int:
        return max(0, self._num_proposed - len(self.trials))

    @property
    def images_per_second(self) -> float | None:
        """Sum over the running trials; None before the first epoch."""
        speeds = [trial.speeds[-1] for trial in self.running if trial.speeds]
        return sum(speeds) if speeds else None

    @property
    def running(self) -> list[TrialProgress]:
        return [trial for trial in self.trials.values() if trial.status == RUNNING]

    @property
    def ended(self) -> list[TrialProgress]:
        return [trial for trial in self.trials.values() if trial.has_ended]

    def seconds_left(self) -> float | None:
        """Estimate the time left from the epochs trained so far in this run.

        Returns:
            None before the first epoch, and while trials are still to be proposed. Paused trials count as ended.
        """
        if self.num_to_propose:
            return None
        done = total = 0
        for trial in self.trials.values():
            is_at_end = trial.has_ended or trial.status == PAUSED
            epochs = trial.epochs_done if is_at_end else trial.config.epochs
            done += trial.epochs_done - trial.replayed
            total += epochs - trial.replayed
        elapsed = time.monotonic() - self._training_since
        return elapsed * (total - done) / done if done else None

    @property
    def _num_trained_on(self) -> int:
        return len(self.outline.stopped_before & self.trials.keys())

    @property
    def _num_proposed(self) -> int:
        """Largest number of trials that the search trains in this run."""
        return self.outline.num_proposed + self._num_trained_on

    def _add(self, key: str, config: TrainConfig, variables: Mapping[str, float | str] | None) -> None:
        label, short = (name(config, self._fields, variables) for name in (describe, short_label))
        self.trials[key] = TrialProgress(label, short, config)
