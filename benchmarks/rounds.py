"""Rounds in which everything is measured once, in turn, so that a disturbance meets all of it alike.

What is compared are ratios of what was measured in the same round.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Name = TypeVar("Name")
Measured = TypeVar("Measured")

STAT = Path("/proc/stat")


def interleaved(num_rounds: int, cases: Mapping[Name, Callable[[], Measured]]) -> dict[Name, list[Measured]]:
    """Measure A B C, A B C, ...: the answers of each case, one a round."""
    answers: dict[Name, list[Measured]] = {name: [] for name in cases}
    for number in range(num_rounds):
        for name, measure in cases.items():
            answers[name].append(measure())
        print(f"round {number + 1} of {num_rounds} done", flush=True)
    return answers


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """One a round.

    Raises:
        ValueError: not the same number of rounds.
    """
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds say of one figure."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> "Spread":
        return cls(statistics.median(rounds), min(rounds), max(rounds))

    def __format__(self, spec: str) -> str:
        """`f"{spread:.2f}"` -> '2.25 (2.19 to 2.31)'."""
        return f"{self.median:{spec}} ({self.least:{spec}} to {self.most:{spec}})"


def summary(rounds: Sequence[float]) -> dict[str, Any]:
    """For a report: median, spread, and every round."""
    spread = Spread.of(rounds)
    return {"median": spread.median, "min": spread.least, "max": spread.most, "rounds": list(rounds)}


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Never wrapped, so that it can be pasted. The first column holds names, the others figures."""
    lines = [columns, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    print(title)
    for name, *figures in lines:
        cells = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        print("  ".join([name.ljust(widths[0]), *cells]).rstrip())


def busy_cores(seconds: float = 1.0) -> float:
    """Processor cores that others keep busy right now: measure only where this is near 0 (Linux; else nan)."""
    before = _busy_seconds()
    time.sleep(seconds)
    return (_busy_seconds() - before) / seconds


def _busy_seconds() -> float:
    """proc(5), /proc/stat: the time of all cores together that was neither idle nor spent waiting for a disk."""
    try:
        _, user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = STAT.read_text().split(maxsplit=10)
    except OSError:
        return math.nan
    ticks = sum(int(value) for value in (user, nice, system, irq, softirq, steal))
    return ticks / os.sysconf("SC_CLK_TCK")
