"""Locks between the processes of one machine."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from trainable.ledger.files import open_regular


class LedgerBusyError(RuntimeError):
    """Another process holds the lock, for example because it is training the same trial."""


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` against every other process of this machine; the kernel frees the lock of a process that dies.

    Raises:
        LedgerBusyError: another process holds the lock, or has just moved its folder away.
    """
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise LedgerBusyError(str(path))
        except (BlockingIOError, FileNotFoundError):
            raise LedgerBusyError(str(path)) from None
        yield


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the lock."""
    if not path.is_file() or path.is_symlink():
        return False
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
