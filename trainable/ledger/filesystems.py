"""Errors that concern a whole file system, so that no trial of a store can be recorded any more."""

import errno
import os
import shutil
from pathlib import Path

from trainable.errors import RunEndedError

FULL = (errno.ENOSPC, errno.EDQUOT)
LASTING = (*FULL, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENOTCONN)
"""A full disk or quota, a file system that became read-only, or one whose server or device has gone."""
MB = 1e6


def is_lasting(error: BaseException) -> bool:
    """Return whether every other write would fail, too, until somebody mends the file system."""
    return isinstance(error, OSError) and error.errno in LASTING


def mount_point(folder: Path) -> Path:
    """Return where the file system of a folder, which need not exist, is mounted."""
    folder = folder.absolute()
    while folder != folder.parent and not os.path.ismount(folder):
        folder = folder.parent
    return folder


def file_system_text(folder: Path, error_number: int | None) -> str:
    """Name the file system of a folder, with the space that is left on it if it is full."""
    where = mount_point(folder)
    if error_number != errno.ENOSPC:
        return f"the file system {where}"
    return f"the file system {where} has {shutil.disk_usage(where).free / MB:.1f} MB left"


def trouble_text(error: OSError, folder: Path) -> str:
    """Say what is wrong with the file system of a folder."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{reason} ({file_system_text(folder, error.errno)})" if is_lasting(error) else reason


def cannot_write(location: object, trouble: str, needed_bytes: int = 0) -> RunEndedError:
    """Return the error that ends a run whose store cannot be written any more.

    Args:
        location: the store, or a file in it.
        trouble: as `trouble_text` says it.
        needed_bytes: what the running trials still have to write; 0 if that is unknown.
    """
    room = f" (the running trials may need {needed_bytes / MB:.1f} MB)" if needed_bytes else ""
    again = f"fix this{room} and run the same command again"
    return RunEndedError(f"cannot write to {location}: {trouble}; what was trained is kept: {again}")
