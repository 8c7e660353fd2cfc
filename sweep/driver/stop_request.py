"""What makes a run stop: a signal, its time limit, a failed trial, or the loss of its sweep."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

from sweep.request import StopCause, TimeLimit

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""The last one is Slurm's warning before a job's end."""


class StopRequest:
    """Remembers what first made the run stop, for those who ask: one of STOP_SIGNALS, its time limit, or a failure.

    While trials run it is asked after each step of Tune's loop, at least ten times a second. A KeyboardInterrupt that
    is raised wherever the signal happens to arrive can be swallowed by Ray or by a callback of a C library, and the
    sweep would run on. A second signal raises at once.
    """

    def __init__(
        self,
        check_driver: Callable[..., None] = lambda **ask: None,
        *,
        limit: TimeLimit | None = None,
        fail_fast: bool = False,
    ) -> None:
        """
        Args:
            check_driver: checks that the run still drives its sweep (`Store.check_driver`).
            fail_fast: whether a failed trial stops the run.
        """
        self.check_driver = check_driver
        self.cause: StopCause | None = None
        self._signal: str | None = None
        self._limit = limit
        self._fail_fast = fail_fast

    @property
    def is_requested(self) -> bool:
        """Whether the run is to stop."""
        if self.cause is None and self._limit is not None and time.monotonic() >= self._limit.stop_at:
            self.cause = StopCause.TIME_LIMIT
        return self.cause is not None

    @property
    def stopped_by(self) -> str | None:
        """What the history of the runs keeps of the cause: the name of the signal, or of another cause."""
        return self._signal or (self.cause.name if self.cause else None)

    def note_failure(self) -> None:
        """Note that a trial has failed."""
        if self._fail_fast:
            self.cause = self.cause or StopCause.FAILURE

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Inside this context signals are requests."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may have handlers
            return
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self.take_signals()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def take_signals(self) -> None:
        """Make the signals requests; once more after Tune has started, which takes SIGUSR1 for itself."""
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                signal.signal(number, self._handle)

    def raise_if_requested(self) -> None:
        """
        Raises:
            KeyboardInterrupt: the run is to stop.
        """
        if self.is_requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: object) -> None:
        if self.cause is StopCause.SIGNAL:
            raise KeyboardInterrupt
        self.cause, self._signal = StopCause.SIGNAL, signal.Signals(number).name


@contextlib.contextmanager
def warning_held_back() -> Iterator[None]:
    """Inside this context SIGUSR1 waits, in the processes that are started here for good.

    Slurm sends it to all processes of a step, and Ray's own would end at once.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
