"""A sweep while it runs: what it offers to others on the network, who is refused, and how it is stopped."""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli
from tests.integration_tests.fault_table import record, user_sees
from tests.integration_tests.processes import family
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS, Start, end_of, wait_for_epochs
from trainable.ledger.checkpoints import newest_checkpoint
from trainable.ledger.files import EPOCHS

LISTEN = "0A"
RESUMES = "the sweep goes on from its last checkpoints"


def listening(pids: set[int]) -> Iterator[str]:
    """Addresses on which these processes accept TCP connections."""
    inodes = set()
    for pid in pids:
        try:
            links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:  # gone meanwhile
            continue
        inodes |= {str(link).removeprefix("socket:[").removesuffix("]") for link in links}
    for version in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{version}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTEN and inode in inodes:
                yield address(local.split(":")[0])


def address(digits: str) -> str:
    """Parse an address of /proc/net/tcp: words of four bytes, each in the machine's (little) order."""
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    found = ipaddress.ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found)


def test_addresses_are_read_as_the_kernel_writes_them() -> None:
    assert address("0100007F") == "127.0.0.1"
    assert address("00000000") == "0.0.0.0"  # noqa: S104
    assert address("00000000000000000000000001000000") == "::1"
    assert address("0000000000000000FFFF00000100007F") == "127.0.0.1"


@pytest.mark.ray
def test_a_running_sweep(tmp_path: Path, start: Start, cli: Cli) -> None:
    """One test for all checks, since each start of Ray costs seconds."""
    space, store = tmp_path / "small.yaml", tmp_path / "store"
    space.write_text(
        "defaults: {model: resnet_preact_8, epochs: 20000, train_subset: 64, test_subset: 20}\n"
        "rows: [{batch_size: 32}]\n"
    )
    driver = start(str(space), store)
    wait_for_epochs(store, 1)

    processes = family(driver.pid)
    ray_listens_on_this_machine_alone(processes)

    second = cli("run", str(space), "--store", str(store))
    running = json.loads(cli("status", "small", "--json", "--store", str(store)).stdout)
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another process is running the sweep 'small'" in second.stderr
    assert running["driver_running"]
    assert running["running"] == 1
    record("a second driver on one sweep", user_sees(second.stderr), second.returncode, "the first driver goes on")

    os.killpg(driver.pid, signal.SIGTERM)  # as `timeout` and systemd do
    output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
    assert driver.returncode == 130
    assert output.endswith("stopping: waiting for 1 trial to write its checkpoint\n")
    [trial] = store.glob("trials/*")
    num_epochs = len((trial / EPOCHS).read_text().splitlines())
    checkpoint, _ = newest_checkpoint(trial, num_epochs, trial.name)
    assert checkpoint is not None
    assert checkpoint.epochs_done == num_epochs
    assert "the same command resumes" in errors


@pytest.mark.faults
def test_a_run_ends_within_its_time_limit(tmp_path: Path, start: Start) -> None:
    space, store = tmp_path / "small.yaml", tmp_path / "store"
    space.write_text(
        "defaults: {model: resnet_preact_8, epochs: 20000, train_subset: 64, test_subset: 20}\n"
        "rows: [{batch_size: 32}, {batch_size: 64}]\n"
    )
    began = time.monotonic()
    done = end_of(start(str(space), store, "--time-limit", "00:01:30", "--max-concurrent", "1"))
    assert time.monotonic() - began < 90 + 10  # and the start of the program
    assert done.returncode == 0
    assert "stopped at the time limit with 0 of 2 trials done, 2 left; the same command resumes" in done.stderr
    [trial] = store.glob("trials/*")
    num_epochs = len((trial / EPOCHS).read_text().splitlines())
    checkpoint, _ = newest_checkpoint(trial, num_epochs, trial.name)
    assert checkpoint is not None
    assert checkpoint.epochs_done == num_epochs > 0


def ray_listens_on_this_machine_alone(processes: dict[int, str]) -> None:
    """
    Args:
        processes: id -> title, of the driver and all below it.
    """
    found = set(listening(set(processes)))
    assert any("raylet" in title for title in processes.values())
    assert found, "no socket of Ray's was found: this test sees nothing"
    assert {address for address in found if not ipaddress.ip_address(address).is_loopback} == set()
    assert not [
        title for title in processes.values() if "dashboard.py" in title and "--disable-frontend" not in title
    ]


@pytest.mark.ray
@pytest.mark.faults
def test_slurms_warning_on_a_machine_that_gives_little(tmp_path: Path) -> None:
    """One processor of several, a temporary folder with a long name, no UTF-8, no path of the program.

    Slurm sends its warning to all processes of a step.
    """
    space, store, temporary = tmp_path / "small.yaml", tmp_path / "störe", tmp_path / ("long" * 20)
    temporary.mkdir()
    space.write_text(
        "defaults: {model: resnet_preact_8, epochs: 20000, train_subset: 64, test_subset: 20}\n"
        "grid: {batch_size: [16, 32]}\n"
    )
    little = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(ROOT / "tune_main.py"), "run", str(space), "--store", str(store)]
    with subprocess.Popen(
        ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), *command],
        env=os.environ | little | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as driver:
        try:
            wait_for_epochs(store, 3)
            assert len(list((store / "trials").iterdir())) == 1
            for group in {os.getpgid(pid) for pid in family(driver.pid)}:
                os.killpg(group, signal.SIGUSR1)
            output, errors = driver.communicate(timeout=PATIENCE_SECONDS)
        finally:
            driver.kill()
    assert output.endswith("stopping: waiting for 1 trial to write its checkpoint\n"), errors
    last = json.loads((store / "small" / "runs.jsonl").read_text().splitlines()[-1])
    assert (last["num_slots"], last["interrupted"]) == (1, True)
    assert list(temporary.iterdir()) == []
    record("Slurm's warning before the end (SIGUSR1)", user_sees(output + errors), driver.returncode, RESUMES)
