"""What makes a run stop: a signal, or the loss of its sweep."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""The last one is Slurm's warning before a job's end."""


class StopRequest:
    """Remembers the first of STOP_SIGNALS for those who ask.

    While trials run it is asked after each step of Tune's loop, at least ten times a second. A KeyboardInterrupt that
    is raised wherever the signal happens to arrive can be swallowed by Ray or by a callback of a C library, and the
    sweep would run on. A second signal raises at once.
    """

    def __init__(self, check_driver: Callable[..., None] = lambda **ask: None) -> None:
        """
        Args:
            check_driver: checks that the run still drives its sweep (`Store.check_driver`).
        """
        self.check_driver = check_driver
        self.is_requested = False

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
            KeyboardInterrupt: a signal has come.
        """
        if self.is_requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: object) -> None:
        self.raise_if_requested()
        self.is_requested = True


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
