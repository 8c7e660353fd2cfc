"""Sweeps in processes of their own, while they run and after."""

import dataclasses
import subprocess
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.user_code import UserCode, provide, without_folder
from results.store.store import Store
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from sweep.observers.live_view import make_console
from sweep.search.opening import open_search, search_settings
from sweep.search.search import Search
from tests.integration_tests.killed_sweep import CLOCKS
from tests.integration_tests.processes import holder, kill
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.ledger.files import LOCK
from trainable.ledger.reading import read_trial
from trainable.records import EpochRecord
from trainable.standalone import train

Start = Callable[..., subprocess.Popen[str]]
"""`start(space, store, *options)`: a driver that has just been started."""
SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 6, train_subset: 256, test_subset: 100, precision: fp32}
grid:
  batch_size: [32, 64]
  lr: [0.05, 0.2]
"""
MY_NET = Path(__file__).with_name("my_net.py")
OWN_MODEL = f"{MY_NET}:SmallCNN"
"""A model of a user's own, about as slow as `resnet_preact_8`."""
PATIENCE_SECONDS = 240.0
"""Longest wait for anything that needs at most one start of Ray, on a machine busy with other tests."""


@dataclass(frozen=True, slots=True)
class InterruptedSweep:
    """A sweep of SPACE that was run four times, and what each run said."""

    space: Path
    store: Path
    stopped_store: Path
    """A copy from between the first run and the second."""
    by_ctrl_c: subprocess.CompletedProcess[str]
    by_a_move: subprocess.CompletedProcess[str]
    """The run during which the store was moved to where it is now."""
    by_a_kill: subprocess.CompletedProcess[str]
    last: subprocess.CompletedProcess[str]
    """The run in which a worker was killed."""


def end_of(driver: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for it."""
    output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
    return subprocess.CompletedProcess(driver.args, driver.returncode, output, errors)


def kill_a_worker(driver: subprocess.Popen[str], store: Path) -> None:
    """Kill a worker that trains a trial."""
    while driver.poll() is None:
        for folder in store.glob("trials/*"):
            if pid := holder(driver.pid, folder / LOCK):
                kill([pid])
                return
    raise AssertionError("the sweep has ended")


def tables(store: Path, name: str = "small") -> tuple[pa.Table, pa.Table]:
    """Read both tables without the columns that depend on clocks."""
    both = [pq.read_table(store / name / f"{table}.parquet") for table in ("trials", "epochs")]
    trials, epochs = (table.drop_columns([c for c in table.column_names if c in CLOCKS]) for table in both)
    return trials, epochs


def epoch_lines(store: Path) -> set[bytes]:
    """The lines of all epochs in the ledgers; no two are alike, since each holds times."""
    return {line for path in store.glob("trials/*/epochs.jsonl") for line in path.read_bytes().splitlines()}


def wait_for_epochs(store: Path, count: int, beside: Set[bytes] = frozenset()) -> None:
    """Wait until the ledgers hold `count` epochs other than those in `beside`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(epoch_lines(store) - beside) < count:
        assert time.monotonic() < deadline, "the sweep makes no progress"
        time.sleep(0.05)


def search_on_digits(space: Path, store: Store) -> Search:
    """The search that a space declares, as far as it has come in the store."""
    loaded = load_space(str(space))
    maker = expand(loaded, {}).search
    assert maker is not None
    data = load_digits()
    settings = search_settings(loaded.name, maker, dataset=data.name, fingerprint=data.fingerprint)
    return open_search(store, settings, maker, data)


def figures(records: list[EpochRecord]) -> list[dict[str, Any]]:
    """A training's epochs, without what depends on clocks and on the number of interruptions."""
    rows = [dataclasses.asdict(record) for record in records]
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in rows]


def trained_here(config: TrainConfig, folder: Path) -> list[dict[str, Any]]:
    """The same training, uninterrupted, in this process."""
    provide([UserCode(without_folder(OWN_MODEL), MY_NET.read_text())])
    train(config, load_digits(), folder, 1, make_console())
    return figures(read_trial(folder).epochs)
