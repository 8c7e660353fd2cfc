"""A few steps, timed."""

import itertools
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from models.user_code import UserCode, provide
from trainable import probe as module
from trainable.config import TrainConfig
from trainable.engine import EVAL_BATCH_SIZE
from trainable.errors import UserError
from trainable.probe import (
    FIRST_BATCH,
    GpuProbe,
    StreamsProbe,
    _EnoughError,
    _num_images,
    _StepTimer,
    gpu_memory,
    mps_runs,
    probe,
)

CPU = torch.device("cpu")


class OwnTime:
    """Stands for the module `time`: what this process itself takes, whatever else the machine does."""

    perf_counter = staticmethod(time.process_time)


def test_one_for_each_case_and_a_small_batch_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "time", OwnTime)
    monkeypatch.setattr(module, "MAX_OVERRUN", 1e9)  # also where the machine is busy
    started = time.perf_counter()
    device, probes = probe([("resnet_8", 64, "fp32"), ("resnet_8", 32, "fp32")], 1, 16, seconds=0.05)
    assert time.perf_counter() - started < 20
    assert [(probe.model, probe.batch_size, probe.precision) for probe in probes] == [
        ("resnet_8", size, "fp32") for size in (FIRST_BATCH, 32, 64)
    ]
    assert all(probe.precision_resolved == "fp32" and probe.peak_memory_bytes for probe in probes)
    assert all(0 < probe.eval_seconds_per_image < probe.train_seconds_per_image < 0.05 for probe in probes)
    assert device
    assert not any(tmp_path.iterdir())


def test_a_batch_that_would_take_too_long_is_left_out() -> None:
    _, probes = probe([("resnet_8", 2, "fp32"), ("resnet_8", 4096, "fp32")], 1, 16, seconds=1e-3)
    assert [probe.batch_size for probe in probes] == [2]


def test_a_model_that_cannot_be_trained_is_one_line() -> None:
    code = UserCode("my_net.py:Net", "import no_such_package\n")
    provide([code])
    network = TrainConfig(model=code.reference, model_fingerprint=code.fingerprint).architecture
    with pytest.raises(UserError, match=r"^a probe failed: my_net.py:1: ModuleNotFoundError: .*install it[^\n]*$"):
        probe([(network, 2, "fp32")], 1, 16, seconds=1e-3)


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_the_first_step_and_the_time_between_epochs_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    timer = _StepTimer(CPU, 1.0, 8)
    with pytest.raises(_EnoughError):
        for epoch in range(100):
            clock.now += 50.0  # evaluation, and the next epoch's plan
            timer.begin_epoch()
            for step in range(1, 31):
                clock.now += 9.0 if epoch == 0 and step == 1 else 0.01
                timer.on_step(step)
    assert timer.seconds_per_step == pytest.approx(0.01)


def test_epochs_of_a_single_step_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    timer = _StepTimer(CPU, 0.1, 1)
    with pytest.raises(_EnoughError):
        for _ in range(200):
            timer.begin_epoch()
            clock.now += 0.001
            timer.on_step(1)
            clock.now += 1.0
    assert timer.seconds_per_step == pytest.approx(0.001)


def test_steps_that_are_launched_together_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    timer = _StepTimer(CPU, 1.0, 8)
    with pytest.raises(_EnoughError):
        for _ in range(100):
            timer.begin_epoch()
            for before, step in itertools.pairwise((0, 8, 16, 17, 18)):
                clock.now += 0.01 * (step - before)
                timer.on_step(step)
    assert timer.seconds_per_step == pytest.approx(0.01)


def test_there_are_images_for_the_steps_of_a_graph_and_for_an_evaluation() -> None:
    assert _num_images({512, 16}, 32) == 4096
    assert _num_images({16384}, 32) == 16384
    assert _num_images({2}, 32) == EVAL_BATCH_SIZE


def test_a_process_of_several_on_a_gpu_is_prepared_and_measures_again_and_again() -> None:
    """The probe runs on the processor, whose memory is not measured."""
    process = GpuProbe(num_threads=1, image_size=16)
    with pytest.raises(RuntimeError, match="prepare"):
        process.measure(0.01)
    for case in (("resnet_8", 2, "fp32"), ("resnet_8", 4, "fp32")):
        assert process.prepare(case).gpu_bytes == gpu_memory()[1]
        assert process.measure(0.01) > 0
        assert process.measure(0.01) > 0


def test_several_on_streams_of_one_process_measure_together(monkeypatch: pytest.MonkeyPatch) -> None:
    measure, prepared = GpuProbe.measure, threading.Barrier(2, timeout=30)

    def together(probe: GpuProbe, seconds: float) -> float:
        if seconds:
            prepared.wait()  # or it would break
        return measure(probe, seconds)

    monkeypatch.setattr(GpuProbe, "measure", together)
    process = StreamsProbe(2, num_threads=1, image_size=16)
    for size in (2, 4):
        process.prepare(("resnet_8", size, "fp32"))
        assert [probe._training is not None for probe in process._probes] == [True, False]  # one alone is measured
        process.prepare_others(("resnet_8", size, "fp32"))
        assert process.measure(0.01) > 0


def test_the_service_is_found_where_its_clients_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert not mps_runs()
    for pid, runs in ((os.getpid(), True), (2**22 + 1, False), ("", False)):  # above the largest number of a process
        (tmp_path / "nvidia-cuda-mps-control.pid").write_text(f"{pid}\n")
        assert mps_runs() is runs
