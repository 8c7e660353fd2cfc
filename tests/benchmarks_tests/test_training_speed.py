"""The quick form of `benchmarks/training_speed.py`, and how it cuts its window out of a loop."""

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import training_speed
from benchmarks.training_speed import CPU as CPU_TIME
from benchmarks.training_speed import WALL, MeasuredBatches, _cpu_seconds, rates
from benchmarks.trial_process import Work, measured_epoch, total
from tests.conftest import ROOT
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.splits import prepare
from trainable.training import Training

CPU = torch.device("cpu")
BATCH = (torch.zeros(10, 1), torch.zeros(10))


class Clock:
    """Stands still but for what is slept."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(training_speed, "time", clock)
    return clock


def test_steps_are_measured_after_the_warm_up_and_the_loader_goes_round(clock: Clock) -> None:
    batches = MeasuredBatches([BATCH, BATCH], seconds=0.125)
    num_steps = 0
    for _ in batches:
        num_steps += 1
        clock.sleep(0.25 if num_steps == 1 else 2**-6)
    assert num_steps == 1 + 8
    assert batches.work.num_images / batches.work.seconds == 10 * 2**6


def test_a_step_longer_than_the_window_is_measured_whole(clock: Clock) -> None:
    batches = MeasuredBatches([BATCH], seconds=0.05)
    num_steps = 0
    for _ in batches:
        num_steps += 1
        clock.sleep(0.125)
    assert num_steps == 2
    assert batches.work.num_images / batches.work.seconds == 80


def test_an_epoch_is_divided_between_training_and_evaluation(tiny_data: ImageData, tiny_config: TrainConfig) -> None:
    training = Training(tiny_config, prepare(tiny_data, tiny_config, CPU), CPU)
    started = time.process_time()
    trained, evaluated = measured_epoch(training)
    seconds = time.process_time() - started
    assert [trained.num_images, evaluated.num_images] == pytest.approx([96, 32])
    assert trained.cpu_seconds > evaluated.cpu_seconds > 0
    assert trained.cpu_seconds + evaluated.cpu_seconds == pytest.approx(seconds, rel=0.05)


def test_rates_of_two_processes_add_up_but_not_those_of_processor_time() -> None:
    rounds = [[Work(10, 1.0, 0.5), Work(10, 2.0, 2.0)], [Work(8, 1.0, 1.0)]]
    assert rates(rounds, WALL) == [15.0, 8.0]
    assert rates(rounds, CPU_TIME) == [8.0, 8.0]
    assert total([Work(1, 2.0, 3.0), Work(10, 20.0, 30.0)]) == Work(11, 22.0, 33.0)


def test_the_processor_time_of_living_children_counts() -> None:
    started = _cpu_seconds() - time.process_time()
    child = multiprocessing.get_context("fork").Process(target=_burn)
    child.start()
    deadline = time.monotonic() + 60
    while _cpu_seconds() - time.process_time() - started < 0.05 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.is_alive()
    child.kill()
    child.join()
    assert time.monotonic() < deadline


def _burn() -> None:
    while True:
        pass


@pytest.mark.faults
def test_the_quick_form_measures_everything(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "training_speed.py"), "--quick", "--rounds", "1"]
    command += ["--to", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "training_speed.json").read_text())
    assert report["num_rounds"] == 1
    assert report["execution"] == "eager"
    for kind in ("images_per_second", "images_per_cpu_second"):
        assert set(report[kind]) == {"16", "evaluation"}
        for name, row in report[kind].items():
            assert all(len(figure["rounds"]) == 1 and figure["min"] > 0 for figure in row.values())
            others = {"conventional", "two strong loops"} | ({"convolutions alone"} if name == "16" else set())
            assert set(row) == {"two trials", "one trial"} | others | {f"two trials / {other}" for other in others}
            for other in others:
                pairs = zip(row["two trials"]["rounds"], row[other]["rounds"], strict=True)
                assert row[f"two trials / {other}"]["rounds"] == [ours / theirs for ours, theirs in pairs]
