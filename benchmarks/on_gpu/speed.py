"""Images a second in training and evaluation: ways of execution and number formats side by side."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.on_gpu.bench import Bench, Row, brief, spread, timed_epoch
from benchmarks.on_gpu.effort import MODEL, Budget, Effort
from trainable.config import TrainConfig
from trainable.device import peak_memory_bytes, reset_peak_memory
from trainable.execution import Execution
from trainable.training import Training

EAGER = Execution(graph=False, compile=False)
GRAPH = Execution(graph=True, compile=False)
COMPILED = Execution(graph=True, compile=True)
MIN_ROUNDS = 2
DEEP_BATCH_SIZE = 128


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    execution: Execution
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Variants of one training, measured in turns."""

    model: str
    batch_size: int
    variants: tuple[Variant, ...]
    steps: int
    expected_seconds: float

    def __str__(self) -> str:
        return f"{self.model}, batch {self.batch_size}: {', '.join(variant.name for variant in self.variants)}"


@dataclass(slots=True)
class Run:
    """One variant under way."""

    training: Training
    start_seconds: float
    """Of its construction and its first epoch, in which it is captured and compiled."""
    peak_memory_bytes: int | None
    train_rates: list[float] = field(default_factory=list)
    eval_rates: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)

    def epoch(self) -> None:
        record, seconds = timed_epoch(self.training)
        self.train_rates.append(record.images_per_second)
        self.eval_rates.append(len(self.training.data.test) / record.eval_seconds)
        self.epoch_seconds.append(seconds)

    def figures(self) -> Row:
        epoch = spread(self.epoch_seconds)
        return {
            "train_images_per_second": spread(self.train_rates),
            "eval_images_per_second": spread(self.eval_rates),
            "start_extra_seconds": self.start_seconds - float(epoch["median"]),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def execution_comparisons(effort: Effort, device_type: str) -> list[Comparison]:
    """In order of importance; compilation last, as it costs most."""
    eager, graph, compiled = Variant("eager", EAGER), Variant("graph", GRAPH), Variant("compile", COMPILED)
    plain = [
        Comparison(MODEL, size, (eager, graph), effort.steps, effort.cell_seconds) for size in effort.batch_sizes
    ]
    deep = [
        Comparison(model, DEEP_BATCH_SIZE, (graph,), effort.deep_steps, effort.cell_seconds)
        for model in effort.deep_models
    ]
    compiling = [
        Comparison(MODEL, size, (graph, compiled), effort.steps, effort.compile_seconds)
        for size in (effort.compile_batch_sizes if device_type == "cuda" else ())
    ]
    return [*plain, *deep, *compiling]


def precision_comparisons(effort: Effort, device_type: str) -> list[Comparison]:
    names = ("bf16", "tf32", "fp32", "fp16") if device_type == "cuda" else ("bf16", "fp32", "fp16")
    variants = tuple(Variant(name, GRAPH, name) for name in names)
    sizes = effort.precision_batch_sizes
    return [Comparison(MODEL, size, variants, effort.steps, effort.cell_seconds) for size in sizes]


def speed(bench: Bench, effort: Effort, budget: Budget) -> Iterator[tuple[str, object]]:
    """Eager, captured and compiled."""
    if not effort.compile_batch_sizes or bench.device.type != "cuda":
        yield "left_out", "compile"
    yield from _measure(bench, execution_comparisons(effort, bench.device.type), effort, budget)


def precision(bench: Bench, effort: Effort, budget: Budget) -> Iterator[tuple[str, object]]:
    """Number formats, captured."""
    yield from _measure(bench, precision_comparisons(effort, bench.device.type), effort, budget)


def _measure(
    bench: Bench, comparisons: Sequence[Comparison], effort: Effort, budget: Budget
) -> Iterator[tuple[str, object]]:
    _warm_up(bench)
    for comparison in comparisons:
        if not budget.allows(comparison.expected_seconds):
            yield "left_out", str(comparison)
            continue
        try:
            row = measure(bench, comparison, effort, budget)
        except Exception as error:
            yield "failed", f"{comparison}: {brief(error)}"
        else:
            yield "cells", row


def _warm_up(bench: Bench) -> None:
    """So that the first start measured is not that of the device."""
    bench.training(bench.config(8, 16, 16), EAGER).run_epoch(1)
    bench.release()


def measure(bench: Bench, comparison: Comparison, effort: Effort, budget: Budget) -> Row:
    """Start every variant, then an epoch of each in turn; who comes first changes from round to round."""
    runs: dict[str, Run] = {}
    failed: dict[str, str] = {}
    for variant in comparison.variants:
        config = bench.config(
            comparison.batch_size,
            comparison.steps * comparison.batch_size,
            effort.num_test,
            model=comparison.model,
            precision=variant.precision,
        )
        try:
            runs[variant.name] = _start(bench, config, variant.execution)
        except Exception as error:
            failed[variant.name] = brief(error)
    order = list(runs.values())
    for index in range(effort.rounds):
        if index >= MIN_ROUNDS and not budget.allows(0):
            break
        for run in order:
            run.epoch()
        order = order[1:] + order[:1]
    row: Row = {
        "model": comparison.model,
        "batch_size": comparison.batch_size,
        "train_images_an_epoch": len(order[0].training.data.train) if order else None,
        "variants": {name: run.figures() for name, run in runs.items()},
        "speed_up": speed_ups({name: run.train_rates for name, run in runs.items()}),
        "failed": failed,
    }
    runs.clear()
    order.clear()
    bench.release()
    return row


def speed_ups(rates: dict[str, list[float]]) -> dict[str, Row]:
    """Of every variant over the first, round by round, so that what slows a whole round down cancels."""
    (first, base), *others = rates.items() or [("", [])]
    return {
        f"{name} over {first}": spread([mine / its for mine, its in zip(values, base, strict=True)])
        for name, values in others
    }


def _start(bench: Bench, config: TrainConfig, execution: Execution) -> Run:
    if execution.compile:
        torch.compiler.reset()  # nothing is left of what was compiled for other batch sizes
    bench.prepare(config)
    bench.synchronize()
    before = torch.cuda.memory_allocated(bench.device) if bench.device.type == "cuda" else 0
    reset_peak_memory(bench.device)
    started = time.perf_counter()
    training = bench.training(config, execution)
    timed_epoch(training)
    seconds = time.perf_counter() - started
    peak = peak_memory_bytes(bench.device)
    return Run(training, seconds, None if peak is None else peak - before)
