"""The Multi-Process Service, played by scripts: every way in which it is not to be had has its reason."""

import os
from pathlib import Path

import pytest

from benchmarks.on_gpu.mps import CONTROL, Mps, MpsUnavailableError, running_mps
from benchmarks.on_gpu.workers import environment

DAEMON = """#!/bin/sh
if [ "$1" = -d ]; then
    echo "started in $CUDA_MPS_PIPE_DIRECTORY" >> "$TEST_LOG"
    echo "log of the server" > "$CUDA_MPS_LOG_DIRECTORY/server.log"
    sleep 30 &   # as a daemon does: keeps the output open
    echo $! > "$CUDA_MPS_PIPE_DIRECTORY/nvidia-cuda-mps-control.pid"
    exit 0
fi
read command
echo "$command" >> "$TEST_LOG"
case "$command" in
    quit) kill $(cat "$CUDA_MPS_PIPE_DIRECTORY/nvidia-cuda-mps-control.pid") ;;
    get_server_list) echo $SERVERS ;;
esac
"""
REFUSES = """#!/bin/sh
echo "An instance of this daemon is already running"
exit 1
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def install(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bin" / CONTROL
    path.parent.mkdir()
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def reason(device_type: str) -> str:
    with pytest.raises(MpsUnavailableError) as caught, running_mps(device_type):
        pytest.fail("it started")
    return str(caught.value)


def test_a_processor_has_none() -> None:
    assert reason("cpu") == "the device is a processor"


def test_without_the_program_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reason("cuda") == f"{CONTROL} is not on PATH"


def test_what_a_daemon_that_refuses_says_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(REFUSES, tmp_path, monkeypatch)
    assert "exit status 1: An instance of this daemon is already running" in reason("cuda")


def test_it_runs_in_a_folder_of_its_own_and_is_asked_to_quit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    install(DAEMON, tmp_path, monkeypatch)
    monkeypatch.setenv("SERVERS", "17")
    with running_mps("cuda") as mps:
        folder = mps.folder
        with environment(mps.environment):
            assert Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"]).parent == folder
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
        mps.check_clients()
    assert log.read_text().splitlines() == [f"started in {folder / 'pipe'}", "get_server_list", "quit"]
    assert not folder.exists()


def test_processes_that_do_not_reach_it_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    install(DAEMON, tmp_path, monkeypatch)
    monkeypatch.setenv("SERVERS", "")
    with running_mps("cuda") as mps, pytest.raises(MpsUnavailableError, match=r"did not reach.*log of the server"):
        mps.check_clients()
    assert log.read_text().splitlines()[-1] == "quit"


def test_it_is_stopped_after_an_error_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    install(DAEMON, tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt), running_mps("cuda"):
        raise KeyboardInterrupt
    assert log.read_text().splitlines()[-1] == "quit"


def test_the_end_of_the_logs_is_one_line_without_the_folder(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "control.log").write_text(f"first\nsocket {tmp_path}/pipe/control\n")
    assert Mps(CONTROL, tmp_path).log_tail() == "first / socket /pipe/control"
