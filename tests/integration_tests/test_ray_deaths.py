"""Processes of Ray, and a worker, that are killed, stand still or are gone: what the user is told, and when."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.status.status import sweep_status
from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.processes import family, holder, kill
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS, Start, epoch_lines, wait_for_epochs
from trainable.ledger.files import LOCK
from trainable.ledger.reading import read_trial

pytestmark = pytest.mark.ray
SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 8, train_subset: 128, test_subset: 20, batch_size: 32}
grid: {lr: [0.05, 0.1, 0.2]}
"""
DRIVER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
CHANGED
from cli.main import main
sys.exit(main(sys.argv[1:]))
"""
IMPATIENT = (
    "from sweep.driver import supervision\n"
    "supervision.LOOK_SECONDS, supervision.GIVE_UP_SECONDS, supervision.TOLD_SHARE = 1.0, 30.0, 0.5"
)
ALONE = (
    "import functools, ray; ray._private.services.find_gcs_addresses = functools.cache(set)\n"
    "from sweep.driver import ray_environment; ray_environment.ANSWER_SECONDS = 1.0"
)
"""Keeps Ray from finding what else runs on this machine."""
LONGEST_SECONDS = 60.0
LINGER_SECONDS = 10.0


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for temporary files; its path is short, since Ray's sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix=""))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return str(path)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("fault", "program"),
    [("Ray's control service (GCS) is killed", "gcs_server"), ("Ray's raylet is killed", "raylet/raylet")],
)
def test_the_death_of_ray_ends_the_run_in_time(
    fault: str, program: str, space: str, scratch: Path, tmp_path: Path, start: Start, cli: Cli
) -> None:
    store = tmp_path / "store"
    driver = start(space, store)
    wait_for_epochs(store, 4)
    processes = family(driver.pid)
    [victim] = [pid for pid, title in processes.items() if program in title.split(" ")[0]]
    before = epoch_lines(store)
    kill([victim])
    output, errors = driver.communicate(timeout=LONGEST_SECONDS)
    assert errors.count("\n") == 1, errors
    assert "FAILED" not in output
    assert before <= epoch_lines(store)
    deadline = time.monotonic() + LINGER_SECONDS
    while left := [title for pid, title in processes.items() if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert list(scratch.iterdir()) == []
    assert not LocalStore(store).is_running("small")
    resumed = cli("run", space, "--store", str(store))
    assert resumed.returncode == 0, resumed.stderr
    assert " to resume, " in resumed.stdout
    data = "nothing is left over; the same command resumes"
    record(fault, user_sees(errors), driver.returncode, data)


@pytest.mark.faults
def test_a_worker_that_stands_still_is_told_and_ended(space: str, scratch: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    command = [sys.executable, "-c", DRIVER.replace("CHANGED", IMPATIENT), "run", space, "--store", str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        try:
            wait_for_epochs(store.path, 4)
            for folder in store.trials_folder.iterdir():
                if pid := holder(driver.pid, folder / LOCK):
                    os.kill(pid, signal.SIGSTOP)
                    break
            manifest = store.manifest("small")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while folder.name not in sweep_status(store, manifest).stalled:
                assert time.monotonic() < deadline
                time.sleep(0.5)
            output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
        finally:
            kill(list(family(driver.pid)))
    assert (driver.returncode, errors) == (0, "")
    assert f", process {pid}) was ended" in output
    assert sweep_status(store, manifest).done == 3
    assert len(read_trial(folder).attempts) == 2
    told = [line for line in output.splitlines() if f"process {pid})" in line or "process died" in line]
    record(
        "a worker stands still",
        user_sees("\n".join(told)),
        driver.returncode,
        "the trial is resumed as after its process's death",
    )


def test_a_cluster_of_the_past_is_one_line(space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that Ray has recorded is refused, or taken by a process that stands still."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", DRIVER.replace("CHANGED", ALONE), "run", space, "--address", "auto"]
    current = tmp_path / "ray" / "ray_current_cluster"
    current.parent.mkdir()
    with socket.create_server(("", 0)) as still:
        current.write_text(f"127.0.0.1:{still.getsockname()[1]}")
        for reason in ("timed out", "Connection refused"):
            began_at = time.monotonic()
            refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert time.monotonic() - began_at < LONGEST_SECONDS
            assert refused.stderr.count("\n") == 1
            assert "cannot reach a Ray cluster at --address auto: nothing answers at " in refused.stderr
            assert refused.stderr.endswith(f" ({reason})\n")
            still.close()
    record("--address auto finds a dead cluster", user_sees(refused.stderr), refused.returncode, "nothing is trained")
