"""Processes that live as long as a benchmark, take commands, and measure at the same time."""

import multiprocessing
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any, Self, TypeVar

Sample = TypeVar("Sample")

WAIT_SECONDS = 600.0
"""Longest wait for an answer, or for the other members to get ready."""
CLOSE_SECONDS = 10.0
"""Longest wait for a member to end before it is killed."""


class Window:
    """A period in which all members of a crew measure: none measures while another one rests."""

    def __init__(self, context: SpawnContext, num_members: int) -> None:
        self._num_members = num_members
        self._barrier = context.Barrier(num_members, timeout=WAIT_SECONDS)
        self._num_ended = context.Value("q", 0)
        self._num_windows = 0

    def samples(
        self, work: Callable[[], Sample], seconds: float, meanwhile: Callable[[], object] | None = None
    ) -> list[Sample]:
        """Repeat the work, at least once, for some seconds that begin when all members are ready.

        Until the last member has ended, this one goes on unmeasured with `meanwhile`, or with the work itself.
        """
        self._barrier.wait()
        started = time.perf_counter()
        samples = [work()]
        while time.perf_counter() - started < seconds:
            samples.append(work())
        with self._num_ended.get_lock():
            self._num_ended.value += 1
        self._num_windows += 1
        while self._num_ended.value < self._num_windows * self._num_members and not self._barrier.broken:
            (meanwhile or work)()
        return samples

    def abort(self) -> None:
        """Release the members that wait for this one."""
        self._barrier.abort()


class Crew:
    """Equal members, each in a process of its own: `with Crew(2, Member, argument) as crew`."""

    def __init__(self, num_members: int, member: Callable[..., object], *arguments: object) -> None:
        """Call `member(window, *arguments)` in each new process, and wait until all are ready.

        Raises RuntimeError with the traceback where that failed, EOFError where a member has died, and TimeoutError.
        """
        context = multiprocessing.get_context("spawn")
        self._window = Window(context, num_members)  # kept: its semaphores live as long as this object
        self._pipes: list[Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        for _ in range(num_members):
            pipe, far_end = context.Pipe()
            process = context.Process(target=_serve, args=(far_end, self._window, member, arguments))
            process.start()
            far_end.close()
            self._pipes.append(pipe)
            self._processes.append(process)
        try:
            self._answers()
        except BaseException:
            self.__exit__()
            raise

    def ask(self, method: str, *arguments: object) -> list[Any]:
        """Call the method in all members at the same time and return their answers; raise as the constructor does."""
        for pipe in self._pipes:
            pipe.send((method, arguments))
        return self._answers()

    def _answers(self) -> list[Any]:
        answers = []
        for pipe in self._pipes:
            if not pipe.poll(WAIT_SECONDS):
                raise TimeoutError(f"no answer within {WAIT_SECONDS:g} s")
            answers.append(pipe.recv())
        failures = [failure for failure, _ in answers if failure]
        if failures:
            raise RuntimeError("\n".join(failures))
        return [answer for _, answer in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._window.abort()
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(CLOSE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(
    pipe: Connection, window: Window, make_member: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    """Report when the member is ready, then take commands until the other end of the pipe is closed."""
    member: object = None
    while True:
        try:
            if member is None:
                member, answer = make_member(window, *arguments), None
            else:
                method, options = pipe.recv()
                answer = getattr(member, method)(*options)
        except EOFError:
            return
        except Exception:
            window.abort()
            pipe.send((traceback.format_exc(), None))
            if member is None:
                return
        else:
            pipe.send((None, answer))
