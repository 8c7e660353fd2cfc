"""Stops trials early by the rules of Ray Tune's schedulers, without a running Ray.

Every decision is a function of the settings and of the calls in their order: a new scheduler that is given the
recorded calls again decides as the old one would have.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, assert_never

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search_spaces.schema import SchedulerSpec
from trainable.errors import UserError
from trainable.wording import counted

EPOCH = "epoch"
VALUE = "value"


class RayScheduler:
    """A scheduler that asks one of Ray Tune's; smaller values are better. Trials have numbers.

    Values that are not finite are not passed on: Ray's rules never stop such a trial, and it ends as diverged.
    """

    def __init__(self, spec: SchedulerSpec, max_epochs: int, seed: int) -> None:
        """
        Args:
            max_epochs: number of epochs of the longest trial.
            seed: decides, with a trial's number, the trial's bracket.

        Raises:
            UserError: grace_epochs is larger than max_epochs.
        """
        self._spec = spec
        self._max_epochs = max_epochs
        self._seed = seed
        self._rules = _ray_scheduler(spec, max_epochs)
        self._trials: dict[int, _StubTrial] = {}

    def add(self, number: int, epochs: int) -> None:
        """Begin a trial that is to train this number of epochs, at most `max_epochs`."""
        if number in self._trials or not 1 <= epochs <= self._max_epochs:
            raise ValueError(f"trial {number}: known already, or {epochs} epochs are not 1 to {self._max_epochs}")
        trial = self._trials[number] = _StubTrial(str(number), epochs)
        with _numpy_seeded(self._seed, number):  # Ray draws the bracket from numpy's global generator
            self._rules.on_trial_add(CONTROLLER, trial)

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        """Return whether the trial is stopped after this epoch; never after its last one.

        Args:
            epoch: number of epochs done, each reported once.
            value: the objective, possibly None, infinite or NaN.
        """
        trial = self._trials[number]
        is_last = epoch >= trial.epochs
        if trial.ended or value is None or not math.isfinite(value):
            return trial.stopped
        result = {EPOCH: epoch, VALUE: value}
        if is_last:
            self._rules.on_trial_complete(CONTROLLER, trial, result)
            trial.ended = True
            return False
        if self._rules.on_trial_result(CONTROLLER, trial, result) == TrialScheduler.STOP:
            trial.stopped = True
            self.end(number)
        return trial.stopped

    def end(self, number: int) -> None:
        """End a trial, however it ended; a second call changes nothing. Its values continue to count."""
        trial = self._trials[number]
        if not trial.ended:
            self._rules.on_trial_remove(CONTROLLER, trial)
            trial.ended = True


def _ray_scheduler(spec: SchedulerSpec, max_epochs: int) -> Any:  # noqa: ANN401 (Ray's classes are untyped here)
    if spec.grace_epochs > max_epochs and spec.type not in ("none", "pbt"):
        raise UserError(
            f"scheduler: grace_epochs {spec.grace_epochs} is more than the {counted(max_epochs, 'epoch')} of a trial"
        )
    common = {"time_attr": EPOCH, "metric": VALUE, "mode": "min", "grace_period": spec.grace_epochs}
    match spec.type:
        case "none" | "pbt":  # a population's members are trained to the end of their generation
            return FIFOScheduler()
        case "median":
            return _MedianRule(min_samples_required=spec.min_trials, **common)
        case "asha" | "hyperband":
            return AsyncHyperBandScheduler(
                max_t=max_epochs, reduction_factor=spec.reduction_factor, brackets=spec.brackets, **common
            )
        case unknown:
            assert_never(unknown)


class _MedianRule(MedianStoppingRule):  # type: ignore[misc] # Ray's class is untyped here
    """Ray's median rule, with its running means kept: it asks only for means that no longer change."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 (Ray's)
        super().__init__(**settings)
        self._means: dict[tuple[_StubTrial, int], float] = {}

    def _running_mean(self, trial: "_StubTrial", time: int) -> float:
        if (trial, time) not in self._means:
            self._means[trial, time] = float(super()._running_mean(trial, time))
        return self._means[trial, time]


class _StubTrial:
    """The part of a Ray trial that Ray's schedulers use."""

    def __init__(self, trial_id: str, epochs: int) -> None:
        self.trial_id = trial_id
        self.epochs = epochs
        self.ended = False
        self.stopped = False


class _StubController:
    """The part of Ray Tune that its schedulers use. No trial waits, so none is paused to make room."""

    def get_live_trials(self) -> list[_StubTrial]:
        return []


CONTROLLER = _StubController()


@contextlib.contextmanager
def _numpy_seeded(*seed: int) -> Iterator[None]:
    """Seed numpy's global generator, and restore it afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
