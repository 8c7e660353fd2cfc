"""Where the time of a section of the GPU benchmark is spent, what is left is named and not measured."""

import dataclasses
import time

import pytest

from benchmarks.on_gpu import speed as speed_module
from benchmarks.on_gpu.bench import Bench, Job, Row
from benchmarks.on_gpu.correctness import correctness
from benchmarks.on_gpu.effort import FULL, QUICK, Budget, Effort
from benchmarks.on_gpu.sharing import sharing
from benchmarks.on_gpu.speed import MIN_ROUNDS, Comparison, Run, execution_comparisons, measure, speed
from trainable.config import TrainConfig
from trainable.execution import Execution

JOB = Job("cpu", None, (64, 20))
SPENT = Budget(time.monotonic())


class Countdown(Budget):
    """Has ten seconds less at every question."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)

    def allows(self, seconds: float) -> bool:
        self.deadline -= 10
        return self.deadline + 10 >= seconds


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(JOB)


def test_time_runs_to_the_deadline() -> None:
    budget = Budget(time.monotonic() + 60)
    assert budget.allows(30)
    assert not budget.allows(61)
    assert not SPENT.allows(0)


def test_the_first_cells_are_measured_and_the_rest_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(bench: Bench, comparison: Comparison, effort: Effort, budget: Budget) -> Row:
        return {"batch_size": comparison.batch_size}

    monkeypatch.setattr(speed_module, "measure", measured)
    results = list(speed(bench, FULL, Countdown(2 * 10 + FULL.cell_seconds)))
    cells = [value for key, value in results if key == "cells"]
    assert cells == [{"batch_size": 128}, {"batch_size": 8}, {"batch_size": 512}]
    left_out = [value for key, value in results if key == "left_out"]
    assert left_out[:2] == ["compile", "resnet_preact_20, batch 32: eager, graph"]
    assert left_out[-1] == "resnet_110, batch 128: graph"


def test_a_comparison_stops_after_the_fewest_rounds(bench: Bench) -> None:
    comparison = dataclasses.replace(execution_comparisons(QUICK, "cpu")[-1], steps=1)
    row = measure(bench, comparison, dataclasses.replace(QUICK, rounds=5), SPENT)
    assert {len(run["train_images_per_second"]["values"]) for run in row["variants"].values()} == {MIN_ROUNDS}


def test_a_comparison_that_fails_is_named_and_the_next_goes_on(bench: Bench) -> None:
    effort = dataclasses.replace(QUICK, batch_sizes=(4096, 8), steps=1)
    results = list(speed(bench, effort, Budget(time.monotonic() + 60)))
    assert [key for key, _ in results] == ["left_out", "failed", "cells"]
    assert "batch 4096" in str(results[1][1])


def test_a_variant_that_fails_is_named_beside_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(bench: Bench, config: TrainConfig, execution: Execution) -> Run:
        if execution.compile:
            raise RuntimeError("no compiler\nto be found")
        return started(bench, config, execution)

    started = speed_module._start
    monkeypatch.setattr(speed_module, "_start", start)
    compiling = dataclasses.replace(QUICK, batch_sizes=(), compile_batch_sizes=(8,))
    (comparison,) = execution_comparisons(compiling, "cuda")
    row = measure(bench, comparison, QUICK, Budget(time.monotonic() + 60))
    assert list(row["variants"]) == ["graph"]
    assert row["failed"] == {"compile": "RuntimeError: no compiler"}
    assert row["speed_up"] == {}


def test_without_time_nothing_else_begins(bench: Bench) -> None:
    assert list(correctness(bench, QUICK, SPENT)) == [("left_out", "fp32"), ("left_out", "bf16")]
    assert list(sharing(JOB, QUICK, SPENT)) == [
        ("left_out", "without MPS, batch 8, 1 at once"),
        ("left_out", "without MPS, batch 8, 2 at once"),
        ("mps_unavailable", "the device is a processor"),
    ]


def test_compilation_is_for_gpus_and_comes_last() -> None:
    names = [str(comparison) for comparison in execution_comparisons(FULL, "cuda")]
    assert names[-1] == "resnet_preact_20, batch 512: graph, compile"
    assert not any("compile" in str(comparison) for comparison in execution_comparisons(FULL, "cpu"))


def test_all_sections_together_take_under_eight_minutes() -> None:
    assert sum(FULL.section_seconds.values()) <= 450
