"""Several trials on one device, each in a process of its own, as Ray's fractional GPUs run them."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from benchmarks.on_gpu.bench import Bench, Job, Row, spread, timed_epoch
from benchmarks.on_gpu.effort import Budget, Effort
from benchmarks.on_gpu.mps import Mps, MpsUnavailableError, running_mps
from benchmarks.on_gpu.speed import GRAPH
from benchmarks.on_gpu.workers import RequestError, Worker, WorkerError, environment

NUM_SLICES = 4
"""Of a window: their rates give the spread."""
STEPS = 250
"""Of an epoch, at most."""
EVAL_SHARE = 5
"""Training images for one that is evaluated, as in CIFAR-10."""
ANSWER_SECONDS = 60.0
"""More than a trial takes to start, or to end its epoch, with all the others beside it."""
HEAD_START_SECONDS = 0.2
"""For the word to go round."""

Span = tuple[float, float]
"""Beginning and end of an epoch on the machine's monotonic clock, in seconds."""
Cell = tuple[int, int]
"""Batch size and number of processes that train at once."""


def sharing(job: Job, effort: Effort, budget: Budget) -> Iterator[tuple[str, object]]:
    """Without the Multi-Process Service, then with it; each has half of the time."""
    half = Budget(budget.deadline - budget.left_seconds / 2)
    yield from _one_way(job, effort, half, None)
    try:
        with running_mps(job.device_type) as mps, environment(mps.environment):
            yield from _one_way(job, effort, budget, mps)
    except MpsUnavailableError as error:
        yield "mps_unavailable", str(error)


def _one_way(job: Job, effort: Effort, budget: Budget, mps: Mps | None) -> Iterator[tuple[str, object]]:
    way = "with MPS" if mps else "without MPS"
    left = list(itertools.product(effort.sharing_batch_sizes, effort.sharing_processes))
    num_workers = max(effort.sharing_processes) if budget.allows(effort.cell_seconds) else 0
    try:
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Worker(job)) for _ in range(num_workers)]
            stack.callback(_dismiss, workers)
            for description in [worker.started() for worker in workers][:1]:
                yield "device", description
            if mps and workers:
                mps.check_clients()
            for batch_size in effort.sharing_batch_sizes:
                if not budget.allows(effort.cell_seconds):
                    break
                try:
                    yield from _one_batch_size(workers, batch_size, effort, budget, mps is not None, left)
                except RequestError as error:
                    yield "failed", f"{way}, batch {batch_size}: {error}"
    except WorkerError as error:
        yield "failed", f"{way}: {error}" + (f"; log of MPS: {mps.log_tail()}" if mps else "")
    for batch_size, num_processes in left:
        yield "left_out", f"{way}, batch {batch_size}, {num_processes} at once"


def _one_batch_size(
    workers: Sequence[Worker], batch_size: int, effort: Effort, budget: Budget, has_mps: bool, left: list[Cell]
) -> Iterator[tuple[str, object]]:
    """All processes hold a trial; as many as a cell says train, while the others wait.

    Args:
        left: the cells that are measured are taken out.

    Raises:
        WorkerError: a process failed; what was measured until then has been given.
    """
    answers = ask_all(workers, hold_trial, batch_size, effort.sharing_images)
    workers[0].request(device_memory)
    yield (
        "memory",
        {
            "mps": has_mps,
            "batch_size": batch_size,
            "num_processes": len(workers),
            "reserved_bytes_per_process": max(int(answer["reserved_bytes"]) for answer in answers),
            "device_used_bytes": workers[0].answer(ANSWER_SECONDS),
        },
    )
    for num_processes in effort.sharing_processes:
        if not budget.allows(2 * effort.window_seconds):
            return
        begin = time.monotonic() + HEAD_START_SECONDS
        timelines = ask_all(workers[:num_processes], train_between, begin, begin + effort.window_seconds)
        left.remove((batch_size, num_processes))
        rates = total_rates(timelines, answers[0]["num_images"], NUM_SLICES)
        row = {"mps": has_mps, "batch_size": batch_size, "num_processes": num_processes}
        yield "cells", row | {"images_per_second": spread(rates)}


def _dismiss(workers: Sequence[Worker]) -> None:
    """Tell all to leave before the first is waited for: closing a GPU takes its time."""
    for worker in workers:
        worker.leave()


def ask_all(workers: Sequence[Worker], function: Callable[..., object], *arguments: object) -> list[Any]:
    """The answers of all; nobody starts on the next request before everybody has answered this one.

    Raises:
        RequestError: the request failed in one of them; all are ready for the next.
        WorkerError: one of them died or is silent.
    """
    for worker in workers:
        worker.request(function, *arguments)
    answers, errors = [], []
    for worker in workers:
        try:
            answers.append(worker.answer(ANSWER_SECONDS))
        except RequestError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return answers


def total_rates(timelines: Sequence[Sequence[Span]], num_images: int, num_slices: int) -> list[float]:
    """Images a second of all processes together, in equal slices of the time in which all of them trained.

    Args:
        timelines: the epochs of each process.
        num_images: of an epoch; its images are taken to be spread evenly over it.

    Raises:
        ValueError: there is no such time.
    """
    begin = max(epochs[0][0] for epochs in timelines)
    end = min(epochs[-1][1] for epochs in timelines)
    if end <= begin:
        raise ValueError("the processes did not train at the same time")
    width = (end - begin) / num_slices
    edges = [begin + index * width for index in range(num_slices)]
    return [
        sum(_images_within(epochs, num_images, (edge, edge + width)) for epochs in timelines) / width
        for edge in edges
    ]


def _images_within(epochs: Sequence[Span], num_images: int, window: Span) -> float:
    overlaps = [(max(0.0, min(end, window[1]) - max(begin, window[0])), end - begin) for begin, end in epochs]
    return sum(num_images * overlap / seconds for overlap, seconds in overlaps)


def hold_trial(bench: Bench, batch_size: int, max_images: int) -> Row:
    """In a process: start a trial, captured, and train its first epoch."""
    bench.held = None
    bench.release()
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    num_images = min(max_images, STEPS * batch_size)
    config = bench.config(batch_size, num_images, num_images // EVAL_SHARE)
    bench.held = bench.training(config, GRAPH)
    timed_epoch(bench.held)
    is_gpu = bench.device.type == "cuda"
    return {
        "num_images": len(bench.held.data.train),
        "reserved_bytes": torch.cuda.max_memory_reserved(bench.device) if is_gpu else 0,
    }


def train_between(bench: Bench, begin: float, end: float) -> list[Span]:
    """In a process: epochs from `begin` on, until one ends after `end`."""
    if bench.held is None:
        raise RuntimeError("no trial is held")
    time.sleep(max(0.0, begin - time.monotonic()))
    spans: list[Span] = []
    while not spans or spans[-1][1] < end:
        started = time.monotonic()
        timed_epoch(bench.held)
        spans.append((started, time.monotonic()))
    return spans


def device_memory(bench: Bench) -> int | None:
    """In a process: bytes used on the GPU by everybody, the contexts of the processes included."""
    if bench.device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(bench.device)
    return int(total - free)
