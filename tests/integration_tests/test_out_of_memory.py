"""Trials that are too large: the kernel kills their process, or torch is refused the memory."""

import resource
import time
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.processes import holder, kill, trial_workers
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS, Start, tables
from trainable.ledger.files import LOCK
from trainable.ledger.reading import read_trial

pytestmark = [pytest.mark.ray, pytest.mark.faults]

SPACE = """
defaults: {model: resnet_preact_8, test_subset: 20, precision: fp32}
rows:
- {batch_size: 32, epochs: 2000, train_subset: 64}
- {batch_size: 8, epochs: 20, train_subset: 64}
- {batch_size: 1024, epochs: 3}
"""
SPARE_BYTES = 2**20
PROCESS_DIED = "the trial's process died: it was killed, or its memory was not enough"


def test_trials_that_are_too_large_fail_alone(tmp_path: Path, start: Start, cli: Cli) -> None:
    """The test kills the first trial in the kernel's place and limits the memory during the second."""
    space, store = tmp_path / "large.yaml", tmp_path / "store"
    space.write_text(SPACE)
    driver = start(str(space), store, "--max-concurrent", "1")
    killed: set[int] = set()
    while not has_epochs(trial_folder(store, 20)):
        assert driver.poll() is None, driver.communicate()
        large = trial_folder(store, 2000)
        if large is not None and (pid := holder(driver.pid, large / LOCK)):
            kill([pid])
            killed.add(pid)
        time.sleep(0.05)
    for pid in trial_workers(driver.pid):
        (size,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmSize"))
        limit = int(size.split()[1]) * 1024 + SPARE_BYTES
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
    assert len(killed) == 3
    rows = tables(store, "large")[0].select(["status", "error"]).to_pylist()
    assert [row["status"] for row in rows] == ["FAILED", "COMPLETE", "FAILED"]
    others = "the other trials are trained; the next run tries again"
    assert rows[0]["error"] == PROCESS_DIED
    record(
        "a worker is killed again and again (out of memory)",
        user_sees(output + errors, about=PROCESS_DIED),
        driver.returncode,
        f"after three deaths the row says FAILED; {others}",
    )
    assert "can't allocate memory" in rows[2]["error"]
    record(
        "torch cannot allocate memory",
        user_sees(output + errors, about="can't allocate memory"),
        driver.returncode,
        f"the row says FAILED, with the error; {others}",
    )
    assert ", for all 2 failed trials: logs --failed --sweep large --store " in output
    died, refused = cli("logs", "--failed", "--sweep", "large", "--store", str(store)).stdout.split("\n\n")
    assert "told by Ray, in the driver:" in died
    assert died.count("worker process has died") == len(killed)
    assert "Traceback (most recent call last):" in refused


def trial_folder(store: Path, epochs: int) -> Path | None:
    """The ledger of the trial with this number of epochs; None while there is none."""
    folders = store.glob("trials/*")
    return next((folder for folder in folders if read_trial(folder).config.get("epochs") == epochs), None)


def has_epochs(folder: Path | None) -> bool:
    return folder is not None and bool(read_trial(folder).epochs)
