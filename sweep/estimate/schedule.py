"""Wall time of trials that share a number of slots."""

from collections.abc import Sequence

import numpy as np

from sweep.estimate.interval import Floats


def longest_first(seconds: Sequence[float] | Floats) -> list[int]:
    """Return the positions of the trials from the longest to the shortest; equal trials keep their order."""
    return [int(index) for index in np.argsort(-np.asarray(seconds), kind="stable")]


def makespans(seconds: Floats, num_slots: int) -> Floats:
    """Return the time until all trials have ended, each started in the slot that becomes free first.

    The trials start in the given order. In the order of `longest_first` the time is at most 4/3 of the shortest
    possible (Graham 1969).

    Args:
        seconds: [num_draws, num_trials].
        num_slots: number of trials that run at the same time.

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
