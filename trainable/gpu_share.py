"""How many trainings of one kind share a GPU, chosen from their memory and their joint speed. No torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Case = tuple[str, int, str]
"""Model (as `TrainConfig.architecture`), batch size and requested precision."""
COUNTS = (1, 2, 4, 8)
"""Numbers of trainings per GPU that are tried."""
HEADROOM = 1.25
"""Factor on the measured peak memory, for fragmentation and for other choices of cuDNN on real data."""
CONTEXT_BYTES = 600 * 2**20
"""Assumed GPU memory of a process before it allocates anything (CUDA context, cuBLAS and cuDNN handles); 300 to
500 MiB are usual."""
MIN_GAIN = 1.05
"""Factor on the images per second that more trainings must reach together to be chosen."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The GPU memory of one training."""

    peak_bytes: int
    """Peak memory held by the allocator during training and evaluation."""
    gpu_bytes: int
    """Total memory of the GPU."""

    def fit(self, count: int) -> bool:
        """Return whether `count` such trainings fit on the GPU at once."""
        return count * (HEADROOM * self.peak_bytes + CONTEXT_BYTES) <= self.gpu_bytes


class GpuWorkers(Protocol):
    """Processes that share one GPU and train the same configuration."""

    def needs(self, case: Case) -> Needs:
        """Return the memory of one process."""

    def rate(self, case: Case) -> float:
        """Return the images per second of all processes together; `needs` has been called before."""


def choose_shares(
    cases: Sequence[Case], start_workers: Callable[[int], AbstractContextManager[GpuWorkers | None]]
) -> dict[Case, tuple[float, float]]:
    """Return the share of a GPU for each case, and the images per second of a GPU that is shared in this way.

    The number of trainings on one GPU is raised as long as they fit (with HEADROOM) and are MIN_GAIN times as fast
    together.

    Args:
        start_workers: starts a number of processes, or gives None if there is no room for them.
    """
    chosen: dict[Case, tuple[float, float]] = {}
    promising = list(cases)
    for count in COUNTS:
        if not promising:
            break
        with start_workers(count) as workers:
            if workers is None:
                break
            for case in list(promising):
                holds = workers.needs(case).fit(count) or count == 1
                rate = workers.rate(case) if holds else 0.0
                if case not in chosen or rate >= MIN_GAIN * chosen[case][1]:
                    chosen[case] = 1 / count, rate
                else:
                    promising.remove(case)
    return {case: chosen.get(case, (1.0, 0.0)) for case in cases}


def share_for(case: Case, measured: Mapping[Case, float]) -> float:
    """Return the share measured for the case or for the next larger batch of its model and precision, else 1."""
    model, batch_size, precision = case
    sizes = [size for name, size, asked in measured if (name, asked) == (model, precision) and size >= batch_size]
    return measured[model, min(sizes), precision] if sizes else 1.0


def memory_fraction(gpus: float, gpu_bytes: int) -> float | None:
    """Return the fraction of the GPU's memory that the allocator of a process may hold, None for all of it.

    The CUDA context of the process is part of its share, so that the shares of a GPU never exceed its memory.
    """
    if not 0 < gpus < 1:
        return None
    return max(0.0, math.floor(1000 * (gpus - CONTEXT_BYTES / gpu_bytes)) / 1000)
