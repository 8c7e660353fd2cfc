"""Stops or pauses trials by the values that they report. Smaller values are better; trials have numbers.

Every decision is a function of the settings and of the calls in their order: a new scheduler that is given the
recorded calls again decides as the old one would have.

Where no two values are equal, `asha`, `hyperband` and `median` decide as Ray Tune's schedulers do. A trial that is
equal to others counts as good only while those that went on are fewer than the rule would keep.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from search_spaces.schema import SchedulerSpec
from sweep.search.state import Scheduler
from trainable.errors import UserError
from trainable.wording import counted


def make_scheduler(spec: SchedulerSpec, max_epochs: int, seed: int) -> Scheduler:
    """Return a new scheduler.

    Args:
        max_epochs: number of epochs of the longest trial.
        seed: decides, with a trial's number, the trial's bracket.

    Raises:
        UserError: grace_epochs is larger than max_epochs.
    """
    if spec.grace_epochs > max_epochs and spec.type not in ("none", "pbt"):
        raise UserError(
            f"scheduler: grace_epochs {spec.grace_epochs} is more than the {counted(max_epochs, 'epoch')} of a trial"
        )
    match spec.type:
        case "none" | "pbt":  # a population's members are trained to the end of their generation
            return TrialScheduler(max_epochs)
        case "median":
            return MedianRule(max_epochs, spec.grace_epochs, spec.min_trials)
        case "asha" | "hyperband":
            return StoppingRungs(max_epochs, _brackets(spec, max_epochs), spec.reduction_factor, seed)
        case "promotion":
            return PromotingRungs(max_epochs, _brackets(spec, max_epochs)[0], spec.reduction_factor)
        case unknown:
            assert_never(unknown)


@dataclass(slots=True)
class _Trial:
    epochs: int
    values: dict[int, float] = field(default_factory=dict)
    """Finite values by epoch."""
    stopped: bool = False
    """Whether the trial was stopped, or is paused."""
    ended: bool = False


class TrialScheduler:
    """A scheduler that stops no trial, and the base of the others.

    Values that are not finite are not compared: such a trial ends as diverged.
    """

    def __init__(self, max_epochs: int) -> None:
        self._max_epochs = max_epochs
        self._trials: dict[int, _Trial] = {}

    def add(self, number: int, epochs: int) -> None:
        """Begin a trial that is to train this number of epochs, at most `max_epochs`."""
        if number in self._trials or not 1 <= epochs <= self._max_epochs:
            raise ValueError(f"trial {number}: known already, or {epochs} epochs are not 1 to {self._max_epochs}")
        self._trials[number] = _Trial(epochs)

    def report(self, number: int, epoch: int, value: float | None, decision: bool | None = None) -> bool:
        """Return whether the trial is stopped after this epoch; never after its last one.

        Args:
            epoch: number of epochs done, each reported once.
            value: the objective, possibly None, infinite or NaN.
            decision: the decision that was taken when this was first reported; None to take it now.
        """
        trial = self._trials[number]
        if trial.ended or trial.stopped or value is None or not math.isfinite(value):
            return trial.stopped
        trial.values[epoch] = value
        trial.ended = epoch >= trial.epochs
        is_bad = self._compare(number, epoch, value, decision)
        if not trial.ended:
            trial.stopped = is_bad if decision is None else decision
        return trial.stopped

    def end(self, number: int) -> None:
        """End a trial, however it ended; a second call changes nothing. Its values continue to count."""
        self._trials[number].ended = True

    def _compare(self, number: int, epoch: int, value: float, decision: bool | None) -> bool:
        """Return whether the value is too bad for the trial to go on, and remember the value."""
        return False


class MedianRule(TrialScheduler):
    """Stops a trial whose best value is worse than the median of the others' running means.

    The mean of a trial is that of its values from the grace to the epoch; those count that came as far.
    """

    def __init__(self, max_epochs: int, grace: int, min_trials: int) -> None:
        super().__init__(max_epochs)
        self._grace = grace
        self._min_trials = min_trials
        self._means: dict[tuple[int, int], float] = {}
        self._kept: set[int] = set()
        """Trials that went on though they were equal to the median; at later epochs they do so again."""

    def _compare(self, number: int, epoch: int, value: float, decision: bool | None) -> bool:
        if epoch < self._grace:
            return False
        others = {
            other: self._mean(other, epoch)
            for other, trial in self._trials.items()
            if other != number and max(trial.values, default=0) >= epoch
        }
        if len(others) < self._min_trials:
            return False
        best, median = min(self._trials[number].values.values()), statistics.median(others.values())
        if not _equal(best, median):
            return best > median
        num_going_on = sum(
            not self._trials[other].stopped and (mean < best or _equal(mean, best)) for other, mean in others.items()
        )
        is_kept = number in self._kept or 2 * (num_going_on + 1) <= len(others) + 1
        if is_kept if decision is None else not decision:
            self._kept.add(number)
        return not is_kept

    def _mean(self, number: int, epoch: int) -> float:
        """Return a running mean. It is kept: it is asked for only when the values no longer change."""
        if (number, epoch) not in self._means:
            values = self._trials[number].values.items()
            self._means[number, epoch] = statistics.fmean(
                value for when, value in values if self._grace <= when <= epoch
            )
        return self._means[number, epoch]


@dataclass(slots=True)
class Rung:
    """An epoch at which trials are compared."""

    epoch: int
    values: dict[int, float] = field(default_factory=dict)
    """The values of the trials that came here, in the order of their arrival."""
    going_on: set[int] = field(default_factory=set)
    """Trials that were not stopped here."""

    def keeps(self, value: float, reduction_factor: int) -> bool:
        """Return whether a trial that arrives with this value is among the best 1/reduction_factor so far."""
        known = np.array(list(self.values.values()))
        if not len(known):
            return True
        cutoff = -np.percentile(-known, (1 - 1 / reduction_factor) * 100)
        if not (known == value).any():
            return bool(value <= cutoff)
        num_going_on = sum(self.values[number] <= value for number in self.going_on)
        return bool(value <= cutoff) and (num_going_on + 1) * reduction_factor <= len(known) + 1


class StoppingRungs(TrialScheduler):
    """ASHA and HyperBand: a trial is stopped at a rung of its bracket unless it is among the best there so far."""

    def __init__(self, max_epochs: int, brackets: Sequence[list[Rung]], reduction_factor: int, seed: int) -> None:
        super().__init__(max_epochs)
        self.brackets = brackets
        """The rungs of each bracket, the lowest first."""
        self._reduction_factor = reduction_factor
        self._seed = seed
        self._rungs: dict[int, list[Rung]] = {}

    def add(self, number: int, epochs: int) -> None:
        super().add(number, epochs)
        sizes = np.array([len(rungs) for rungs in self.brackets])
        weights = np.e ** (sizes - sizes.max())
        draw = np.random.RandomState((self._seed, number))
        self._rungs[number] = self.brackets[draw.choice(len(sizes), p=weights / weights.sum())]

    def _compare(self, number: int, epoch: int, value: float, decision: bool | None) -> bool:
        for rung in reversed(self._rungs[number]):
            if epoch >= rung.epoch and number not in rung.values:
                is_good = rung.keeps(value, self._reduction_factor)
                rung.values[number] = value
                if is_good if decision is None else not decision:
                    rung.going_on.add(number)
                return not is_good
        return False


class PromotingRungs(TrialScheduler):
    """Promotion-type ASHA: a trial is paused at each rung, and the best of a rung are promoted to the next."""

    def __init__(self, max_epochs: int, rungs: list[Rung], reduction_factor: int) -> None:
        super().__init__(max_epochs)
        self.rungs = rungs
        """The rungs, the lowest first."""
        self._reduction_factor = reduction_factor
        self._paused: dict[int, Rung] = {}

    def promotable(self, *, at_least_one: bool = False) -> int | None:
        """Return the best paused trial of the highest rung that has one to promote; None where no rung has.

        Of equal trials the first to arrive counts as the best.
        """
        for rung in reversed(self.rungs):
            num_good = len(rung.values) // (1 if at_least_one else self._reduction_factor)
            for number in sorted(rung.values, key=rung.values.__getitem__)[:num_good]:
                if self._paused.get(number) is rung:
                    return number
        return None

    def promote(self, number: int) -> None:
        """Let a paused trial go on."""
        del self._paused[number]
        self._trials[number].stopped = False

    def end(self, number: int) -> None:
        """End a trial. One that has not reported its last epoch has diverged: its values no longer count."""
        if not self._trials[number].ended:
            self._paused.pop(number, None)
            for rung in self.rungs:
                rung.values.pop(number, None)
        super().end(number)

    def _compare(self, number: int, epoch: int, value: float, decision: bool | None) -> bool:
        for rung in self.rungs:
            if rung.epoch == epoch and not self._trials[number].ended:
                rung.values[number] = value
                self._paused[number] = rung
                return True
        return False


def _brackets(spec: SchedulerSpec, max_epochs: int) -> list[list[Rung]]:
    """Return the rungs of each bracket: bracket s lacks the s lowest ones."""
    most = math.log(max_epochs / spec.grace_epochs) / math.log(spec.reduction_factor)
    return [
        [Rung(spec.grace_epochs * spec.reduction_factor**power) for power in range(first, int(most + 1))]
        for first in range(spec.brackets)
    ]


def _equal(value: float, other: float) -> bool:
    """Return whether two values differ by no more than the rounding of a mean."""
    return math.isclose(value, other, rel_tol=1e-12)
