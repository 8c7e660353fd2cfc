"""Several trainings in one process: each in a thread of its own and, on a GPU, on a CUDA stream of its own.

Their kernels are those of a training alone, so that the results are the same bit for bit. They share one
CUDA context.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from models.user_code import is_reference
from trainable.config import TrainConfig
from trainable.engine import OnStep
from trainable.execution import Execution
from trainable.precision import TF32

T = TypeVar("T")
OnStream = Callable[[], contextlib.AbstractContextManager[object]]
"""Makes the context in which a thread works on a stream."""


class Turns:
    """Lets the trainings of a process run together, but what prepares or frees one run alone.

    While a thread records a CUDA graph, no other may allocate GPU memory, wait for the GPU or launch anything.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_together = 0
        self._num_waiting = 0
        self._is_alone = False

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Work beside other threads that do so."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Work while no other thread does. Must not be entered inside `together`."""
        with self._changed:
            self._num_waiting += 1
            self._changed.wait_for(lambda: not (self._is_alone or self._num_together))
            self._num_waiting -= 1
            self._is_alone = True
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

    def giving_way(self, on_step: OnStep | None) -> OnStep:
        """Return what to call between two steps inside `together`, to let a thread be alone that waits for it."""

        def give_way(step: int) -> None:
            if self._num_waiting:
                self._leave()
                self._enter()
            if on_step is not None:
                on_step(step)

        return give_way

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_alone or self._num_waiting))
            self._num_together += 1

    def _leave(self) -> None:
        with self._changed:
            self._num_together -= 1
            self._changed.notify_all()


def own_stream(device: torch.device) -> OnStream:
    """Return what puts a thread on a new CUDA stream, always the same one; on a CPU it does nothing."""
    if device.type != "cuda":
        return contextlib.nullcontext
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return lambda: torch.cuda.stream(stream)


def run_side_by_side(works: Sequence[Callable[[], T]], streams: Sequence[OnStream]) -> list[T]:
    """Do each work in a thread of its own and on its stream, all at the same time; return their results.

    Prepare a training beforehand, one after the other, inside its stream's context.

    Raises:
        Exception: the first that a work raised, after all have ended.
    """
    num_threads = torch.get_num_threads()

    def do(work: Callable[[], T], stream: OnStream) -> T:
        torch.set_num_threads(num_threads)  # a setting of each thread
        with stream():
            return work()

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(do, work, stream) for work, stream in zip(works, streams, strict=True)]
    return [future.result() for future in futures]


def can_share_process(config: TrainConfig, execution: Execution) -> bool:
    """Return whether a training touches no state of its process that others beside it depend on.

    User code may do anything, compilation keeps caches, and TF32 is a switch of the process. The noise scale needs a
    loop without a graph, and a lost parent would be trained again while all others wait.
    """
    is_own = any(is_reference(name) for name in (config.model, config.loss or ""))
    return not (is_own or execution.compile or config.noise_scale or config.parent or config.precision == TF32)


def is_lost(device: torch.device, turns: Turns) -> bool:
    """Return whether nothing works on the GPU any more in this process, as after an illegal access to memory."""
    if device.type != "cuda":
        return False
    with turns.together():
        try:
            torch.cuda.synchronize(device)
        except RuntimeError:
            return True
    return False
