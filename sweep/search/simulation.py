"""Simulates a sweep whose trials' curves are known: what is trained when, and what is stopped early."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sweep.search.curves import TrialCurve
from sweep.search.state import PromotingScheduler, Scheduler
from trainable.records import Status


class Driver(Protocol):
    """Decides what is trained and for how long, for example a search. Trials have numbers."""

    def next(self) -> tuple[int, TrialCurve] | None:
        """Return the next trial to begin or to resume, or None if there is none now.

        Asked again after each end of a trial.
        """

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        """Return whether the trial is stopped after this epoch."""

    def end(self, number: int, status: Status) -> None:
        """End a trial as COMPLETE, STOPPED (it may be resumed later) or DIVERGED."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a simulated trial."""

    curve: TrialCurve
    epochs_done: int
    status: Status

    @property
    def seconds(self) -> float:
        return sum(self.curve.seconds[: self.epochs_done])


@dataclass(slots=True)
class Simulation:
    """A simulated sweep."""

    order: list[tuple[int, int]] = field(default_factory=list)
    """Number and epoch of every report, in order."""
    ended: dict[int, Ended] = field(default_factory=dict)
    """Number of a trial -> its end, in the order of the ends."""
    wall_seconds: float = 0.0

    @property
    def epochs_trained(self) -> int:
        return len(self.order)

    @property
    def worker_seconds(self) -> float:
        """Seconds that the workers trained, all together."""
        return sum(trial.seconds for trial in self.ended.values())

    @property
    def best(self) -> float | None:
        """Smallest value of the trials that were trained to their end; None where there are none."""
        ends = [trial.curve.end for trial in self.ended.values() if trial.status is Status.COMPLETE]
        return min((end for end in ends if end is not None), default=None)


def simulate(driver: Driver, num_workers: int) -> Simulation:
    """Run until nothing is left to begin. Start-up and decisions take no time."""
    done = Simulation()
    curves: dict[int, TrialCurve] = {}
    events: list[tuple[float, int, int, int]] = []  # time, number of earlier events, trial, epoch
    num_events = 0

    def begin(number: int, epoch: int) -> None:
        nonlocal num_events
        end_time = done.wall_seconds + curves[number].seconds[epoch - 1]
        heapq.heappush(events, (end_time, num_events, number, epoch))
        num_events += 1

    def fill() -> None:
        while len(events) < num_workers and (proposal := driver.next()) is not None:
            number, curves[number] = proposal
            paused = done.ended.pop(number, None)
            begin(number, 1 if paused is None else paused.epochs_done + 1)

    fill()
    while events:
        done.wall_seconds, _, number, epoch = heapq.heappop(events)
        curve = curves[number]
        done.order.append((number, epoch))
        stop = driver.report(number, epoch, curve.values[epoch - 1])
        if epoch < len(curve.values) and not stop:
            begin(number, epoch + 1)
            continue
        status = curve.status if epoch == len(curve.values) else Status.STOPPED
        done.ended[number] = Ended(curve, epoch, status)
        driver.end(number, status)
        fill()
    return done


class ScheduledCurves:
    """The simplest driver: these trials, in their order, under a scheduler."""

    def __init__(self, curves: Sequence[TrialCurve], scheduler: Scheduler) -> None:
        self._left = list(enumerate(curves))[::-1]
        self._scheduler = scheduler
        self._curves = list(curves)
        self._training: set[int] = set()
        self._has_result = False

    def next(self) -> tuple[int, TrialCurve] | None:
        if isinstance(self._scheduler, PromotingScheduler):
            is_last = not (self._left or self._training or self._has_result)  # as in a search
            if (promoted := self._scheduler.promotable(at_least_one=is_last)) is not None:
                self._scheduler.promote(promoted)
                self._training.add(promoted)
                return promoted, self._curves[promoted]
        if not self._left:
            return None
        number, curve = self._left.pop()
        self._training.add(number)
        self._scheduler.add(number, curve.epochs)
        return number, curve

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        return self._scheduler.report(number, epoch, value)

    def end(self, number: int, status: Status) -> None:
        self._training.discard(number)
        self._has_result |= status is Status.COMPLETE
        if status is not Status.STOPPED:
            self._scheduler.end(number)
