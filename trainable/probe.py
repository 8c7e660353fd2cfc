"""The training speed of this machine: a few steps of each configuration on noise, without Ray or a store."""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.user_code import UserCode, UserCodeError, provide
from trainable.canonical import MAX_COUNT
from trainable.config import TrainConfig, architecture_fields
from trainable.data.contract import ImageData
from trainable.device import (
    builds_fused_kernel,
    device_name,
    peak_memory_bytes,
    prepare_device,
    release_memory,
    reset_peak_memory,
)
from trainable.engine import EVAL_BATCH_SIZE
from trainable.errors import UserError
from trainable.execution import DEFAULT_EXECUTION, Execution
from trainable.gpu_share import Case, Needs
from trainable.side_by_side import own_stream, run_side_by_side
from trainable.splits import TrialData, prepare
from trainable.static_epoch import images_per_graph
from trainable.training import Training
from trainable.wording import say

SECONDS = 1.0
"""Time for the measured steps of one probe."""
FIRST_BATCH = 16
"""Largest size of the first batch of each model; from its time that of larger batches is predicted."""
MIN_STEPS = 2
"""Smallest number of measured steps, after one that is not measured."""
MAX_OVERRUN = 4.0
"""Factor on the requested seconds that a probe may take; larger batches are left out."""
MPS_FOLDER = "/tmp/nvidia-mps"  # noqa: S108 (NVIDIA's own default)
LR = 0.01
"""Learning rate at which training on noise does not diverge; the speed does not depend on it."""
LOOK_SECONDS, MAX_STRIDE = 0.02, 8
"""The clock is read after steps that take at least LOOK_SECONDS together, or after MAX_STRIDE steps."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The measured speed of one model, batch size and precision."""

    model: str
    batch_size: int
    precision: str
    """Requested precision."""
    precision_resolved: str
    """Number format in which the device trains."""
    train_seconds_per_image: float
    eval_seconds_per_image: float
    peak_memory_bytes: int | None
    """Peak memory of the process (CPU) or on the GPU; None if it is unknown."""
    fused: bool
    """Whether the fused CPU kernel computed."""


class _EnoughError(Exception):
    """Ends an epoch between two steps, when enough has been measured."""


def probe(
    cases: Collection[Case],
    num_threads: int,
    image_size: int,
    seconds: float = SECONDS,
) -> tuple[str, list[Probe]]:
    """Return the name of the device, and one probe for each case.

    A batch size is left out if its steps would take several times `seconds`; its speed follows from smaller ones.

    Args:
        seconds: the time for one probe, without its start-up.

    Raises:
        UserError: the device does not support a precision, or a model of the user's own cannot be trained.
    """
    device = prepare_device(num_threads, use_gpu=torch.cuda.is_available())
    is_fused = device.type == "cpu" and builds_fused_kernel(partial(say, file=sys.stderr))
    images = _noise(_num_images({size for _, size, _ in cases}, image_size), image_size)
    probes: list[Probe] = []
    for model, precision in dict.fromkeys((model, precision) for model, _, precision in cases):
        image_seconds = 0.0
        for size in _with_a_small_one({size for name, size, asked in cases if (name, asked) == (model, precision)}):
            if image_seconds * size * (1 + MIN_STEPS) > MAX_OVERRUN * seconds:
                break
            try:
                probes.append(_probe((model, size, precision), images, device, seconds, is_fused=is_fused))
            except UserCodeError as error:
                raise UserError(f"a probe failed: {error}") from None
            image_seconds = probes[-1].train_seconds_per_image
    return device_name(device), probes


def _with_a_small_one(sizes: Set[int]) -> list[int]:
    """Return the sizes in rising order, the smallest at most FIRST_BATCH."""
    smallest = min(sizes)
    return sorted(sizes | {min(smallest, FIRST_BATCH)})


def _num_images(batch_sizes: Set[int], image_size: int) -> int:
    """Return the number of images of a probe: enough for an evaluation batch, and for the steps of a CUDA graph."""
    return max(EVAL_BATCH_SIZE, *(images_per_graph(size, 3 * image_size**2) for size in batch_sizes))


def _noise(num_images: int, image_size: int) -> ImageData:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (num_images, image_size, image_size, 3), dtype=np.uint8)
    labels = random.integers(0, 10, num_images)
    return ImageData("noise", 10, images, labels, images, labels, fingerprint="")


class GpuProbe:
    """One of several processes on a GPU: `prepare` a configuration in each, then `measure` in all at once."""

    def __init__(self, num_threads: int, image_size: int, sources: Iterable[UserCode] = ()) -> None:
        provide(sources)
        self.device = prepare_device(num_threads, use_gpu=torch.cuda.is_available())
        self._image_size = image_size
        self._training: Training | None = None

    def prepare(self, case: Case) -> Needs:
        """Prepare the training, do a few steps and an evaluation, and return its memory.

        Raises:
            UserError: the device does not support the precision.
            torch.OutOfMemoryError: the training does not fit on the GPU.
        """
        self.drop()
        reset_peak_memory(self.device)
        data = _noise(_num_images({case[1]}, self._image_size), self._image_size)
        training = self._training = _training(case, data, self.device)
        self.measure(0.0)
        test = dataclasses.replace(training.config, test_subset=EVAL_BATCH_SIZE)
        _evaluation_seconds(training, prepare(data, test, self.device))
        _, gpu_bytes = gpu_memory()
        held = torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else 0
        return Needs(held, gpu_bytes)

    def drop(self) -> None:
        """Free the memory of the configuration."""
        self._training = None
        release_memory(self.device)

    def means(self) -> tuple[bool, bool]:
        """Return whether torch finds a GPU, and whether the Multi-Process Service runs on this node."""
        return self.device.type == "cuda", mps_runs()

    def measure(self, seconds: float) -> float:
        """Return the images per second, measured over about this time.

        Raises:
            RuntimeError: no configuration is prepared.
        """
        training = self._training
        if training is None:
            raise RuntimeError("prepare a configuration first")
        return training.config.batch_size / _seconds_per_step(training, self.device, seconds)


class StreamsProbe:
    """A process that does several trainings on its GPU, each on a CUDA stream: otherwise like GpuProbe."""

    def __init__(self, count: int, num_threads: int, image_size: int, sources: Iterable[UserCode] = ()) -> None:
        self._probes = [GpuProbe(num_threads, image_size, sources) for _ in range(count)]
        self._streams = [own_stream(probe.device) for probe in self._probes]

    def prepare(self, case: Case) -> Needs:
        """Prepare one training, alone, and return its memory; raises as `GpuProbe.prepare`."""
        for probe in self._probes:
            probe.drop()
        with self._streams[0]():
            return self._probes[0].prepare(case)

    def prepare_others(self, case: Case) -> None:
        """Prepare the others, one after the other."""
        for probe, stream in list(zip(self._probes, self._streams, strict=True))[1:]:
            with stream():
                probe.prepare(case)

    def measure(self, seconds: float) -> float:
        """Return the images per second of all together, measured over about this time."""
        works = [partial(probe.measure, seconds) for probe in self._probes]
        return sum(run_side_by_side(works, self._streams))


def mps_runs() -> bool:
    """Return whether NVIDIA's Multi-Process Service runs on this machine, where its clients look for it."""
    folder = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", MPS_FOLDER))
    try:
        os.kill(int((folder / "nvidia-cuda-mps-control.pid").read_text()), 0)
    except (OSError, ValueError) as error:
        return isinstance(error, PermissionError)  # another user's
    return True


def gpu_memory() -> tuple[str, int]:
    """Return the name and the memory in bytes of the first visible GPU; ("", 0) if there is none."""
    if not torch.cuda.is_available():
        return "", 0
    properties = torch.cuda.get_device_properties(0)
    return properties.name, properties.total_memory


def _probe(case: Case, images: ImageData, device: torch.device, seconds: float, *, is_fused: bool) -> Probe:
    model, batch_size, precision = case
    release_memory(device)
    reset_peak_memory(device)
    training = _training(case, images, device, Execution(fused=is_fused))
    seconds_per_image = _seconds_per_step(training, device, seconds) / batch_size
    num_evaluated = min(EVAL_BATCH_SIZE, max(FIRST_BATCH, int(seconds / seconds_per_image)))
    test = dataclasses.replace(training.config, test_subset=num_evaluated)
    return Probe(
        model=model,
        batch_size=batch_size,
        precision=precision,
        precision_resolved=training.precision.name,
        train_seconds_per_image=seconds_per_image,
        eval_seconds_per_image=_evaluation_seconds(training, prepare(images, test, device)) / num_evaluated,
        peak_memory_bytes=peak_memory_bytes(device),
        fused=training.execution.fused,
    )


def _training(
    case: Case, images: ImageData, device: torch.device, execution: Execution = DEFAULT_EXECUTION
) -> Training:
    architecture, batch_size, precision = case
    config = TrainConfig(
        **architecture_fields(architecture),
        train_subset=len(images.train_labels),
        test_subset=1,
        epochs=MAX_COUNT,
        batch_size=batch_size,
        lr=LR,
        precision=precision,
    )
    return Training(config, prepare(images, config, device), device, execution)


def _seconds_per_step(training: Training, device: torch.device, seconds: float) -> float:
    """Train until the steps have been measured for this time; return the mean time of a step."""
    timer = _StepTimer(device, seconds, min(MAX_STRIDE, training.steps_per_epoch))
    with contextlib.suppress(_EnoughError):
        while True:
            timer.begin_epoch()
            training.run_epoch(1, timer.on_step)
    return timer.seconds_per_step


def _evaluation_seconds(training: Training, data: TrialData) -> float:
    """Return the time of a second evaluation, since the first one also allocates memory."""
    training.evaluate(data.test)
    started = time.perf_counter()
    training.evaluate(data.test)
    return time.perf_counter() - started


class _StepTimer:
    """Times all steps but the first. It reads the clock ever more rarely, because a GPU has to finish before."""

    def __init__(self, device: torch.device, seconds: float, max_stride: int) -> None:
        self._device = device
        self._seconds = seconds
        self._stride = 1
        self._max_stride = max_stride
        self._is_warm = False
        self._since = 0.0
        self._step = 0
        self._measured_steps = 0
        self._measured_seconds = 0.0

    @property
    def seconds_per_step(self) -> float:
        return self._measured_seconds / self._measured_steps

    def begin_epoch(self) -> None:
        """Begin an epoch. Steps since the clock was last read are not measured."""
        self._since, self._step = time.perf_counter(), 0

    def on_step(self, step: int) -> None:
        """Read the clock if it is time to do so.

        Raises:
            _EnoughError: the steps have been measured for long enough.
        """
        num_steps = step - self._step
        if num_steps < self._stride and self._is_warm:
            return
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()  # others may be at work beside it
        now = time.perf_counter()
        elapsed = now - self._since
        self._since, self._step = now, step
        if not self._is_warm:
            self._is_warm = True
            return
        self._measured_steps += num_steps
        self._measured_seconds += elapsed
        if self._measured_steps >= MIN_STEPS and self._measured_seconds >= self._seconds:
            raise _EnoughError
        if elapsed < LOOK_SECONDS:
            self._stride = min(2 * self._stride, self._max_stride)
