"""Processes of Ray, and a worker, that are killed, stand still or are gone: what the user is told, and when."""

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from tests.conftest import Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.processes import family, kill
from tests.integration_tests.running_sweeps import Start, epoch_lines, wait_for_epochs

pytestmark = pytest.mark.ray
SPACE = """
name: small
defaults: {model: resnet_preact_8, epochs: 40, train_subset: 256, test_subset: 20, batch_size: 32}
grid: {lr: [0.05, 0.1, 0.2]}
"""
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


def test_a_cluster_of_the_past_is_one_line(
    space: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that Ray has recorded is refused, or taken by a process that stands still."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    current = tmp_path / "ray" / "ray_current_cluster"
    current.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as still:
        address = f"127.0.0.1:{still.getsockname()[1]}"
        current.write_text(address)
        for reason in ("timed out", "Connection refused"):
            began_at = time.monotonic()
            refused = cli("run", space, "--store", str(tmp_path / "store"), "--address", "auto")
            assert time.monotonic() - began_at < LONGEST_SECONDS
            assert refused.stderr == (
                f"batchscape: cannot reach a Ray cluster at --address auto: nothing answers at {address} ({reason})\n"
            )
            still.close()
    record("--address auto finds a dead cluster", user_sees(refused.stderr), refused.returncode, "nothing is trained")
