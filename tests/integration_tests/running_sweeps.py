"""Sweeps in processes of their own, while they run and after."""

import subprocess
import time
from collections.abc import Callable, Set
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.kill_rounds import CLOCKS

Start = Callable[..., subprocess.Popen[str]]
"""`start(space, store, *options)`: a driver that has just been started."""
PATIENCE_SECONDS = 240.0
"""For what takes a start of Ray at most, on a machine that is busy with other tests."""


def tables(store: Path, name: str = "small") -> tuple[pa.Table, pa.Table]:
    """Both tables without the columns that depend on clocks."""
    both = [pq.read_table(store / name / f"{table}.parquet") for table in ("trials", "epochs")]
    trials, epochs = (table.drop_columns([c for c in table.column_names if c in CLOCKS]) for table in both)
    return trials, epochs


def epoch_lines(store: Path) -> set[bytes]:
    """What the ledgers hold of all epochs; times are in each, so that no two are alike."""
    return {line for path in store.glob("trials/*/epochs.jsonl") for line in path.read_bytes().splitlines()}


def wait_for_epochs(store: Path, count: int, beside: Set[bytes] = frozenset()) -> None:
    """Until the ledgers hold so many epochs, those not counted that they held before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(epoch_lines(store) - beside) < count:
        assert time.monotonic() < deadline, "the sweep makes no progress"
        time.sleep(0.05)
