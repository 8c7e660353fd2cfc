"""deploy/slurm/batchscape.sbatch, run with a stand-in for Slurm's commands."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.integration_tests.deploy_text import DEPLOY
from tests.integration_tests.running_sweeps import PATIENCE_SECONDS, SPACE, epoch_lines

SCRIPT = DEPLOY / "slurm" / "batchscape.sbatch"
OWN_PROCESSES = ("unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Prefix of a command that must not see other processes: `ray symmetric-run` stops every Ray that it sees."""
FORWARD = 'bash "$@" & until [[ -e $GO ]]; do sleep 0.1; kill -0 $! || break; done; kill -USR1 $!; wait $!'
"""Runs a script as Slurm does, and sends the signal of `--signal=B:USR1` when a file appears."""
FAKES = {
    "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    "scontrol": 'echo "$@" >> "$CALLS"\n[[ $1 == show ]] && echo 127.0.0.1 || true\n',
}
PYTHON_THAT_TELLS = 'printf "%q " python "$@" >> "$CALLS"; echo >> "$CALLS"\n'
FIRST_PORT = 20000
"""The script takes this one for job 0, the next for job 1."""
RAY_THAT_STARTS = 'echo "$@" >> "$CALLS"\nwhile [[ $1 != -- ]]; do shift; done\nshift\nexec "$@"\n'


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def install(folder: Path, programs: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}", encoding="utf-8")
        (folder / name).chmod(0o755)


def environment(tmp_path: Path, checkout: Path, job: int) -> dict[str, str]:
    """The environment that Slurm sets for a job on one node."""
    return os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": str(job),
        "SLURM_SUBMIT_DIR": str(checkout),
        "SLURM_JOB_NODELIST": "node[1]",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "2",
    }


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    """A checkout whose Python and Ray only pretend; what was called goes into `calls`."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "tune_main.py").touch()
    install(tmp_path / "bin", FAKES | {"ray": RAY_THAT_STARTS})
    return checkout


def submit(checkout: Path, *arguments: str, python: str = "exit 0\n", ray: str | None = None) -> tuple[int, str, str]:
    """Exit status, what the programs were called with, and standard error."""
    tmp_path = checkout.parent
    install(tmp_path / "bin", {"python": PYTHON_THAT_TELLS + python} | ({"ray": ray} if ray else {}))
    done = subprocess.run(
        ["bash", SCRIPT, *arguments], env=environment(tmp_path, checkout, 7), capture_output=True, text=True
    )
    calls = tmp_path / "calls"
    return done.returncode, calls.read_text(encoding="utf-8") if calls.exists() else "", done.stderr


def test_the_shell_can_read_it() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", SCRIPT], check=True)


def test_what_follows_the_script_is_given_to_run(pretended: Path) -> None:
    status, calls, _ = submit(pretended, "quickstart", "--name", "two words", "--store", "runs")
    assert status == 0
    assert "symmetric-run --address 127.0.0.1:20007 --min-nodes 1 --num-cpus=2 -- bash -c" in calls
    assert "python tune_main.py run quickstart --name two\\ words --store runs --address 127.0.0.1:20007 \n" in calls
    assert "requeue" not in calls


def test_each_job_has_a_token_in_its_environment_alone(pretended: Path) -> None:
    tokens = pretended.parent / "tokens"
    for _ in range(2):
        status, calls, errors = submit(
            pretended, "quickstart", python=f'echo "$RAY_AUTH_MODE $RAY_AUTH_TOKEN" >> "{tokens}"\n'
        )
        assert status == 0
    seen = [line.split() for line in tokens.read_text(encoding="utf-8").splitlines()]
    assert [mode for mode, _ in seen] == ["token", "token"]
    assert len({token for _, token in seen}) == 2
    for _, token in seen:
        assert re.fullmatch("[0-9a-f]{64}", token)
        assert token not in calls + errors


@pytest.mark.parametrize("code", [1, 2, 130])
def test_its_status_is_that_of_run(code: int, pretended: Path) -> None:
    status, calls, _ = submit(pretended, "quickstart", python=f"exit {code}\n")
    assert status == code
    assert "requeue" not in calls


def test_ray_that_does_not_start_is_no_success(pretended: Path) -> None:
    status, calls, errors = submit(pretended, "quickstart", ray="exit 0\n")
    assert status == 1
    assert "Ray was not started" in errors
    assert "python" not in calls


@pytest.mark.parametrize("minds_signals", [True, False])
def test_when_the_time_is_up_the_job_is_queued_again(minds_signals: bool, pretended: Path) -> None:
    trap = "trap 'sleep 0.5; echo has ended >> \"$CALLS\"; exit 130' TERM\n" if minds_signals else ""
    python = trap + 'kill -USR1 "$(cat "$PARENT")"\nfor _ in {1..100}; do sleep 0.1; done\n'
    parent = pretended.parent / "script"
    ray = f'echo $PPID > "{parent}"\nexport PARENT="{parent}"\n{RAY_THAT_STARTS}'
    install(pretended.parent / "bin", {"srun": f'echo $PPID > "{parent}"\n{FAKES["srun"]}'})
    status, calls, errors = submit(pretended, "quickstart", python=python, ray=ray.split("\n", 1)[1])
    assert status == (130 if minds_signals else 128 + signal.SIGTERM)
    assert calls.endswith("has ended\nrequeue 7\n" if minds_signals else "requeue 7\n")
    assert "goes on where it was stopped" in errors


@pytest.mark.parametrize("arguments", [(), ("quickstart",)])
def test_a_wrong_call_says_what_to_type(arguments: tuple[str, ...], tmp_path: Path) -> None:
    install(tmp_path / "bin", FAKES)
    done = subprocess.run(
        ["bash", SCRIPT, *arguments], env=environment(tmp_path, tmp_path, 7), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert ("sbatch deploy/slurm" in done.stderr) or ("submit from the root" in done.stderr)


@pytest.mark.ray
def test_a_sweep_is_stopped_before_its_time_is_up_and_kept(tmp_path: Path) -> None:
    """This test uses the real Ray, in a process namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run([*OWN_PROCESSES, "true"], capture_output=True).returncode:
        pytest.skip("no process namespaces here: `ray symmetric-run` would stop the Ray of other programs")
    install(tmp_path / "bin", FAKES)
    space, store = tmp_path / "small.yaml", tmp_path / "store"
    space.write_text(SPACE, encoding="utf-8")
    job = next(job for job in range(os.getpid() % 5000, 10000) if is_free(FIRST_PORT + job))
    command = [*OWN_PROCESSES, "bash", "-c", FORWARD, "_", str(SCRIPT), str(space), "--store", str(store)]
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as output:
        slurm = subprocess.Popen(
            command, env=environment(tmp_path, ROOT, job) | {"GO": str(tmp_path / "go")}, stdout=output, stderr=output
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(epoch_lines(store)) < 2 and slurm.poll() is None:
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        (tmp_path / "go").touch()
        status = slurm.wait(PATIENCE_SECONDS)
    said = log.read_text(encoding="utf-8")
    assert (status, (tmp_path / "calls").read_text(encoding="utf-8").splitlines()[-1]) == (130, f"requeue {job}"), (
        said
    )
    assert "the same command resumes" in said
    assert pq.read_table(store / "small" / "epochs.parquet").num_rows >= 2
    assert list(Path("/tmp").glob(f"batchscape-{job}-*")) == []  # noqa: S108 (the script's)
