"""Locks between the processes of one machine."""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trainable.errors import UserError
from trainable.ledger.files import open_regular

CANNOT_LOCK = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""Errors of file systems without locks."""


class LedgerBusyError(RuntimeError):
    """Another process holds the lock, for example because it is training the same trial."""


class CannotLockError(UserError):
    """The file system cannot lock files."""


def try_lock(file: IO[bytes], operation: int, folder: Path) -> None:
    """Lock a file, without waiting.

    Args:
        operation: LOCK_EX or LOCK_SH.
        folder: the folder that a message names.

    Raises:
        BlockingIOError: another process holds the lock.
        CannotLockError: the file system cannot lock files.
    """
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            raise
        raise CannotLockError(
            f"cannot lock files in {folder} ({error.strerror}), without which trials might be trained twice "
            "at the same time: give a --store on another file system"
        ) from None


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` against every other process of this machine; the kernel frees the lock of a process that dies.

    Raises:
        LedgerBusyError: another process holds the lock, or has just moved its folder away.
        CannotLockError: the file system cannot lock files.
    """
    with open_lock(path) as file:
        try:
            try_lock(file, fcntl.LOCK_EX, path.parent)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise LedgerBusyError(str(path))
        except (BlockingIOError, FileNotFoundError):
            raise LedgerBusyError(str(path)) from None
        yield


def open_lock(path: Path) -> IO[bytes]:
    """Open a file to lock it. Whoever may read a file may lock it, so only those who may write to it may read it.

    Raises:
        OSError: it cannot be opened.
    """
    file = os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")
    mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    for_writers = mode & 0o222 | (mode & 0o222) << 1
    if mode & ~for_writers & 0o444:
        with contextlib.suppress(OSError):  # another user's, or a file system without permissions
            os.fchmod(file.fileno(), for_writers)
    return file


def known_holder(path: Path) -> int | None:
    """Return the number of a process that holds a lock on the file, if the kernel tells; nothing is locked."""
    with contextlib.suppress(OSError):
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE 4711 fe:00:3047907 0 EOF
            if len(fields) > 5 and fields[4].isdecimal() and fields[5].endswith(f":{inode}"):
                return int(fields[4])
    return None


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the lock, which no process can on a file system without locks.

    The lock is taken for a moment, so only those who are about to write may ask.
    """
    if not path.is_file() or path.is_symlink():
        return False
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            try_lock(file, fcntl.LOCK_SH, path.parent)
    except BlockingIOError:
        return True
    except (CannotLockError, PermissionError):  # permission: it belongs to a user whose files we cannot write
        return False
    return False


def try_file(folder: Path) -> None:
    """Make and lock a file without a name in this folder, which leaves nothing behind.

    Raises:
        OSError: no file can be made there.
        CannotLockError: the file system cannot lock files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        try_lock(file, fcntl.LOCK_EX, folder)
