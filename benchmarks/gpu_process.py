"""The processes of `benchmarks/gpu.py`: they measure, and can be ended at any time without harm to the others."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import torch

from benchmarks.trial_process import LR, run_epoch
from trainable.canonical import MAX_COUNT
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import device_name, prepare_device, release_memory
from trainable.execution import Execution
from trainable.precision import resolve_precision
from trainable.splits import prepare
from trainable.static_epoch import record_graphs
from trainable.training import Training

EAGER, GRAPH = Execution(graph=False), Execution()
COMPILED = Execution(compile=True)
EVAL_SHARE = 5
"""Training images for each evaluated image, as in CIFAR-10."""
PR_SET_PDEATHSIG = 1
END_SECONDS = 2.0
"""Longest wait for the end of a process that was killed."""

Row = dict[str, Any]


class ProcessFailedError(Exception):
    """A process raised something, died, or did not answer in time; the message says which."""


@dataclass(frozen=True, slots=True)
class GpuJob:
    """What every process is told at its start."""

    use_gpu: bool | None
    """Whether to use the GPU; None if there is one."""
    images: ImageData
    start_method: str = "fork"
    """How multiprocessing starts processes. The parent never uses CUDA, so they can be forks, which share its images
    and need not import torch again."""


@dataclass(frozen=True, slots=True)
class Work:
    """One configuration of a training."""

    batch_size: int
    num_steps: int
    """Most steps of an epoch; an epoch needs that many batches of images."""
    model: str = "resnet_preact_20"
    precision: str = "auto"
    epochs: int = MAX_COUNT
    num_test: int | None = None
    """Number of images that are evaluated; None is one for EVAL_SHARE training images."""


class Bench:
    """The device, prepared as for a trial, and the images, in a process of its own."""

    def __init__(self, job: GpuJob) -> None:
        self.is_gpu = torch.cuda.is_available() if job.use_gpu is None else job.use_gpu
        self.device = prepare_device(1, use_gpu=self.is_gpu)
        self.images = job.images
        self.kept: dict[Any, Any] = {}
        """What a measurement leaves for the next one."""
        self.synchronize()  # opens the device, so that no measurement pays for it

    def num_steps(self, work: Work) -> int:
        """Return the number of steps of an epoch."""
        return max(1, min(work.num_steps, len(self.images.train_labels) // work.batch_size))

    def num_test(self, work: Work) -> int:
        """Return the number of images that are evaluated."""
        asked = work.num_test or self.num_steps(work) * work.batch_size // EVAL_SHARE
        return max(1, min(asked, len(self.images.test_labels)))

    def training(self, work: Work, execution: Execution = GRAPH) -> Training:
        """Make a training on whole batches, as many as there are at most."""
        config = TrainConfig(
            model=work.model,
            train_subset=self.num_steps(work) * work.batch_size,
            test_subset=self.num_test(work),
            epochs=work.epochs,
            batch_size=work.batch_size,
            lr=LR,
            precision=work.precision,
        )
        return Training(config, prepare(self.images, config, self.device), self.device, execution)

    def release(self) -> None:
        """Return the memory of ended trainings to the device."""
        release_memory(self.device)
        self.synchronize()

    def synchronize(self) -> None:
        """Wait for a GPU."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def replayed(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work as a CUDA graph, or return it as it is on a processor."""
        return record_graphs([work], lambda: None)[0] if self.is_gpu else work

    def seconds(self, work: Callable[[], object], shortest: float = 0.3) -> float:
        """Return the mean duration of a call, over a number of calls that together take a while."""
        work()
        count, seconds = 1, 0.0
        while True:
            self.synchronize()
            started = time.perf_counter()
            for _ in range(count):
                work()
            self.synchronize()
            seconds = time.perf_counter() - started
            if seconds >= (shortest if self.is_gpu else shortest / 30):
                return seconds / count
            count *= 4

    def memory(self) -> Row:
        """Return the bytes that live tensors take, those that this process has reserved, and those in use by all."""
        if not self.is_gpu:
            return {"allocated_bytes": None, "reserved_bytes": None, "device_used_bytes": None}
        free, total = torch.cuda.mem_get_info(self.device)
        return {
            "allocated_bytes": torch.cuda.memory_allocated(self.device),
            "reserved_bytes": torch.cuda.memory_reserved(self.device),
            "device_used_bytes": total - free,
        }


def describe(bench: Bench) -> Row:
    """Describe the device."""
    found: Row = {
        "name": device_name(bench.device),
        "is_gpu": bench.is_gpu,
        "precision_auto": resolve_precision("auto", bench.device).name,
    }
    if bench.is_gpu:
        properties = torch.cuda.get_device_properties(bench.device)
        found |= {
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return found


def images_per_second(training: Training, begins: float, ends: float) -> float:
    """Train epochs, evaluations included, from one time of the monotonic clock to another, and return the rate.

    Processes that are given the same two times train side by side from the first to the last moment. The epoch that
    outlasts the time counts in proportion.
    """
    time.sleep(max(0.0, begins - time.monotonic()))
    num_images = 0.0
    now = started = time.monotonic()
    while now < ends:
        started = now
        run_epoch(training)
        now = time.monotonic()
        num_images += len(training.data.train) * min(1.0, (ends - started) / (now - started))
    return num_images / (ends - begins)


class Worker:
    """A process with a Bench, in a process group of its own, which calls functions for its parent."""

    def __init__(self, job: GpuJob) -> None:
        context: Any = multiprocessing.get_context(job.start_method)
        self.pipe, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(far_end, job))
        self._process.start()
        far_end.close()
        self.is_over = False

    def ask(self, function: Callable[..., object], *arguments: object) -> None:
        """Let it call `function(bench, *arguments)`; one that has died says so in its answer."""
        with contextlib.suppress(OSError):
            self.pipe.send((function, arguments))

    def answer(self, deadline: float) -> Any:  # noqa: ANN401 (whatever the function returns)
        """Wait for the answer.

        Raises:
            ProcessFailedError: there is none; unless only the function failed, the process `is_over`.
        """
        failure, answer, is_usable = "the process did not answer in time", None, False
        try:
            if self.pipe.poll(max(0.0, deadline - time.monotonic())):
                failure, answer, is_usable = self.pipe.recv()
        except (EOFError, OSError):
            failure = "the process died"
        if not is_usable:
            self.end()
        if failure:
            raise ProcessFailedError(failure)
        return answer

    def end(self) -> None:
        """Kill the process and wait for its end."""
        self.kill()
        self._process.join(END_SECONDS)

    def kill(self) -> None:
        """Kill the process, with all that it has started."""
        self.is_over = True
        self.pipe.close()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()


def _serve(pipe: connection.Connection, job: GpuJob) -> None:
    """Answer requests until the other end is closed, or the device can no longer be used."""
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    bench: Bench | None = None
    while True:
        try:
            function, arguments = pipe.recv()
            bench = bench or Bench(job)
            pipe.send((None, function(bench, *arguments), True))
        except EOFError:
            return
        except Exception as error:
            traceback.print_exc()
            message = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            pipe.send((message, None, bench is not None and _is_usable(bench)))


def _is_usable(bench: Bench) -> bool:
    """Return whether the device still works: some errors of CUDA stay until the process ends."""
    try:
        bench.release()
    except RuntimeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement."""

    labels: Row
    """What is measured, as it stands in the report."""
    function: Callable[..., Row]
    """Called with the bench and the arguments; returns the figures."""
    arguments: tuple[Any, ...] = ()
    seconds: float = 30.0
    """Time after which its process is killed."""

    @property
    def name(self) -> str:
        return ", ".join(
            str(value) if isinstance(value, str) else f"{key} {value}" for key, value in self.labels.items()
        )


Keep = Callable[[str, Any], None]
"""Takes the kind of a finding ('cells', 'failed' or 'left_out') and the finding."""


class _Lane:
    """Measurements one after another, in one process unless it has to be replaced."""

    def __init__(self, job: GpuJob, cases: Sequence[Case], deadline: float, keep: Keep) -> None:
        self._job, self._deadline, self._keep = job, deadline, keep
        self._cases = list(cases)
        self.worker: Worker | None = None
        self.ends = deadline

    def begin_next(self) -> bool:
        """Begin the next measurement; return False if there is none."""
        for case in [*self._cases] if time.monotonic() >= self._deadline else []:
            self._keep("left_out", case.name)
            self._cases.remove(case)
        if not self._cases:
            self.end()
            return False
        case = self._cases[0]
        self.worker = self.worker or Worker(self._job)
        self.ends = min(self._deadline, time.monotonic() + case.seconds)
        self.worker.ask(case.function, *case.arguments)
        return True

    def finish(self) -> None:
        """Keep the answer of the running measurement, or kill the process if there is none."""
        case, worker = self._cases.pop(0), self.worker or Worker(self._job)
        try:
            self._keep("cells", case.labels | worker.answer(0.0))
        except ProcessFailedError as error:
            self._keep("failed", f"{case.name}: {error}")
        self.worker = None if worker.is_over else worker

    def end(self) -> None:
        """End the process, if there is one."""
        if self.worker is not None:
            self.worker.end()


def run_lanes(job: GpuJob, lanes: Sequence[Sequence[Case]], deadline: float, keep: Keep) -> None:
    """Run the measurements of each lane one after another, in a process for each lane, side by side.

    A measurement that fails is reported and the next one begins; a process that hangs or dies is replaced. What has
    not begun at the deadline (of the monotonic clock) is left out.
    """
    running: list[_Lane] = []
    try:
        for cases in lanes:
            lane = _Lane(job, cases, deadline, keep)
            if lane.begin_next():
                running.append(lane)
        while running:
            wait = max(0.0, min(lane.ends for lane in running) - time.monotonic())
            ready = connection.wait([lane.worker.pipe for lane in running if lane.worker], wait)
            for lane in [*running]:
                if (lane.worker and lane.worker.pipe in ready) or time.monotonic() >= lane.ends:
                    lane.finish()
                    if not lane.begin_next():
                        running.remove(lane)
    finally:
        for lane in running:
            lane.end()
