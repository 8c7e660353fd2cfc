"""Members of crews; a new process has to be able to import them."""

import time

from benchmarks.crew import Window


class Sleeper:
    """Works in sleeps."""

    def __init__(self, window: Window, shortest: float) -> None:
        self._window = window
        self._shortest = shortest

    def measure(self, seconds: float) -> tuple[int, float, float]:
        """Number of measured sleeps, and when the first began and the last ended (of the monotonic clock)."""
        spans: list[tuple[float, float]] = []

        def sleep() -> tuple[float, float]:
            started = time.monotonic()
            time.sleep(self._shortest)
            spans.append((started, time.monotonic()))
            return spans[-1]

        samples = self._window.samples(sleep, seconds)
        return len(samples), samples[0][0], spans[-1][1]

    def fail(self) -> None:
        raise ValueError("no reason")


class Unwilling:
    """Cannot be made."""

    def __init__(self, window: Window) -> None:
        raise ValueError("not today")
