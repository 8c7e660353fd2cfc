"""How many trainings of one kind share a GPU, chosen from their memory and their joint speed. No torch."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
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

    def fit(self, count: int, *, streams: bool) -> bool:
        """Return whether `count` such trainings fit on the GPU at once, in one process on streams or each in its own.

        Those on streams share a context, but each must also fit into its share, in case it gets a process of its own.
        """
        if streams:
            fits = CONTEXT_BYTES + count * HEADROOM * self.peak_bytes <= self.gpu_bytes
            return fits and count * (self.peak_bytes + CONTEXT_BYTES) <= self.gpu_bytes
        return count * (HEADROOM * self.peak_bytes + CONTEXT_BYTES) <= self.gpu_bytes


class GpuWorkers(Protocol):
    """Trainings of the same configuration that share one GPU: processes, or streams of one."""

    def needs(self, case: Case) -> Needs:
        """Return the memory of one training."""

    def rate(self, case: Case) -> float:
        """Return the images per second of all trainings together; `needs` has been called before."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How trainings of one kind share a GPU."""

    gpus: float = 1.0
    """Share of a GPU that each gets."""
    streams: bool = False
    """Whether they train in one process, on CUDA streams, and not each in its own."""
    rate: float = 0.0
    """Images per second of a GPU that is shared in this way."""


StartWorkers = Callable[[int, bool], AbstractContextManager[GpuWorkers | None]]
"""Starts a number of trainings on a GPU, on streams or not; gives None if that is not possible."""


def choose_shares(
    cases: Sequence[Case], start_workers: StartWorkers, on_streams: Collection[Case] = ()
) -> dict[Case, Sharing]:
    """Return how each case shares a GPU.

    The number of trainings on one GPU is raised as long as they fit (with HEADROOM) and are MIN_GAIN times as fast
    together: first with a process for each, then on streams of one process, which are chosen only if they are
    MIN_GAIN times as fast as the processes.

    Args:
        on_streams: the cases that may train on streams.
    """
    chosen = _raised(cases, start_workers, streams=False)
    for case, sharing in _raised([case for case in cases if case in on_streams], start_workers, streams=True).items():
        if case in chosen and sharing.rate >= MIN_GAIN * chosen[case].rate:
            chosen[case] = sharing
    return {case: chosen.get(case, Sharing()) for case in cases}


def _raised(cases: Sequence[Case], start_workers: StartWorkers, *, streams: bool) -> dict[Case, Sharing]:
    best: dict[Case, Sharing] = {}
    promising = list(cases)
    for count in COUNTS[1:] if streams else COUNTS:  # one training on a stream is one process
        if not promising:
            break
        with start_workers(count, streams) as workers:
            if workers is None:
                break
            for case in list(promising):
                holds = workers.needs(case).fit(count, streams=streams) or count == 1
                rate = workers.rate(case) if holds else 0.0
                if holds and (case not in best or rate >= MIN_GAIN * best[case].rate):
                    best[case] = Sharing(1 / count, streams, rate)
                else:
                    promising.remove(case)
    return best


def share_for(case: Case, measured: Mapping[Case, Sharing]) -> Sharing:
    """Return what was measured for the case or for the next larger batch of its model and precision, else 1 GPU."""
    model, batch_size, precision = case
    sizes = [size for name, size, asked in measured if (name, asked) == (model, precision) and size >= batch_size]
    return measured[model, min(sizes), precision] if sizes else Sharing()


def memory_fraction(gpus: float, gpu_bytes: int) -> float | None:
    """Return the fraction of the GPU's memory that the allocator of a process may hold, None for all of it.

    The CUDA context of the process is part of its share, so that the shares of a GPU never exceed its memory.
    """
    if not 0 < gpus < 1:
        return None
    return max(0.0, math.floor(1000 * (gpus - CONTEXT_BYTES / gpu_bytes)) / 1000)
