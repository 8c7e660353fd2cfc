"""Sweeps in processes of their own, while they run and after."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.kill_rounds import CLOCKS

Start = Callable[..., subprocess.Popen[str]]
"""`start(space, store, *options)`: a driver that has just been started."""


def tables(store: Path, name: str = "small") -> tuple[pa.Table, pa.Table]:
    """Both tables without the columns that depend on clocks."""
    both = [pq.read_table(store / name / f"{table}.parquet") for table in ("trials", "epochs")]
    trials, epochs = (table.drop_columns([c for c in table.column_names if c in CLOCKS]) for table in both)
    return trials, epochs


def wait_for_epochs(store: Path, count: int) -> None:
    """Until the ledgers hold so many epochs."""
    deadline = time.monotonic() + 120
    while sum(len(path.read_bytes().splitlines()) for path in store.glob("trials/*/epochs.jsonl")) < count:
        assert time.monotonic() < deadline, "the sweep makes no progress"
        time.sleep(0.05)
