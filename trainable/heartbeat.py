"""Tells the driver that a training moves: every few seconds, but only while it does. Standard library only."""

import json
import os
import platform
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

TELL_SECONDS = 5.0
SLOWEST_FACTOR = 20.0
"""A training may stand still for as many times the longest pause between two moves so far."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What is told of a process that trains."""

    host: str
    pid: int
    node: str
    """Identifier of the node in the Ray cluster."""
    moves: int
    """Number that grows with each step and each batch that is evaluated."""
    is_busy: bool
    """Whether the process works on an epoch; otherwise it waits for the driver."""
    allowed_seconds: float
    """Time without a move that can be honest, by the model and by what was seen so far."""

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Pulse:
    """Counts the moves of one training."""

    def __init__(self) -> None:
        self.moves = 0
        self.slowest_seconds = 0.0
        self._moved_at = time.monotonic()

    def begin(self) -> None:
        """Count a move; the time before it was not spent on the trial."""
        self._moved_at = time.monotonic()
        self.moves += 1

    def beat(self) -> None:
        """Count a move."""
        now = time.monotonic()
        self.slowest_seconds = max(self.slowest_seconds, now - self._moved_at)
        self._moved_at = now
        self.moves += 1


class _ThreadPulse(threading.local):
    """The pulse of the training on which a thread works."""

    def __init__(self) -> None:
        self.pulse = Pulse()

    def beat(self) -> None:
        """Count a move."""
        self.pulse.beat()


PULSE = _ThreadPulse()
"""A global: whatever computes may beat, and nothing has to pass it on."""


class Heartbeat:
    """A thread that tells of a training's pulse. It falls silent, too, if Python's lock is never freed."""

    def __init__(self, node: str, tell: Callable[[str, Beat], None]) -> None:
        """
        Args:
            node: identifier of the node in the Ray cluster.
            tell: called with a trial's key and a beat; its errors are ignored.
        """
        self._node = node
        self._tell = tell
        self._pulse = Pulse()
        self._trial_key = ""
        self._is_busy = False
        self._allowed_seconds = 0.0
        self._has_begun = threading.Event()
        """Set when another trial begins, of which is told at once: it may stand still soon."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def begin(self, trial_key: str, allowed_seconds: float) -> None:
        """Note that this thread works on a trial now.

        Args:
            allowed_seconds: time without a move that the trial may take before anything is known of its speed.
        """
        is_new = trial_key != self._trial_key
        if is_new:
            self._pulse.slowest_seconds = 0.0
        PULSE.pulse = self._pulse
        self._pulse.begin()
        self._trial_key, self._allowed_seconds, self._is_busy = trial_key, allowed_seconds, True
        if is_new:
            self._has_begun.set()

    def rest(self) -> None:
        """Note that the trial waits for the driver."""
        self._pulse.begin()
        self._is_busy = False

    def beat(self) -> Beat:
        """Return what there is to tell now."""
        allowed = max(self._allowed_seconds, SLOWEST_FACTOR * self._pulse.slowest_seconds)
        return Beat(platform.node(), os.getpid(), self._node, self._pulse.moves, self._is_busy, allowed)

    def _run(self) -> None:
        told = -1
        while True:
            self._has_begun.wait(TELL_SECONDS)
            self._has_begun.clear()
            beat = self.beat()
            if self._trial_key and beat.moves != told:
                try:
                    self._tell(self._trial_key, beat)
                    told = beat.moves
                except Exception:  # noqa: S110 # the driver may be gone
                    pass


def end_process(pid: int) -> None:
    """Kill a process of this machine."""
    os.kill(pid, signal.SIGKILL)
