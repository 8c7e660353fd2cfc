"""A run's temporary folder."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainable import provenance
from trainable.ledger.files import LOCK
from trainable.ledger.locks import LedgerBusyError, exclusive_lock, is_locked

PREFIX = "batchscape-"
SHIPPED_PACKAGES = ("models", "trainable")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder for this run, delete it at the end, and delete those of runs that were killed."""
    _delete_abandoned()
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            with contextlib.suppress(LedgerBusyError):  # a run that starts now is just looking whether it is in use
                stack.enter_context(exclusive_lock(folder / LOCK))
                break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def copy_source(folder: Path) -> None:
    """Copy what workers import, so that it is frozen for the run and found before any other `models`."""
    for package in SHIPPED_PACKAGES:
        shutil.copytree(
            provenance.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )


def _delete_abandoned() -> None:
    """Delete this user's folders whose lock nobody holds any more. Those of other users are not touched."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it has just been deleted
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            if stat.S_ISREG((folder / LOCK).lstat().st_mode) and not is_locked(folder / LOCK):
                shutil.rmtree(folder, ignore_errors=True)
