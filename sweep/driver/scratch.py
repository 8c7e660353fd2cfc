"""A run's temporary folder."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trainable import provenance
from trainable.errors import UserError
from trainable.ledger.files import LOCK
from trainable.ledger.filesystems import MB
from trainable.ledger.locks import LedgerBusyError, exclusive_lock, is_locked

PREFIX = "batchscape-"
SHORT_PARENT = Path("/tmp")  # noqa: S108 (a folder with an unforeseeable name is made in it)
MAX_PATH_BYTES = 43
"""Longest path of Ray's folder: the kernel allows 107 bytes for that of a socket, and Ray adds 64 at most."""
STARTING_SECONDS = 60.0
"""Age at which a folder without a lock is no longer that of a run that is just starting."""
NEEDED_BYTES = 32 * 10**6
"""Room for the logs of Ray, the copies of the source and Tune's state of a run."""
SHIPPED_PACKAGES = ("models", "trainable")


@contextlib.contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a temporary folder for this run, delete it at the end, and delete those of runs that were killed.

    Args:
        parent: the folder in which it is made; None takes TMPDIR.

    Raises:
        UserError: the folder of temporary files is full.
    """
    with contextlib.suppress(OSError):  # no temporary folder can be written: refused next
        _delete_abandoned(Path(tempfile.gettempdir()) if parent is None else parent)
    refuse_full()
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            with contextlib.suppress(LedgerBusyError):  # a run that starts now is just looking whether it is in use
                stack.enter_context(exclusive_lock(folder / LOCK))
                break
        try:
            yield folder
        finally:
            _delete(folder)


@contextlib.contextmanager
def short_path(folder: Path) -> Iterator[Path]:
    """Give a path to this folder that is short enough for the sockets below it: its own, or that of a link to it.

    The link lies in a folder that only this user may enter, so that nobody can exchange it.

    Raises:
        UserError: no link can be made.
    """
    if len(os.fsencode(folder)) <= MAX_PATH_BYTES:
        yield folder
        return
    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(scratch_folder(SHORT_PARENT)) / "ray"
            folder.mkdir()
            link.symlink_to(folder)
        except OSError as error:
            raise UserError(
                f"the temporary folder {folder.parent.parent} has too long a name for Ray's sockets, and "
                f"{SHORT_PARENT} cannot be used ({error.strerror}): set TMPDIR to a folder with a shorter name"
            ) from None
        yield link


def refuse_full(error_type: type[UserError] = UserError, kept: str = "") -> None:
    """Refuse a folder of temporary files without room for a run.

    Args:
        error_type: the error to raise.
        kept: words about the run that it ends.

    Raises:
        UserError: there is too little room.
    """
    remedy = f"{kept}make room there, or set TMPDIR to another folder, and run the same command again"
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError:  # Python has tried to write to each
        raise error_type(f"no temporary folder can be written (TMPDIR, /tmp, /var/tmp): {remedy}") from None
    if free < NEEDED_BYTES:
        room = f"has {free / MB:.1f} MB left, and a run needs {NEEDED_BYTES / MB:.1f} MB"
        raise error_type(f"the temporary folder {folder} {room}: {remedy}")


def copy_source(folder: Path) -> None:
    """Copy what workers import, so that it is frozen for the run and found before any other `models`."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    try:
        for package in SHIPPED_PACKAGES:
            shutil.copytree(provenance.ROOT / package, folder / package, ignore=ignored)
    except shutil.Error as error:  # a list of (source, target, reason)
        raise OSError(f"cannot write to {folder}: {error.args[0][0][2]}") from None


def _delete_abandoned(parent: Path) -> None:
    """Delete this user's folders in `parent` whose lock nobody holds. Those of other users are not touched."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it has just been deleted
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            lock = folder / LOCK
            if not os.path.lexists(lock):
                is_abandoned = time.time() - status.st_mtime > STARTING_SECONDS
            else:
                is_abandoned = stat.S_ISREG(lock.lstat().st_mode) and not is_locked(lock)
            if is_abandoned:
                _delete(folder)


def _delete(folder: Path) -> None:
    """Delete a folder, its lock last: without one it looks like the folder of a run that is just starting."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
