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
    """Measure trainings in processes of their own, the largest number of which starts first and then waits its turn.

    After a failure the next batch size begins with new processes, and fewer if not all could be made ready.
    """
    workers: list[Worker] = []
    counts = list(joint.counts)
    try:
        for work in joint.works:
            names = {count: f"{way}, batch_size {work.batch_size}, count {count}" for count in counts}
            count = counts[-1]
            try:
                if time.monotonic() < deadline:
                    workers += [Worker(job) for _ in range(count - len(workers))]
                    _ask(workers, min(deadline, time.monotonic() + START_SECONDS), prepare, work)
                    if way == MPS:
                        check_clients()  # they may have gone past the service
                for count in counts:
                    if time.monotonic() + joint.seconds >= deadline:
                        keep("left_out", names[count])
                        continue
                    found = _together(workers[:count], joint.seconds, deadline)
                    keep("cells", {"way": way, "batch_size": work.batch_size, "count": count} | found)
            except ProcessFailedError as error:
                keep("failed", f"{names[count]}: {error}")
                _end(workers)
                counts = [fewer for fewer in counts if fewer < count] or counts[:1]
    finally:
        _end(workers)


def _together(workers: Sequence[Worker], seconds: float, deadline: float) -> Row:
    """Let all train at the same time."""
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
    for worker in workers:
        worker.kill()
    while workers:
        workers.pop().end()
