"""Intervals for a time that is not known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.tables.layout import format_seconds

Floats = NDArray[np.floating[Any]]

LEVEL = 0.9
"""Probability that an interval contains the true time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval in seconds: the time lies between `low` and `high` with probability LEVEL."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> "Interval":
        tail = (1 - LEVEL) / 2
        low, median, high = np.quantile(draws, (tail, 0.5, 1 - tail))
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        """`1m20s (1m05s to 1m50s)`."""
        return f"{format_seconds(self.median)} ({format_seconds(self.low)} to {format_seconds(self.high)})"
