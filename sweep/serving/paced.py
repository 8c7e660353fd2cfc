"""Values that many requests share and that are read again at most every few seconds."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

REST_PER_WORK = 20
"""Time between two readings as a multiple of the processor time that the last one took."""
Value = TypeVar("Value")


class Paced(Generic[Value]):
    """A value that one request at a time reads, if it is asked for and the last reading is old enough.

    Requests that come meanwhile get the last value; those that come before there is one wait for it.
    """

    def __init__(
        self,
        read: Callable[[], Value],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        """
        Args:
            read: reads the value.
            seconds: shortest time between two readings.
            clock: tells the time in seconds.
            work: tells the processor time of the thread in seconds.
        """
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._work = work
        self._lock = threading.Lock()
        self._values: list[Value] = []
        self._next_at = 0.0

    def get(self) -> Value:
        """Return the value; an error of the first reading is raised, and the next call tries again."""
        if self._is_due() and self._lock.acquire(blocking=not self._values):
            try:
                if self._is_due():
                    worked = self._work()
                    self._values[:] = [self._read()]
                    worked = self._work() - worked
                    self._next_at = self._clock() + max(self._seconds, REST_PER_WORK * worked)
            finally:
                self._lock.release()
        return self._values[0]

    def _is_due(self) -> bool:
        return not self._values or self._clock() >= self._next_at
