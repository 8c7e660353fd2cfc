"""Which trials are stopped before their end. Knows Ray's schedulers, no running Ray.

Whatever is decided is a function of the settings and of the calls in their order: fed with the recorded reports in
the recorded order, a new Steering stands where the old one stood.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search_spaces.schema import SchedulerSpec
from trainable.errors import UserError

EPOCH = "epoch"
VALUE = "value"


@dataclass(frozen=True, slots=True)
class Rung:
    """An epoch at which ASHA compares the trials of a bracket."""

    bracket: int
    epoch: float
    """Not whole where the reduction factor is not: the first epoch at or after it counts."""
    values: dict[int, float]
    """Number of the trial -> what it reported there, the trials that were stopped there included."""


class Steering:
    """Says after each epoch whether a trial is stopped; small values are good.

    Trials have numbers. Values that are not finite are passed on to nobody: Ray's rules never stop such a trial, and
    it ends as diverged by itself.
    """

    def __init__(self, spec: SchedulerSpec, max_epochs: int, seed: int) -> None:
        """
        Args:
            max_epochs: of the longest trial.
            seed: with a trial's number it decides its bracket.

        Raises:
            UserError: the trials are shorter than their grace.
        """
        self._spec = spec
        self._max_epochs = max_epochs
        self._seed = seed
        self._scheduler = _scheduler(spec, max_epochs)
        self._trials: dict[int, _StubTrial] = {}

    def add(self, number: int, epochs: int) -> None:
        """A trial begins.

        Args:
            epochs: of this trial, at most `max_epochs`.
        """
        if number in self._trials or not 1 <= epochs <= self._max_epochs:
            raise ValueError(f"trial {number}: known already, or {epochs} epochs are not 1 to {self._max_epochs}")
        trial = self._trials[number] = _StubTrial(str(number), epochs)
        with _numpy_seeded(self._seed, number):  # Ray draws the bracket from numpy's global generator
            self._scheduler.on_trial_add(CONTROLLER, trial)

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        """True where the trial is stopped after this epoch; never after its last one.

        Args:
            epoch: epochs done, the first is 1; each is reported once.
            value: of the objective; None, infinite or NaN where it is not finite.
        """
        trial = self._trials[number]
        is_last = epoch >= trial.epochs
        if trial.ended or value is None or not math.isfinite(value):
            return trial.stopped
        result = {EPOCH: epoch, VALUE: value}
        if is_last:
            self._scheduler.on_trial_complete(CONTROLLER, trial, result)
            trial.ended = True
            return False
        if self._scheduler.on_trial_result(CONTROLLER, trial, result) == TrialScheduler.STOP:
            trial.stopped = True
            self.end(number)
        return trial.stopped

    def end(self, number: int) -> None:
        """A trial is over, however it ended; said again, it changes nothing. What it reported goes on to count."""
        trial = self._trials[number]
        if not trial.ended:
            self._scheduler.on_trial_remove(CONTROLLER, trial)
            trial.ended = True

    def rungs(self) -> list[Rung]:
        """ASHA's and HyperBand's, bracket by bracket from the lowest; the other schedulers have none."""
        if not isinstance(self._scheduler, AsyncHyperBandScheduler):
            return []
        return [
            Rung(bracket, epoch, {int(trial_id): -reward for trial_id, reward in recorded.items()})
            for bracket, rules in enumerate(self._scheduler._brackets)
            for epoch, recorded in reversed(rules._rungs)
        ]


def _scheduler(spec: SchedulerSpec, max_epochs: int) -> Any:  # noqa: ANN401 (Ray's classes are untyped here)
    if spec.type in ("none", "pbt"):  # a population's members are trained to the end of their generation
        return FIFOScheduler()
    if spec.grace_epochs > max_epochs:
        raise UserError(
            f"scheduler: grace_epochs {spec.grace_epochs} is more than a trial's epochs: at most {max_epochs}"
        )
    common = {"time_attr": EPOCH, "metric": VALUE, "mode": "min", "grace_period": spec.grace_epochs}
    if spec.type == "median":
        return _MedianRule(min_samples_required=spec.min_trials, **common)
    return AsyncHyperBandScheduler(
        max_t=max_epochs, reduction_factor=spec.reduction_factor, brackets=spec.brackets, **common
    )


class _MedianRule(MedianStoppingRule):  # type: ignore[misc] # Ray's class is untyped here
    """Asked only for trials that have come as far, whose means change no more: each is computed once."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 (Ray's)
        super().__init__(**settings)
        self._means: dict[tuple[_StubTrial, int], float] = {}

    def _running_mean(self, trial: "_StubTrial", time: int) -> float:
        if (trial, time) not in self._means:
            self._means[trial, time] = float(super()._running_mean(trial, time))
        return self._means[trial, time]


class _StubTrial:
    """What Ray's schedulers ask of a trial."""

    def __init__(self, trial_id: str, epochs: int) -> None:
        self.trial_id = trial_id
        self.epochs = epochs
        self.ended = False
        self.stopped = False


class _StubController:
    """What Ray's schedulers ask of Tune: nobody waits, so nobody is paused to make room."""

    def get_live_trials(self) -> list[_StubTrial]:
        return []


CONTROLLER = _StubController()


@contextlib.contextmanager
def _numpy_seeded(*seed: int) -> Iterator[None]:
    """numpy's global generator begins at a place of its own, and is put back afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
