"""What `benchmarks/gpu.py` does on a GPU only, by its logic: with stand-ins for the device."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks import gpu_machine, gpu_profile, gpu_speed, gpu_tests, gpu_together
from benchmarks.gpu_machine import clocks, convolutions, launches
from benchmarks.gpu_process import COMPILED, Bench, GpuJob, Row, Work, describe
from benchmarks.gpu_tests import (
    cold_start,
    equality,
    memory_growth,
    nine_shapes,
    out_of_memory,
    tf32_compiled,
    two_graphs,
)
from benchmarks.gpu_together import Joint, measure_mps
from benchmarks.images import noise
from trainable.execution import Execution

WORK = Work(8, 2, "resnet_preact_8", epochs=1)
IMAGES = noise(32, 8)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench that takes the processor for a GPU."""
    made = Bench(GpuJob(False, IMAGES))
    made.is_gpu = True
    for name, answer in {
        "synchronize": None,
        "mem_get_info": (600, 1000),
        "memory_allocated": 100,
        "memory_reserved": 200,
        "set_per_process_memory_fraction": None,
        "get_device_properties": SimpleNamespace(total_memory=1000, multi_processor_count=132),
    }.items():
        monkeypatch.setattr(torch.cuda, name, mock.Mock(return_value=answer))
    return made


def test_memory_and_the_device_are_those_that_torch_tells(bench: Bench) -> None:
    assert bench.memory() == {"allocated_bytes": 100, "reserved_bytes": 200, "device_used_bytes": 400}
    assert describe(bench) | {"name": "", "cuda": ""} == {
        "name": "",
        "is_gpu": True,
        "precision_auto": describe(bench)["precision_auto"],
        "memory_bytes": 1000,
        "multiprocessors": 132,
        "cuda": "",
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def test_growing_memory_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "training", lambda work: None)
    monkeypatch.setattr(gpu_tests, "run_epoch", lambda training: None)
    for allocated, has_passed in (([50, 60, 60, 60], True), ([50, 60, 60, 61], False)):
        monkeypatch.setattr(torch.cuda, "memory_allocated", mock.Mock(side_effect=allocated))
        found = memory_growth(bench, WORK, 4)
        assert found["passed"] is has_passed
        assert found["allocated_bytes"] == allocated


def test_a_recording_that_runs_out_of_memory_has_to_say_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for outcome, has_passed in ((torch.OutOfMemoryError("2 GiB\nmore"), True), (None, False)):
        monkeypatch.setattr(bench, "training", mock.Mock(side_effect=outcome))
        assert out_of_memory(bench, WORK) == {"passed": has_passed, "raised": "2 GiB" if has_passed else None}
    limit: Any = torch.cuda.set_per_process_memory_fraction
    assert [call.args[0] for call in limit.call_args_list] == [gpu_tests.SMALL_MEMORY, 1.0] * 2


def test_shapes_that_are_silently_not_compiled_fail(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    for limit, has_passed in ((2, True), (9, False)):

        def compiled(model: torch.nn.Module, limit: int = limit) -> Any:  # noqa: ANN401
            answers = [*[torch.zeros(1)] * limit, RuntimeError("recompile_limit reached\nmore")]
            return mock.Mock(side_effect=answers)

        monkeypatch.setattr(gpu_tests, "_compiled", compiled)
        found = nine_shapes(bench, 3)
        assert (found["passed"], found["shapes_with_resets"]) == (has_passed, 3)
        assert found["raised"] == ("RuntimeError: recompile_limit reached" if has_passed else None)


def test_tf32_has_to_compile_and_to_come_close(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Execution]] = []
    made = SimpleNamespace(execution="compiled graph")

    def training(work: Work, execution: Execution) -> Any:  # noqa: ANN401
        asked.append((work.precision, execution))
        return made

    bench.device = torch.device("cuda")
    monkeypatch.setattr(bench, "training", training)
    monkeypatch.setattr(gpu_tests, "course", lambda *_: ([2.0, 2.0], {}))
    monkeypatch.setattr(gpu_tests, "_losses", lambda _: [2.01, 2.0])
    assert tf32_compiled(bench, WORK)["passed"]
    assert asked == [("tf32", COMPILED)]
    made.execution = "graph"
    assert not tf32_compiled(bench, WORK)["passed"]
    made.execution = "compiled graph"
    monkeypatch.setattr(gpu_tests, "_losses", lambda _: [2.5, 2.0])
    assert not tf32_compiled(bench, WORK)["passed"]


def test_other_bits_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = iter([0.0, 0.0, 1e-7, 0.0])
    monkeypatch.setattr(gpu_tests, "course", lambda *_, **__: ([1.0], {"weight": torch.full((2,), next(ways))}))
    found = equality(Bench(GpuJob(False, IMAGES)), WORK, "fp32")
    assert [part["passed"] for part in found.values() if isinstance(part, dict)] == [True, False, True]
    assert not found["passed"]
    assert found["graph"]["largest_weight_difference"] == pytest.approx(1e-7)


def test_a_graph_that_another_one_disturbs_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([[2.0], [1.0], [2.0], [float("nan")]])
    monkeypatch.setattr(gpu_tests, "_losses", lambda _: next(losses))
    monkeypatch.setattr(gpu_tests, "_weights", lambda _: {})
    monkeypatch.setattr(gpu_tests, "run_epoch", lambda _: None)
    monkeypatch.setattr(bench, "training", lambda _: None)
    assert not two_graphs(bench, WORK)["passed"]


def test_work_is_recorded_before_it_is_timed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Any] = []

    def record(parts: list[Any], restore: Any) -> list[Any]:  # noqa: ANN401
        recorded.extend(parts)
        restore()
        return parts

    monkeypatch.setattr("benchmarks.gpu_process.record_graphs", record)
    monkeypatch.setattr(bench, "seconds", lambda work: work() or 0.5)
    assert convolutions(bench, "resnet_preact_8", 2)["images_per_second"] == 4
    assert launches(bench, 5) == {"us_per_launch": 1e5, "us_per_kernel_in_graph": 1e5}
    assert len(recorded) == 2


def test_clocks_are_read_while_the_device_multiplies(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    product = mock.Mock()
    monkeypatch.setattr(gpu_machine, "_product", lambda *_: product)
    monkeypatch.setattr(gpu_machine, "time", SimpleNamespace(monotonic=iter([0.0, 0.5, 2.0]).__next__))
    monkeypatch.setattr(gpu_machine, "nvidia_smi", lambda: {"calls_before": product.call_count})
    assert clocks(bench) == {"calls_before": 0}
    assert clocks(bench, 64)["calls_before"] > 1000


def test_the_compiler_is_asked_for_in_both_loops(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    training, peer = mock.Mock(side_effect=ZeroDivisionError), mock.Mock(side_effect=ZeroDivisionError)
    monkeypatch.setattr(bench, "training", training)
    monkeypatch.setattr(gpu_speed, "StrongLoop", peer)
    for way in ("compiled", gpu_speed.COMPILED_PEER):
        with pytest.raises(ZeroDivisionError):
            cold_start(bench, WORK, way)
    training.assert_called_once_with(WORK, COMPILED)
    assert peer.call_args.args[0].compile_mode == "default"


def test_the_profiler_watches_the_gpu(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{"cat": "kernel", "name": "a", "ts": 1, "dur": 2}, {"cat": "cpu_op", "name": "b", "ts": 1}]
    trace = json.dumps({"traceEvents": events})
    made = mock.MagicMock()
    made.return_value.__enter__.return_value.export_chrome_trace = lambda path: Path(path).write_text(trace)
    monkeypatch.setattr(gpu_profile, "profile", made)
    monkeypatch.setattr(gpu_profile, "run_epoch", lambda _: None)
    monkeypatch.setattr(bench, "training", lambda *_: None)
    found = gpu_profile.profiled(bench, WORK, "graph")
    assert made.call_args.kwargs["activities"] == [torch.profiler.ProfilerActivity.CUDA]
    assert [kernel["name"] for kernel in found["longest_kernels"]] == ["a"]


def test_each_training_of_a_process_is_made_and_trained_on_its_own_stream(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[str, int]] = []
    current: list[int] = []
    numbers = iter(range(9))

    class Stream:
        def __init__(self, number: int) -> None:
            self.number = number

        def __enter__(self) -> None:
            current.append(self.number)

        def __exit__(self, *_: object) -> None:
            current.pop()

    def own_stream(device: torch.device) -> Any:  # noqa: ANN401
        number = next(numbers)
        return lambda: Stream(number)

    def training(work: Work) -> int:
        used.append(("made", current[-1]))
        return current[-1]

    monkeypatch.setattr(gpu_together, "own_stream", own_stream)
    monkeypatch.setattr(gpu_together, "run_epoch", lambda training: None)
    monkeypatch.setattr(gpu_together, "images_per_second", lambda training, begins, ends: 10.0 + training)
    monkeypatch.setattr(bench, "training", training)
    assert gpu_together.streams(bench, WORK, 1, 0.1)["images_per_second"] == 10
    found = gpu_together.streams(bench, WORK, 3, 0.1)
    assert (found["images_per_second"], found["slowest"], found["device_used_bytes"]) == (33, 10, 400)
    assert used == [("made", 0), ("made", 1), ("made", 2)]
    gpu_together.streams(bench, dataclasses.replace(WORK, batch_size=4), 1, 0.1)
    assert [key[1].batch_size for key in bench.kept] == [4]  # those of the other batch size have made room


def reach_service(bench: Bench, *_: object) -> Row:
    """Stands for training: tells in which service's folder the process runs."""
    return {"images_per_second": 5.0, "folder": os.environ.get("CUDA_MPS_PIPE_DIRECTORY")}


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Requests to the control program of the service, which answers as if a server ran."""
    requests: list[str] = []

    def answer(*options: str, request: str = "") -> str:
        requests.extend([*options, *request.split("\n")[:1]])
        return "17"

    monkeypatch.setattr("benchmarks.mps._control", answer)
    monkeypatch.setattr(gpu_together, "prepare", reach_service)
    monkeypatch.setattr(gpu_together, "rate", reach_service)
    yield requests


def test_processes_under_the_service_find_it(control: list[str]) -> None:
    found: list[tuple[str, Any]] = []
    joint = Joint((WORK,), (1, 2), 0.01)
    measure_mps(GpuJob(False, IMAGES), joint, time.monotonic() + 20, lambda *pair: found.append(pair), use_gpu=True)
    assert [key for key, _ in found] == ["cells", "cells"]
    assert [cell["images_per_second"] for _, cell in found] == [5, 10]
    assert all(cell["way"] == "MPS" and "mps-" in cell["folder"] for _, cell in found)
    assert [request for request in control if request] == ["-d", "get_server_list", "quit -t 2"]


def test_processes_that_went_past_the_service_do_not_count(
    control: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.mps._control", lambda *_, **__: "")
    found: list[tuple[str, Any]] = []
    joint = Joint((WORK,), (1,), 0.01)
    measure_mps(GpuJob(False, IMAGES), joint, time.monotonic() + 20, lambda *pair: found.append(pair), use_gpu=True)
    assert found == [("mps_unavailable", "the processes did not reach the service")]
