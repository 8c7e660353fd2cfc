"""Trials that are too large: the kernel kills their process, or torch is refused the memory."""

import resource
import time
from pathlib import Path

import pytest

from benchmarks.processes import holder, kill, trial_workers
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.running_sweeps import Start, tables, wait_for_epochs
from trainable.ledger import LOCK, read_trial

pytestmark = pytest.mark.ray

DEFAULTS = "{model: resnet_preact_8, test_subset: 20, precision: fp32, epochs: 3}"
SPARE_BYTES = 2**20


def statuses(store: Path) -> list[str]:
    found: list[str] = tables(store, "large")[0]["status"].to_pylist()
    return found


@pytest.fixture
def space(tmp_path: Path) -> Path:
    return tmp_path / "large.yaml"


def test_a_process_that_is_killed_again_and_again_fails_its_trial_alone(
    space: Path, tmp_path: Path, start: Start
) -> None:
    space.write_text(
        f"defaults: {DEFAULTS}\nrows: [{{batch_size: 32, epochs: 2000, train_subset: 64}}, {{batch_size: 64}}]\n"
    )
    store = tmp_path / "store"
    driver = start(str(space), store)
    killed: set[int] = set()
    deadline = time.monotonic() + 120
    while driver.poll() is None and time.monotonic() < deadline:
        for folder in store.glob("trials/*"):
            if read_trial(folder).config.get("epochs") == 2000 and (pid := holder(driver.pid, folder / LOCK)):
                kill([pid])
                killed.add(pid)
        time.sleep(0.05)
    output, errors = driver.communicate(timeout=60)
    assert len(killed) == 3
    assert statuses(store) == ["FAILED", "COMPLETE"]
    record(
        "a worker is killed again and again (out of memory)",
        user_sees(output + errors),
        driver.returncode,
        "after three deaths the row says FAILED; the other trials are trained; the next run tries again",
    )


def test_memory_that_torch_is_refused_fails_the_trial_alone(space: Path, tmp_path: Path, start: Start) -> None:
    space.write_text(
        f"defaults: {DEFAULTS}\nrows: [{{batch_size: 8, epochs: 20, train_subset: 64}}, {{batch_size: 1024}}]\n"
    )
    store = tmp_path / "store"
    driver = start(str(space), store, "--max-concurrent", "1")
    wait_for_epochs(store, 1)
    for pid in trial_workers(driver.pid):
        (size,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmSize"))
        limit = int(size.split()[1]) * 1024 + SPARE_BYTES
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    output, errors = driver.communicate(timeout=120)
    assert statuses(store) == ["COMPLETE", "FAILED"]
    (error,) = (text for text in tables(store, "large")[0]["error"].to_pylist() if text)
    assert "memory" in error
    record(
        "torch cannot allocate memory",
        user_sees(output + errors),
        driver.returncode,
        "the row says FAILED, with the error; the other trials are trained; the next run tries again",
    )
