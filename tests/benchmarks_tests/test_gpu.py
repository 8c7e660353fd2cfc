"""The GPU benchmark on a processor, as `--device cpu --quick` runs it, and the figures that it computes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import SECTIONS, Effort, Report, measure_sharing
from benchmarks.gpu_process import GpuJob
from benchmarks.mps import CONTROL, MpsUnavailableError, check_clients, running_mps
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """The JSON and the printed lines of the quick form."""
    folder = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--quick", "--to", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    (path,) = folder.iterdir()
    assert path.name.startswith("gpu-")
    return json.loads(path.read_text()), process.stdout.splitlines()


def test_every_section_has_figures(quick: tuple[dict[str, Any], list[str]]) -> None:
    figures, lines = quick
    sections = figures["sections"]
    assert list(sections) == ["correctness", "speed", "sharing"]
    speed = sections["speed"]["cells"]
    assert [cell["batch_size"] for cell in speed] == [32, 8, 8]
    assert [set(cell["figures"]) for cell in speed[1:]] == [{"eager", "graph"}, {"bf16", "fp16", "fp32"}]
    assert [cell["num_processes"] for cell in sections["sharing"]["cells"]] == [1, 2]
    assert sections["sharing"]["mps_unavailable"] == ["the device is not a GPU"]
    assert not any(key in section for section in sections.values() for key in ("failed", "left_out"))
    assert figures["data"] == {"name": "noise", "is_quick": True}
    for title in ("compared with the plain loop", "speed, median (least to most)", "trials that share the device"):
        assert sum(line.startswith(title) for line in lines) == 1


def test_on_a_processor_all_ways_give_the_same_bits(quick: tuple[dict[str, Any], list[str]]) -> None:
    cells = quick[0]["sections"]["correctness"]["cells"]
    assert [cell["precision"] for cell in cells] == ["fp32", "bf16", "fp16"]
    for cell in cells:
        losses, *others = cell["figures"].values()
        assert len(losses) == 2 * 3  # of three epochs
        assert len(others) == 3
        for found in others:
            assert found["equal_bit_for_bit"]
            assert found["largest_loss_difference"] == found["largest_weight_difference"] == 0


def test_a_folder_without_data_is_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--data", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
    assert "holds neither" in process.stderr


def test_a_checkout_of_three_packages_and_torch_are_enough(tmp_path: Path) -> None:
    for package in ("benchmarks", "models", "trainable"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import benchmarks.gpu, sys; print({'ray', 'pydantic', 'matplotlib', 'rich', 'sklearn'} & {*sys.modules})"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout.strip() == "set()"


def test_what_there_was_no_time_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "sharing", -1)
    report = Report(tmp_path, {})
    measure_sharing(GpuJob(False, None, (64, 20)), Effort(num_processes=(1, 8)), report)
    left_out = ["1 at once, without MPS", "8 at once, without MPS"]
    assert json.loads(report.path.read_text())["sections"]["sharing"]["left_out"] == left_out


def test_all_sections_together_take_less_than_a_quarter_of_an_hour() -> None:
    assert sum(SECTIONS.values()) <= 14 * 60


DAEMON = """#!/bin/sh
if [ "$1" = -d ]; then
    echo "started in $CUDA_MPS_PIPE_DIRECTORY" >> "$TEST_LOG"
    sleep 30 &   # as a daemon does: keeps the output open
    echo $! > "$CUDA_MPS_PIPE_DIRECTORY/pid"
    exit 0
fi
read command
echo "$command" >> "$TEST_LOG"
case "$command" in
    quit) kill $(cat "$CUDA_MPS_PIPE_DIRECTORY/pid") ;;
    get_server_list) echo $SERVERS ;;
esac
"""
REFUSES = """#!/bin/sh
echo "An instance of this daemon is already running"
exit 1
"""


def install(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the place of the service's control program."""
    path = tmp_path / "bin" / CONTROL
    path.parent.mkdir()
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def test_without_a_service_that_starts_the_reason_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MpsUnavailableError, match="FileNotFoundError"), running_mps(use_gpu=True):
        pytest.fail("it started")
    install(REFUSES, tmp_path, monkeypatch)
    with pytest.raises(MpsUnavailableError, match="exit status 1: An instance of this"), running_mps(use_gpu=True):
        pytest.fail("it started")


@pytest.mark.parametrize("servers", ["17", ""])
def test_the_service_runs_in_a_folder_of_its_own_and_is_stopped(
    servers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(DAEMON, tmp_path, monkeypatch)
    monkeypatch.setenv("TEST_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("SERVERS", servers)
    started = time.monotonic()
    with running_mps(use_gpu=True):
        folder = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
        if servers:
            check_clients()
        else:
            with pytest.raises(MpsUnavailableError, match="did not reach"):
                check_clients()
    assert time.monotonic() - started < 30
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert not Path(folder).exists()
    assert (tmp_path / "log").read_text().splitlines() == [f"started in {folder}", "get_server_list", "quit"]
