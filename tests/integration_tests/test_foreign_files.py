"""What others put where a sweep writes, and a store that goes away while a sweep runs."""

import shutil
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from tests.conftest import Cli
from tests.integration_tests.damaged_sweep import Damaged
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import InterruptedSweep

pytestmark = pytest.mark.ray


def test_a_store_that_goes_away_ends_the_run(interrupted: InterruptedSweep) -> None:
    """The rows of the sweep, which went on in the moved store, are compared in test_sweep.py."""
    ended = interrupted.by_a_move
    assert ended.returncode == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "FAILED" not in ended.stdout
    data = "the place stays empty; the same command on the moved store gives the rows of an uninterrupted run"
    record("the store goes away during a run", user_sees(ended.stderr), ended.returncode, data)


def test_nothing_is_written_through_a_link_in_a_sweep(damaged: Damaged, cli: Cli, tmp_path: Path) -> None:
    store, outside = LocalStore(tmp_path / "store"), tmp_path / "outside"
    shutil.copytree(damaged.store.path, store.path, symlinks=True)
    outside.write_text("mine")
    (store.sweep_folder("faults") / "search.jsonl").symlink_to(outside)
    refused = cli("run", str(damaged.store.path.parent / "faults.yaml"), "--store", str(store.path))
    assert refused.stderr.count("\n") == 1
    assert outside.read_text() == "mine"
    record(
        "a symbolic link among a sweep's files", user_sees(refused.stderr), refused.returncode, "nothing is written"
    )
