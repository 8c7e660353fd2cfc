"""Whether a captured training is the eager one, and a resumed training the uninterrupted one: losses and weights."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.on_gpu.bench import Bench, Row, brief
from benchmarks.on_gpu.effort import Budget, Effort
from benchmarks.on_gpu.speed import EAGER, GRAPH
from trainable.config import TrainConfig
from trainable.execution import Execution
from trainable.training import Training


@dataclass(frozen=True, slots=True)
class Course:
    """What a training came to."""

    losses: list[float | None]
    """Training and test loss of each epoch; None where one is not finite."""
    weights: dict[str, Tensor]
    """At the end, on the CPU, the statistics of batch normalisation included."""


def correctness(bench: Bench, effort: Effort, budget: Budget) -> Iterator[tuple[str, object]]:
    """The same seed every time. A second eager training tells what the device itself does not repeat."""
    for name in effort.correctness_precisions:
        if not budget.allows(effort.cell_seconds):
            yield "left_out", name
            continue
        try:
            yield "cells", compare_courses(bench, name, effort)
        except Exception as error:
            yield "failed", f"{name}: {brief(error)}"


def compare_courses(bench: Bench, precision: str, effort: Effort) -> Row:
    config = bench.config(
        effort.correctness_batch_size,
        effort.correctness_steps * effort.correctness_batch_size,
        effort.num_test,
        precision=precision,
        epochs=effort.correctness_epochs,
    )
    eager, graph = uninterrupted(bench, config, EAGER), uninterrupted(bench, config, GRAPH)
    return {
        "precision": precision,
        "batch_size": config.batch_size,
        "num_steps": len(bench.prepare(config).train) // config.batch_size * config.epochs,
        "num_epochs": config.epochs,
        "eager again against eager": difference(uninterrupted(bench, config, EAGER), eager),
        "graph against eager": difference(graph, eager),
        "graph resumed against uninterrupted": difference(resumed(bench, config, GRAPH), graph),
        "losses": {"eager": eager.losses, "graph": graph.losses},
    }


def uninterrupted(bench: Bench, config: TrainConfig, execution: Execution) -> Course:
    training = bench.training(config, execution)
    losses: list[float | None] = []
    while not training.finished:
        losses += _epoch_losses(training)
    course = Course(losses, _weights(training.state()))
    del training
    bench.release()
    return course


def resumed(bench: Bench, config: TrainConfig, execution: Execution) -> Course:
    """Every epoch in a training of its own, which starts from the state at the end of the one before."""
    losses: list[float | None] = []
    state: bytes | None = None
    for _ in range(config.epochs):
        training = bench.training(config, execution)
        if state is not None:
            training.load_state(state)
        losses += _epoch_losses(training)
        state = training.state()
        del training
        bench.release()
    if state is None:
        raise ValueError("a course needs at least one epoch")
    return Course(losses, _weights(state))


def difference(one: Course, other: Course) -> Row:
    """Largest absolute differences (None where a value is missing or not finite), and whether all bits are equal."""
    losses = [(a, b) for a, b in zip(one.losses, other.losses, strict=True) if a is not None and b is not None]
    all_finite = len(losses) == len(one.losses)
    apart = [
        float((weights.double() - other.weights[name].double()).abs().max()) for name, weights in one.weights.items()
    ]
    return {
        "largest_loss_difference": max(abs(a - b) for a, b in losses) if all_finite else None,
        "losses_bit_equal": one.losses == other.losses,
        "largest_weight_difference": max(apart) if all_finite else None,
        "weights_bit_equal": all(torch.equal(weights, other.weights[name]) for name, weights in one.weights.items()),
    }


def _epoch_losses(training: Training) -> list[float | None]:
    record = training.run_epoch(1).record
    return [record.train_loss, record.test_loss]


def _weights(state: bytes) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)["model"]
    return weights
