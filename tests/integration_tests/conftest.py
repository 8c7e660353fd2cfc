"""Fixtures that the tests of whole sweeps share."""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.integration_tests.damaged_sweep import Damaged, damaged_sweep
from tests.integration_tests.running_sweeps import (
    SPACE,
    InterruptedSweep,
    Start,
    end_of,
    epoch_lines,
    kill_a_worker,
    wait_for_epochs,
)


@pytest.fixture
def start() -> Iterator[Start]:
    with starting() as begin:
        yield begin


@contextlib.contextmanager
def starting() -> Iterator[Start]:
    """Start a driver and come back at once; whatever is left running at the end is killed."""
    drivers: list[subprocess.Popen[str]] = []

    def begin(space: str, store: Path, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "tune_main.py"), "run", space, "--store", str(store), *options]
        pipe = subprocess.PIPE
        drivers.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, process_group=0))
        return drivers[-1]

    try:
        yield begin
    finally:
        for driver in drivers:
            with driver:
                driver.kill()


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> InterruptedSweep:
    """One sweep, interrupted by Ctrl-C, its store's move, its driver's death and a worker's: starts of Ray cost."""
    folder = tmp_path_factory.mktemp("interrupted")
    space, first_store, stopped_store = folder / "small.yaml", folder / "store", folder / "stopped"
    store = folder / "moved" / "store"
    space.write_text(SPACE)
    with starting() as start:
        driver = start(str(space), first_store)
        wait_for_epochs(first_store, 3)  # two of one trial, then: with one alone there is no speed
        driver.send_signal(signal.SIGINT)
        by_ctrl_c = end_of(driver)
        shutil.copytree(first_store, stopped_store)

        before = epoch_lines(first_store)
        driver = start(str(space), first_store)
        wait_for_epochs(first_store, 1, before)
        store.parent.mkdir()
        first_store.rename(store)
        by_a_move = end_of(driver)
        assert not first_store.exists()

        before = epoch_lines(store)
        driver = start(str(space), store)
        wait_for_epochs(store, 3, before)
        driver.kill()
        by_a_kill = end_of(driver)
        pq.read_table(store / "small" / "trials.parquet")  # readable at every moment

        before = epoch_lines(store)
        driver = start(str(space), store)
        wait_for_epochs(store, 1, before)
        kill_a_worker(driver, store)
        return InterruptedSweep(space, store, stopped_store, by_ctrl_c, by_a_move, by_a_kill, end_of(driver))


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return damaged_sweep(tmp_path_factory.mktemp("damaged"))
