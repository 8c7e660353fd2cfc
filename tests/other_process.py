"""Locks that another process holds, and sweeps that it drives."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRIVE = """
import sys, time
from pathlib import Path
from results.store.driver_record import recorded
from trainable.ledger.locks import exclusive_lock
folder = Path(sys.argv[1])
with exclusive_lock(folder / "lock"), recorded(folder, "theirs"):
    print("locked", flush=True)
    time.sleep(60)
"""
HOLD = """
import sys, time
from pathlib import Path
from trainable.ledger.locks import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@contextmanager
def locked(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process, which is yielded, hold the lock."""
    with _process(HOLD, path) as process:
        yield process


@contextmanager
def driven(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process, which is yielded, drive the sweep in the folder."""
    with _process(DRIVE, folder) as process:
        yield process


@contextmanager
def _process(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()
