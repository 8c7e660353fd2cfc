"""The quick form of `benchmarks/training_speed.py`, and how it cuts its window out of a loop."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import training_speed
from benchmarks.training_speed import MeasuredBatches
from benchmarks.trial_process import Rates
from tests.conftest import ROOT
from trainable.records import EpochRecord

BATCH = (torch.zeros(10, 1), torch.zeros(10))


class Clock:
    """Stands still but for what is slept."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

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
    assert batches.images_per_second == 10 * 2**6


def test_a_step_longer_than_the_window_is_measured_whole(clock: Clock) -> None:
    batches = MeasuredBatches([BATCH], seconds=0.05)
    num_steps = 0
    for _ in batches:
        num_steps += 1
        clock.sleep(0.125)
    assert num_steps == 2
    assert batches.images_per_second == 80


def test_rates_are_all_images_over_all_seconds() -> None:
    def record(train_seconds: float, eval_seconds: float) -> EpochRecord:
        return EpochRecord(
            epoch=1,
            step=1,
            lr=0.1,
            train_loss=1.0,
            train_error_percent=0.0,
            holdout_loss=None,
            holdout_error_percent=None,
            test_loss=1.0,
            test_error_percent=0.0,
            train_seconds=train_seconds,
            eval_seconds=eval_seconds,
            images_per_second=60 / train_seconds,
            gradient_norm=1.0,
            attempt=1,
        )

    rates = Rates.of([record(1.0, 0.5), record(2.0, 1.5)], num_test=10)
    assert rates.training == pytest.approx(40.0)
    assert rates.evaluation == pytest.approx(10.0)


def test_the_quick_form_measures_everything(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "training_speed.py"), "--quick", "--rounds", "1"]
    command += ["--to", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "training_speed.json").read_text())
    assert report["num_rounds"] == 1
    rates = report["images_per_second"]
    assert set(rates) == {"16", "evaluation"}
    for row in rates.values():
        over_conventional = row["two trials / conventional"]
        assert all(len(figure["rounds"]) == 1 and figure["min"] > 0 for figure in row.values())
        pairs = zip(row["two trials"]["rounds"], row["conventional"]["rounds"], strict=True)
        assert over_conventional["rounds"] == [ours / theirs for ours, theirs in pairs]
