"""Wall times: of trials that share a number of slots, and as intervals where a time is not known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.tables.layout import format_seconds
from trainable.decoding import Seconds

Floats = NDArray[np.floating[Any]]

LEVEL = 0.9
"""Probability that an interval contains the true time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval: the time lies between `low_seconds` and `high_seconds` with probability LEVEL."""

    median_seconds: Seconds
    low_seconds: Seconds
    high_seconds: Seconds

    @classmethod
    def of(cls, draws: Floats) -> "Interval":
        tail = (1 - LEVEL) / 2
        low, median, high = np.quantile(draws, (tail, 0.5, 1 - tail))
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        """`1m20s (1m05s to 1m50s)`."""
        low, high = format_seconds(self.low_seconds), format_seconds(self.high_seconds)
        return f"{format_seconds(self.median_seconds)} ({low} to {high})"


def longest_first(seconds: Sequence[float] | Floats) -> list[int]:
    """Return the positions of the trials from the longest to the shortest; equal trials keep their order."""
    return [int(index) for index in np.argsort(-np.asarray(seconds), kind="stable")]


def makespans(seconds: Floats, num_slots: int) -> Floats:
    """Return the time until all trials have ended, each started in the slot that becomes free first.

    The trials start in the given order. In the order of `longest_first` the time is at most 4/3 of the shortest
    possible (Graham 1969).

    Args:
        seconds: [num_draws, num_trials].

    Returns:
        [num_draws].
    """
    num_draws, num_trials = seconds.shape
    if num_slots == 1:
        total: Floats = seconds.sum(axis=1)
        return total
    loads: Floats = np.zeros((num_draws, min(num_slots, num_trials)))
    rows = np.arange(num_draws)
    for index in range(num_trials):
        loads[rows, loads.argmin(axis=1)] += seconds[:, index]
    latest: Floats = loads.max(axis=1)
    return latest
