"""Show the status of a sweep again and again: redrawn in a terminal, elsewhere a line after each change."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.status.status import StatusReader, SweepStatus, status_json, status_text
from trainable.ledger.remote import RemoteError, is_uri
from trainable.wording import counted, printable, say

LOCAL_SECONDS, REMOTE_SECONDS = 2.0, 15.0
"""Default seconds between two looks at a local store and at one in a bucket."""
BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Look:
    """A status, and what a single status cannot tell."""

    status: SweepStatus
    seconds_left: float | None
    """Seconds left at the pace since the watch began.

    None if nothing was trained since then, if no driver is running, or if a trial has failed, which this run does not
    try again.
    """
    trouble: str | None = None
    """Why the status is not newer."""


class Watcher:
    """Looks at the status; the pace is that of the epochs since the first look."""

    def __init__(self, read: Callable[[], SweepStatus], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self.last = Look(read(), None)
        self._begin = clock(), self.last.status.epochs_done

    def look(self) -> Look:
        """Return the present status, or the last one seen if the store does not answer."""
        try:
            status = self._read()
        except RemoteError as error:
            return Look(self.last.status, None, str(error))
        self.last = Look(status, self._seconds_left(status))
        return self.last

    def _seconds_left(self, status: SweepStatus) -> float | None:
        began, epochs_before = self._begin
        if not status.driver_running:
            self._begin = self._clock(), status.epochs_done  # the pace of the next driver is another
            return None
        num_epochs = status.epochs_done - epochs_before
        if num_epochs <= 0 or status.failed:
            return None
        return (self._clock() - began) * (status.epochs_planned - status.epochs_done) / num_epochs


def watch(
    read: Callable[[], SweepStatus],
    console: Console,
    seconds: float,
    *,
    as_json: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepStatus:
    """Show the status every few `seconds`, until nothing is left and no driver is running.

    Returns:
        The last status.

    Raises:
        UserError: the first look fails.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    watcher = Watcher(read)
    look, said = watcher.last, ""
    redraws = console.is_terminal and not console.is_dumb_terminal and not as_json
    live = Live(console=console, auto_refresh=False, get_renderable=lambda: renderable(look))
    with live if redraws else contextlib.nullcontext():
        while True:
            if as_json:
                say(status_json(look.status, indent=None), file=console.file, flush=True)
            elif redraws:
                live.refresh()
            elif (line := line_of(look)) != said:
                said = line
                say(f"{datetime.now(UTC):%H:%M:%S}Z  {line}{_left_words(look)}", file=console.file, flush=True)
            if look.trouble is None and is_over(look.status):
                return look.status
            sleep(seconds)
            look = watcher.look()


def sweep_reader(store: Store, sweep: str) -> Callable[[], SweepStatus]:
    """Return a function that reads the status of a sweep, also when another driver has changed its trials.

    Raises:
        UserError: there is no such sweep.
    """
    reader = StatusReader(store, store.manifest(sweep))
    was_running = True

    def read() -> SweepStatus:
        nonlocal reader, was_running
        status = reader.read()
        if status.driver_running and not was_running:
            reader = StatusReader(store, store.manifest(sweep))
            status = reader.read()
        was_running = status.driver_running
        return status

    return read


def default_seconds(store: str) -> float:
    """Return the seconds between two looks; they are more for a bucket, where requests cost money."""
    return REMOTE_SECONDS if is_uri(store) else LOCAL_SECONDS


def is_over(status: SweepStatus) -> bool:
    """Return whether no driver is running and nothing is left that a run would train."""
    return not status.driver_running and (not status.left or status.nothing_trained)


def renderable(look: Look) -> Group:
    """Return what a terminal shows."""
    status = look.status
    bar = ProgressBar(total=max(1, status.epochs_planned), completed=status.epochs_done, width=BAR_WIDTH)
    words = [f"  {datetime.now(UTC):%H:%M:%S}Z{_left_words(look)}"]  # beside the bar
    if look.trouble is not None:
        words.append(f"{look.trouble}; trying again")
    elif gone := _gone_words(status):
        words.append(gone)
    return Group(Text(printable(status_text(status))), bar, Text(printable("\n".join(words))))


def line_of(look: Look) -> str:
    """Return `quickstart: 3 of 9 trials done, 2 running, 31 of 90 epochs`."""
    status = look.status
    if look.trouble is not None:
        return f"{status.sweep}: {look.trouble}; trying again"
    of_planned = "" if status.is_search else f"{status.epochs_done} of "  # a search does not know what is to come
    parts = [
        f"{status.done} of {counted(status.planned, 'trial')} done",
        f"{status.running} running" if status.running else "",
        f"{status.paused} paused" if status.paused else "",
        f"{len(status.stalled)} stalled" if status.stalled else "",
        f"{status.failed} failed" if status.failed else "",
        f"{of_planned}{counted(status.epochs_planned if of_planned else status.epochs_done, 'epoch')}",
        f"best {status.best}" if status.best is not None else "",
        _gone_words(status),
    ]
    return f"{status.sweep}: " + ", ".join(part for part in parts if part)


def _gone_words(status: SweepStatus) -> str:
    """Say that trials are left and no driver is running; empty otherwise."""
    if status.driver_running or is_over(status):
        return ""
    return f"no driver is running, {counted(status.left, 'trial is', 'trials are')} left: waiting for a `run`"


def _left_words(look: Look) -> str:
    return f", about {format_seconds(look.seconds_left)} left" if look.seconds_left else ""
