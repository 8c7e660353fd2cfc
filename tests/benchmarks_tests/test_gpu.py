"""The GPU benchmark on a processor, as `--device cpu --quick` runs it, and the figures that it computes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks.gpu import QUICK, SECTIONS, TOTAL_SECONDS, Effort, Report, Run, measure
from benchmarks.gpu_machine import CLOCKS, nvidia_smi
from benchmarks.gpu_process import Bench, Case, GpuJob, Row, Work, images_per_second, run_lanes
from benchmarks.gpu_profile import KINDS, spans_of, summarize
from benchmarks.gpu_speed import PEER, SWITCHES, padded_stem
from benchmarks.gpu_tell import markdown
from benchmarks.gpu_together import Joint, fitting, measure_processes
from benchmarks.images import noise
from benchmarks.mps import CONTROL, MpsUnavailableError, check_clients, running_mps
from models.registry import build_model
from tests.conftest import ROOT
from trainable import engine, static_epoch


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The JSON and the printed text of the quick form."""
    folder = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--quick", "--to", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    (path,) = folder.iterdir()
    assert path.name.startswith("gpu-")
    return json.loads(path.read_text()), process.stdout


def test_every_section_has_figures(quick: tuple[dict[str, Any], str]) -> None:
    figures, printed = quick
    sections = figures["sections"]
    assert list(sections) == list(SECTIONS)
    assert not any(key in section for section in sections.values() for key in ("failed", "left_out"))
    assert sections["together"]["mps_unavailable"] == ["the device is not a GPU"]
    cells = {name: section["cells"] for name, section in sections.items()}
    assert len(cells["tests"]) == 8
    assert {*cells["speed"][0]["figures"]} == {"eager", "graph", PEER}
    assert [cell["way"] for cell in cells["profiler"]] == ["graph", "eager", PEER]
    joint = [(cell["way"], cell["count"]) for cell in cells["together"]]
    assert joint == [("streams", 1), ("streams", 2), ("processes", 1), ("processes", 2)]
    assert [cell["switch"] for cell in cells["switches"]] == [*SWITCHES][1:]
    assert {cell["what"] for cell in cells["machine"]} >= {
        "convolutions alone",
        "matrix product",
        "copies",
        "launches",
    }
    assert len(cells["formats"][0]["train_losses"]) == QUICK.real.epochs
    assert figures["data"] == {"name": "noise", "is_quick": True}
    assert markdown(figures) in printed


def test_on_a_processor_all_ways_give_the_same_bits(quick: tuple[dict[str, Any], str]) -> None:
    cells = quick[0]["sections"]["tests"]["cells"]
    assert all(cell["passed"] for cell in cells)
    compared = [cell for cell in cells if "losses" in cell and "graph" in cell]
    assert len(compared) == 3
    for cell in compared:
        assert len(cell["losses"]) == 2 * QUICK.test.epochs
        for way in ("eager again", "graph", "graph, resumed at every epoch"):
            assert cell[way]["largest_loss_difference"] == cell[way]["largest_weight_difference"] == 0


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


def test_without_the_device_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.gpu.describe", fail)
    with pytest.raises(SystemExit, match="2"):
        measure(JOB, QUICK, Report(tmp_path, {}), [*SECTIONS], 60.0)
    assert capfd.readouterr().err.splitlines()[-1] == "gpu: the device cannot be used: ValueError: no reason"
    assert not [*tmp_path.iterdir()]


def sleep(bench: Bench, seconds: float) -> Row:
    time.sleep(seconds)
    return {"slept": seconds}


def die(bench: Bench) -> Row:
    os._exit(3)


def fail(bench: Bench) -> Row:
    raise ValueError("no reason\nat all")


def lose_device(bench: Bench) -> Row:
    bench.synchronize = bench.lost = mock.Mock(side_effect=RuntimeError("an illegal memory access"))  # type: ignore
    raise ValueError("lost")


def has_lost(bench: Bench) -> Row:
    return {"lost": hasattr(bench, "lost"), "process": os.getpid()}


JOB = GpuJob(False, noise(8, 8))


def run_made_up(lanes: list[list[Case]], seconds: float) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    run_lanes(JOB, lanes, time.monotonic() + seconds, lambda key, value: found.setdefault(key, []).append(value))
    return found


def test_what_hangs_or_dies_is_ended_and_the_next_measurement_begins() -> None:
    cases = [
        Case({"what": "hangs"}, sleep, (60.0,), 0.3),
        Case({"what": "fails"}, fail),
        Case({"what": "before"}, has_lost),
        Case({"what": "loses"}, lose_device),
        Case({"what": "after"}, has_lost),
        Case({"what": "dies"}, die),
        Case({"what": "last"}, sleep, (0.0,)),
    ]
    beside = [Case({"what": "beside"}, sleep, (0.01,))]
    found = run_made_up([cases, beside], 30.0)
    assert found["failed"] == [
        "hangs: the process did not answer in time",
        "fails: ValueError: no reason",
        "loses: ValueError: lost",
        "dies: the process died",
    ]
    by_name = {cell["what"]: cell for cell in found["cells"]}
    assert list(by_name) == ["beside", "before", "after", "last"]
    assert not by_name["after"]["lost"]
    assert by_name["after"]["process"] != by_name["before"]["process"]


def test_a_section_ends_at_its_deadline_and_names_what_it_left_out() -> None:
    started = time.monotonic()
    found = run_made_up(
        [[Case({"what": name, "batch_size": 8}, sleep, (60.0,)) for name in ("first", "second")]], 0.3
    )
    assert time.monotonic() - started < 3
    assert found == {
        "failed": ["first, batch_size 8: the process did not answer in time"],
        "left_out": ["second, batch_size 8"],
    }


def test_processes_end_at_the_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    joint = Joint((Work(8, 1), Work(16, 1)), (1, 2), 0.1)
    monkeypatch.setattr("benchmarks.gpu_together.prepare", die)
    measure_processes(JOB, joint, time.monotonic() + 30, lambda key, value: found.append((key, value)))
    assert [key for key, _ in found] == ["failed", "failed"]  # the next batch size gets new processes
    found.clear()
    measure_processes(JOB, joint, time.monotonic(), lambda key, value: found.append((key, value)))
    assert [key for key, _ in found] == ["left_out"] * 4


def test_all_sections_together_take_eleven_minutes() -> None:
    assert sum(SECTIONS.values()) + 30 <= TOTAL_SECONDS == 11 * 60


def test_small_gpus_are_tried_with_fewer_trainings() -> None:
    joint = Joint((), (1, 2, 4, 8, 16), 1.0)
    assert fitting(joint, None) == fitting(joint, 140 * 10**9) == joint
    assert fitting(joint, 8 * 10**9).counts == (1, 2, 4)
    assert fitting(joint, 10**9).counts == (1,)


def test_an_epoch_that_outlasts_the_time_counts_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.0, 14.0, 18.0, 22.0])
    monkeypatch.setattr("benchmarks.gpu_process.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=float))
    monkeypatch.setattr("benchmarks.gpu_process.run_epoch", lambda _: None)
    training: Any = SimpleNamespace(data=SimpleNamespace(train=range(100)))
    assert images_per_second(training, 10.0, 20.0) == (100 + 100 + 50) / 10


def test_kernels_that_overlap_count_once_as_busy_time() -> None:
    trace = {
        "traceEvents": [
            {"cat": "kernel", "name": "a", "ts": 100, "dur": 10},
            {"cat": "kernel", "name": "b", "ts": 105, "dur": 15},
            {"cat": "gpu_memcpy", "name": "copy", "ts": 130, "dur": 10},
            {"cat": "gpu_user_annotation", "name": "Optimizer.step", "ts": 90, "dur": 100},
            {"cat": "cuda_runtime", "name": "cudaGraphLaunch", "ts": 0, "dur": 5},
            {"ph": "M", "name": "process_name"},
        ]
    }
    found = summarize(spans_of(trace, KINDS[True]), 2)
    assert found["longest_kernels"][0] == {"name": "b", "us_per_step": 7.5, "per_step": 0.5}
    assert found["kernels_per_step"] == 1.5
    assert found["wall_us_per_step"] == 20
    assert found["busy_us_per_step"] == 15
    assert found["busy_share"] == 0.75
    assert (found["gaps_per_step"], found["median_gap_us"], found["longest_gap_us"]) == (0.5, 10, 10)
    with pytest.raises(RuntimeError, match="saw no kernels"):
        summarize([], 2)


def test_a_report_is_told_in_a_paragraph_and_tables() -> None:
    def run(rate: float, times: float) -> Row:
        ratios = {f"{kind}_times_the_first": {"median": times} for kind in ("train", "eval")}
        rates = {f"{kind}_images_per_second": {"median": rate} for kind in ("train", "eval")}
        return rates | ratios | {"start_seconds": 1.25, "peak_bytes": 10**9}

    speed = {"eager": run(10_000.0, 1.0), "graph": run(40_000.0, 4.0), PEER: run(20_000.0, 2.0)}
    joint = [{"way": way, "batch_size": 8, "count": count} for way in ("streams", "MPS") for count in (1, 4)]
    sections = {
        "tests": {"cells": [{"test": "a | b", "passed": False}, {"test": "c", "passed": True}, {"cold_start": 8}]},
        "speed": {"cells": [{"batch_size": 128, "compared": "eager/graph", "figures": speed}], "left_out": ["32"]},
        "together": {"cells": [row | {"images_per_second": 100.0 * (n + 1)} for n, row in enumerate(joint)]},
        "switches": {"cells": [{"batch_size": 8, "switch": "x", "figures": {"x": run(1.0, 1.01)}}]},
        "machine": {"cells": [{"what": "convolutions alone", "batch_size": 128, "images_per_second": 80_000.0}]},
        "formats": {"failed": ["fp16: the process died"]},
    }
    told = markdown(
        {"device": {"name": "GPU X"}, "versions": {"torch": "9.9"}, "date": "2026-11-30", "sections": sections}
    )
    paragraph, _, tables = told.partition("\n\n")
    assert paragraph == (
        "Measured on one GPU X, torch 9.9, 2026-11-30. 1 of 2 tests passed. At batch 128 a CUDA graph trains 40,000 "
        "images/s (4.00 times eager, 2.00 times strong peer). At batch 8 4 at once as MPS train the most: 400 "
        "images/s, 1.3 times one alone."
    )
    for line in (
        "| a \\| b | **no** |",
        "| 128, graph of eager/graph | 40,000 | 4 | 50 | 40,000 | 1.25 | 1,000 |",
        "| 8, MPS | 300 | 400 |",
        "| 8, x | 1.01 | 1.01 | no different |",
        "- speed, left out: 32",
        "- formats, failed: fp16: the process died",
    ):
        assert line in tables.splitlines()


def test_nvidia_smi_is_only_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LOG", str(tmp_path / "log"))
    script = '#!/bin/sh\necho "$@" >> "$TEST_LOG"\necho "1980, 1980, 3201, 345.67, [N/A], 580.1.2"\n'
    install(script, tmp_path, monkeypatch, "nvidia-smi")
    assert nvidia_smi() == dict(zip(CLOCKS, [1980.0, 1980.0, 3201.0, 345.67, "[N/A]", "580.1.2"], strict=True))
    options = (tmp_path / "log").read_text().split()
    assert [option.partition("=")[0] for option in options] == ["--query-gpu", "--format", "--id"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_smi() == {"unavailable": "nvidia-smi: FileNotFoundError"}


def test_a_gpu_gets_the_compiler_tf32_and_a_cold_start_of_each_batch_size() -> None:
    def names(section: str, is_gpu: bool) -> set[str]:
        return {case.name for lane in Run(JOB, Effort(), is_gpu, None).lanes(section) for case in lane}

    more = {section: names(section, True) - names(section, False) for section in SECTIONS if section != "together"}
    cold = {f"compiled, batch_size {size}" for size in (8, 32, 128, 512)}
    assert more["tests"] == cold | {"strong peer, compiled, batch_size 128"}
    assert len(more["speed"]) == 2 * 4
    assert more["profiler"] == {"batch_size 128, compiled", "batch_size 8, compiled"}
    assert len(more["switches"]) == 2 * 3
    assert not more["machine"] | more["formats"]


def test_the_switches_change_what_they_say() -> None:
    assert (engine.EVAL_BATCH_SIZE, torch.backends.cudnn.deterministic) != (5000, False)
    with SWITCHES["evaluation by 5000"](), SWITCHES["cuDNN chooses by measuring"](), SWITCHES["16 steps per graph"]():
        assert engine.EVAL_BATCH_SIZE == vars(static_epoch)["EVAL_BATCH_SIZE"] == 5000  # imported by value
        assert static_epoch.STEPS_PER_GRAPH == 16
        assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (True, False)
    assert not torch.backends.cudnn.benchmark
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 8, 8)
    plain, padded = (make("resnet_preact_8", 10, generator.manual_seed(0)) for make in (build_model, padded_stem))
    torch.testing.assert_close(padded.eval()(images), plain.eval()(images))


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
    "quit -t 2") kill $(cat "$CUDA_MPS_PIPE_DIRECTORY/pid") ;;
    get_server_list) echo $SERVERS ;;
esac
"""
REFUSES = """#!/bin/sh
echo "An instance of this daemon is already running"
exit 1
"""


def install(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = CONTROL) -> None:
    """Put a program in the place of the service's control program, or of another."""
    path = tmp_path / "bin" / name
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
    assert (tmp_path / "log").read_text().splitlines() == [f"started in {folder}", "get_server_list", "quit -t 2"]
