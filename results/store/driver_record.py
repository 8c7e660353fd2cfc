"""The record of the driver of a sweep in a folder, which whoever looks reads instead of trying the driver's lock.

The driver writes it while it holds the lock, sets its time every few seconds, and deletes it at the end.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from results.store.holder import (
    RECORD,
    RENEW_SECONDS,
    STALE_SECONDS,
    Holder,
    holder_from_json,
    holder_to_json,
    is_alive,
    this_process,
    utc,
)
from trainable.ledger.files import create_scratch, open_regular, write_atomically


@contextlib.contextmanager
def recorded(folder: Path, run_id: str) -> Iterator[None]:
    """Let others see that this process, which holds the lock in the folder, drives the sweep.

    Raises:
        OSError: the record cannot be written.
    """
    path = folder / RECORD
    write_atomically(path, holder_to_json(this_process(run_id, since=utc())))
    over = threading.Event()
    with path.open("rb") as file:  # this very file, also if the store moves and another takes its place
        keeper = threading.Thread(target=_renew, args=(file.fileno(), over), name="driver record", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                    path.unlink()


def living_driver(folder: Path, *, read_only: bool = False) -> Holder | None:
    """Return the driver whose record lies in the folder; None if there is none, or it no longer lives.

    With `read_only` the time is that of this machine's clock, which no file need be written to learn.
    """
    try:
        with os.fdopen(open_regular(folder / RECORD, os.O_RDONLY), "rb") as file:
            holder, renewed_ns = holder_from_json(file.read()), os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None
    alive = None if holder is None else is_alive(holder)
    if alive is None and holder is not None:
        # A time in the future is no sign of life, either: the clock was set back since.
        alive = abs((time.time_ns() if read_only else _now_ns(folder)) - renewed_ns) < STALE_SECONDS * 1e9
    return holder if alive else None


def _renew(descriptor: int, over: threading.Event) -> None:
    """Set the time of the record until the run is over, by the file system's clock; this needs no room on a disk."""
    while not over.wait(RENEW_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(descriptor)


def _now_ns(folder: Path) -> int:
    """Return the time of a file that is written now, or of this machine's clock if the folder is read-only."""
    try:
        file, scratch = create_scratch(folder / RECORD)
        with file:
            now_ns = os.fstat(file.fileno()).st_mtime_ns
        scratch.unlink(missing_ok=True)
    except OSError:
        return time.time_ns()
    return now_ns
