"""The report of a sweep as `serve` shows it: the stored one, or one that is made for whoever asks."""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pyarrow as pa

from results.parquet.files import read_epochs, read_trials
from results.parquet.stamp import fingerprint, read_stamp
from results.store.store import Store
from trainable.errors import UserError

HTML = "report.html"
PROGRAM = Path(__file__).resolve().parents[2] / "tune_main.py"
MAX_SECONDS = 600.0
NICE = "import os, runpy, sys; os.nice(10); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
"""Code that runs a program with a low priority."""


class Reports:
    """Makes one report at a time, and keeps the last one."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._last: tuple[str, str, str, bytes] = ("", "", "", b"")

    def page(self, store: Store, option: str, sweep: str) -> bytes:
        """Return the stored report if it is made of the present tables, else a new one, which is not stored.

        Args:
            store: holds the sweep.
            option: the store as the user named it.
            sweep: its name.

        Raises:
            UserError: there are no tables to make it of, or making it failed.
        """
        stored = store.read(sweep, HTML)
        stamp = read_stamp(stored) if stored else None
        try:
            present = fingerprint(read_trials(store, sweep), read_epochs(store, sweep))
        except (UserError, pa.ArrowException):
            if stored:
                return stored
            raise
        if stored and stamp is not None and stamp.data == present:
            return stored
        with self._making:
            if self._last[:3] != (option, sweep, present):
                self._last = (option, sweep, present, _made(option, sweep))
            return self._last[3]


def _made(option: str, sweep: str) -> bytes:
    """Make a report in a child process: drawing takes seconds and hundreds of megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", NICE, str(PROGRAM), "report", sweep, f"--store={option}", "--to", folder]
        made = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)  # noqa: S603
        if made.returncode:
            raise UserError(made.stderr.strip().rpartition("\n")[2].removeprefix("batchscape: ") or "no report")
        return (Path(folder) / HTML).read_bytes()
