"""Section 'together' of `benchmarks/gpu.py`: trainings that share the device, as streams or as processes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.gpu_process import Bench, Case, GpuJob, Keep, ProcessFailedError, Row, Work, Worker, images_per_second
from benchmarks.mps import MpsUnavailableError, check_clients, running_mps
from benchmarks.trial_process import run_epoch
from trainable.side_by_side import own_stream, run_side_by_side

MPS = "MPS"
LEAD_SECONDS = 0.1
"""Time in which all learn when a measurement begins."""
START_SECONDS = 30.0
"""Longest time until a process is ready to train."""
TRAINING_BYTES = 1_500_000_000
"""Assumed memory of a training with its process, so that small GPUs are not tried with too many."""


@dataclass(frozen=True, slots=True)
class Joint:
    """What is measured of trainings that share the device."""

    works: tuple[Work, ...]
    counts: tuple[int, ...]
    """Numbers of trainings at once, rising."""
    seconds: float
    """Duration of a measurement."""


def fitting(joint: Joint, memory_bytes: int | None) -> Joint:
    """Leave out the numbers of trainings that a GPU of this size may not hold."""
    fits = [count for count in joint.counts if memory_bytes is None or count * TRAINING_BYTES <= memory_bytes]
    return replace(joint, counts=tuple(fits) or (1,))


def stream_cases(joint: Joint) -> list[Case]:
    """List the measurements of trainings in one process."""
    return [
        Case({"way": "streams", "batch_size": work.batch_size, "count": count}, streams, (work, count, joint.seconds))
        for work in joint.works
        for count in joint.counts
    ]


def streams(bench: Bench, work: Work, count: int, seconds: float) -> Row:
    """Train several in one process, each on its stream; those of a smaller count are used again."""
    if ("streams", work) not in bench.kept:
        bench.kept = {("streams", work): []}
        bench.release()
    members = bench.kept["streams", work]
    while len(members) < count:
        stream = own_stream(bench.device)
        with stream():
            training = bench.training(work)
            run_epoch(training)
        members.append((stream, training))
    bench.synchronize()
    begins = time.monotonic() + LEAD_SECONDS
    ends = begins + seconds
    works = [partial(images_per_second, training, begins, ends) for _, training in members[:count]]
    rates = run_side_by_side(works, [stream for stream, _ in members[:count]])
    return {"images_per_second": sum(rates), "slowest": min(rates)} | bench.memory()


def prepare(bench: Bench, work: Work) -> Row:
    """Make a training, in place of any earlier one, and let it do an epoch."""
    bench.kept.clear()
    bench.release()
    bench.kept["training"] = training = bench.training(work)
    run_epoch(training)
    return {}


def rate(bench: Bench, begins: float, ends: float) -> Row:
    """Train from one time to another."""
    return {"images_per_second": images_per_second(bench.kept["training"], begins, ends)} | bench.memory()


def measure_mps(job: GpuJob, joint: Joint, deadline: float, keep: Keep, *, use_gpu: bool) -> None:
    """Measure processes under CUDA's Multi-Process Service, if it can be used."""
    try:
        with running_mps(use_gpu):
            measure_processes(job, joint, deadline, keep, MPS)
    except MpsUnavailableError as error:
        keep("mps_unavailable", str(error))


def measure_processes(job: GpuJob, joint: Joint, deadline: float, keep: Keep, way: str = "processes") -> None:
    """Measure trainings in processes of their own; those of a smaller count are used again.

    After a failure the next batch size begins with new processes.
    """
    workers: list[Worker] = []
    try:
        for work in joint.works:
            num_ready = 0
            for count in joint.counts:
                labels = {"way": way, "batch_size": work.batch_size, "count": count}
                name = f"{way}, batch_size {work.batch_size}, count {count}"
                if time.monotonic() + joint.seconds >= deadline:
                    keep("left_out", name)
                    continue
                try:
                    workers += [Worker(job) for _ in range(count - len(workers))]
                    found = _together(workers[:count], num_ready, work, joint.seconds, deadline, way)
                except ProcessFailedError as error:
                    keep("failed", f"{name}: {error}")
                    _end(workers)
                    break
                num_ready = count
                keep("cells", labels | found)
    finally:
        _end(workers)


def _together(
    workers: Sequence[Worker], num_ready: int, work: Work, seconds: float, deadline: float, way: str
) -> Row:
    """Make the workers ready that are not, and let all train at the same time."""
    _ask(workers[num_ready:], min(deadline, time.monotonic() + START_SECONDS), prepare, work)
    if way == MPS:
        check_clients()  # they may have gone past the service
    begins = time.monotonic() + LEAD_SECONDS
    ends = begins + seconds
    answers = _ask(workers, min(deadline, ends + START_SECONDS), rate, begins, ends)
    rates = [answer.pop("images_per_second") for answer in answers]
    return {"images_per_second": sum(rates), "slowest": min(rates)} | answers[0]


def _ask(
    workers: Sequence[Worker], deadline: float, function: Callable[..., object], *arguments: object
) -> list[Row]:
    for worker in workers:
        worker.ask(function, *arguments)
    return [worker.answer(deadline) for worker in workers]


def _end(workers: list[Worker]) -> None:
    while workers:
        workers.pop().end()
