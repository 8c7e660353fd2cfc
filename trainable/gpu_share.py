"""How many trainings of a kind share a GPU: from what one of them needs and what several do together. No torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Case = tuple[str, int, str]
"""Model, batch size, precision as asked for."""
COUNTS = (1, 2, 4, 8)
"""Trainings on one GPU that are tried."""
HEADROOM = 1.25
"""Times the measured peak that a share must hold: fragments, and cuDNN's choices on other data."""
CONTEXT_BYTES = 600 * 2**20
"""What a process takes of a GPU before it allocates anything (CUDA context, cuBLAS and cuDNN handles): an assumption,
on the safe side of the 300 to 500 MiB that are usual."""
MIN_GAIN = 1.05
"""Times the images a second that more trainings must reach together to be worth it."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one training takes of a GPU."""

    peak_bytes: int
    """Held by the allocator at most, over training and evaluation."""
    gpu_bytes: int
    """Of the GPU."""

    def fit(self, count: int) -> bool:
        """Whether so many such trainings can be on the GPU at once."""
        return count * (HEADROOM * self.peak_bytes + CONTEXT_BYTES) <= self.gpu_bytes


class Crew(Protocol):
    """Processes that share one GPU and train the same."""

    def needs(self, case: Case) -> Needs:
        """Of one of them."""

    def rate(self, case: Case) -> float:
        """Images a second of all together; `needs` was asked before."""


def choose_shares(
    cases: Sequence[Case], crew: Callable[[int], AbstractContextManager[Crew | None]]
) -> dict[Case, tuple[float, float]]:
    """Share of a GPU for each case, and images a second of a GPU that is shared so.

    Ever more trainings are put on one GPU, as long as it holds them with HEADROOM and they reach MIN_GAIN times as
    much together.

    Args:
        crew: gives so many processes; None where there is no room for them.
    """
    chosen: dict[Case, tuple[float, float]] = {}
    promising = list(cases)
    for count in COUNTS:
        if not promising:
            break
        with crew(count) as processes:
            if processes is None:
                break
            for case in list(promising):
                holds = processes.needs(case).fit(count) or count == 1
                rate = processes.rate(case) if holds else 0.0
                if case not in chosen or rate >= MIN_GAIN * chosen[case][1]:
                    chosen[case] = 1 / count, rate
                else:
                    promising.remove(case)
    return {case: chosen.get(case, (1.0, 0.0)) for case in cases}


def share_for(case: Case, measured: Mapping[Case, float]) -> float:
    """The share measured for it, else for the next larger batch of its model and precision, else a whole GPU."""
    model, batch_size, precision = case
    sizes = [size for name, size, asked in measured if (name, asked) == (model, precision) and size >= batch_size]
    return measured[model, min(sizes), precision] if sizes else 1.0


def memory_fraction(gpus: float, gpu_bytes: int) -> float | None:
    """Fraction of the GPU's memory that the allocator of a process may hold; None: all of it.

    The process's context comes out of its share, so that the shares of one GPU never add up to more than it has.
    """
    if not 0 < gpus < 1:
        return None
    return max(0.0, math.floor(1000 * (gpus - CONTEXT_BYTES / gpu_bytes)) / 1000)
