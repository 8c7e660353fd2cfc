"""Sweeps whose trials' curves are known: what is trained when, and who is stopped, without training anything."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sweep.search.curves import Curve
from sweep.search.steering import Steering
from trainable.records import Status


class Driver(Protocol):
    """Whoever decides what is trained and for how long, for example a search. Trials have numbers."""

    def next(self) -> tuple[int, Curve] | None:
        """A trial to begin; None where there is none now. Asked again whenever a trial has ended."""

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        """True where the trial is stopped after this epoch."""

    def end(self, number: int, status: Status) -> None:
        """COMPLETE, STOPPED or DIVERGED."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a simulated trial ended."""

    curve: Curve
    epochs_done: int
    status: Status

    @property
    def value(self) -> float | None:
        """At its last epoch."""
        return self.curve.values[self.epochs_done - 1]

    @property
    def seconds(self) -> float:
        return sum(self.curve.seconds[: self.epochs_done])


@dataclass(slots=True)
class Simulation:
    """What a simulated sweep did."""

    order: list[tuple[int, int]] = field(default_factory=list)
    """(number, epoch) of every report, as they came."""
    ended: dict[int, Ended] = field(default_factory=dict)
    """Number -> its end, in the order of the ends."""
    wall_seconds: float = 0.0

    @property
    def epochs_trained(self) -> int:
        return len(self.order)

    @property
    def worker_seconds(self) -> float:
        """Of all workers together, without those that waited."""
        return sum(one.seconds for one in self.ended.values())

    @property
    def best(self) -> float | None:
        """The smallest value of the trials that were trained to their end; None where there is none."""
        ends = [one.curve.end for one in self.ended.values() if one.status is Status.COMPLETE]
        return min((end for end in ends if end is not None), default=None)


def simulate(driver: Driver, num_workers: int) -> Simulation:
    """Run until nothing is left to begin; start-up and answers take no time."""
    done = Simulation()
    curves: dict[int, Curve] = {}
    events: list[tuple[float, int, int, int]] = []  # time, how many events were begun before it, number, epoch
    num_events = 0

    def begin(number: int, epoch: int) -> None:
        nonlocal num_events
        end_time = done.wall_seconds + curves[number].seconds[epoch - 1]
        heapq.heappush(events, (end_time, num_events, number, epoch))
        num_events += 1

    def fill() -> None:
        while len(events) < num_workers and (proposal := driver.next()) is not None:
            number, curves[number] = proposal
            begin(number, 1)

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


class SteeredCurves:
    """The simplest driver: these trials, begun in their order, under a scheduler."""

    def __init__(self, curves: Sequence[Curve], steering: Steering) -> None:
        self._left = list(enumerate(curves))[::-1]
        self._steering = steering

    def next(self) -> tuple[int, Curve] | None:
        if not self._left:
            return None
        number, curve = self._left.pop()
        self._steering.add(number, curve.epochs)
        return number, curve

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        return self._steering.report(number, epoch, value)

    def end(self, number: int, status: Status) -> None:
        self._steering.end(number)
