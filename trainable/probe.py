"""How fast this process trains: a few steps of each configuration on noise, without Ray; nothing is written."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Set
from dataclasses import dataclass

import numpy as np
import torch

from trainable.config import MAX_COUNT, TrainConfig
from trainable.data.contract import ImageData
from trainable.device import device_name, peak_memory_bytes, prepare_device, reset_peak_memory
from trainable.engine import EVAL_BATCH_SIZE, evaluate
from trainable.gpu_share import Case, Needs
from trainable.splits import TrialData, prepare
from trainable.training import Training

SECONDS = 1.0
"""Of steps that are timed, each probe."""
FIRST_BATCH = 16
"""The smallest batch of each model is at most this, so that what larger ones take is foreseen."""
MIN_STEPS = 2
"""Measured, after one that is not."""
MOST = 4.0
"""Times the seconds asked for that a batch may take; a larger one is left out."""
LR = 0.01
"""Small enough for noise not to diverge; the speed does not depend on it."""
LOOK_SECONDS, MAX_STRIDE = 0.02, 8
"""Steps are timed together until they take so long, or are so many."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured of one model, batch size and precision."""

    model: str
    batch_size: int
    precision: str
    """As asked for."""
    precision_resolved: str
    train_seconds: float
    """A training image."""
    eval_seconds: float
    """An image evaluated."""
    peak_memory_bytes: int | None


class _EnoughError(Exception):
    """Ends an epoch between two steps."""


def probe(
    cases: Collection[Case],
    num_threads: int,
    image_size: int,
    seconds: float = SECONDS,
) -> tuple[str, list[Probe]]:
    """The device, and one probe for each case.

    A batch of which too few steps would fit into a few times `seconds` is left out: smaller ones tell of it.

    Args:
        image_size: side of an image in pixels.
        seconds: a probe, start-up apart.

    Raises:
        UserError: a precision that the device does not have.
    """
    device = prepare_device(num_threads, use_gpu=torch.cuda.is_available())
    images = _noise(max(EVAL_BATCH_SIZE, *(size for _, size, _ in cases)), image_size)
    probes: list[Probe] = []
    for model, precision in dict.fromkeys((model, precision) for model, _, precision in cases):
        image_seconds = 0.0
        for size in _with_a_small_one({size for name, size, asked in cases if (name, asked) == (model, precision)}):
            if image_seconds * size * (1 + MIN_STEPS) > MOST * seconds:
                break
            probes.append(_probe((model, size, precision), images, device, seconds))
            image_seconds = probes[-1].train_seconds
    return device_name(device), probes


def _with_a_small_one(sizes: Set[int]) -> list[int]:
    """In rising order."""
    smallest = min(sizes)
    return sorted(sizes | {min(smallest, FIRST_BATCH)})


def _noise(num_images: int, image_size: int) -> ImageData:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (num_images, image_size, image_size, 3), dtype=np.uint8)
    labels = random.integers(0, 10, num_images)
    return ImageData("noise", 10, images, labels, images, labels, fingerprint="")


class GpuProbe:
    """One of several processes on a GPU: `prepare` a configuration, then `measure`, all of them at the same time."""

    def __init__(self, num_threads: int, image_size: int) -> None:
        self._device = prepare_device(num_threads, use_gpu=torch.cuda.is_available())
        self._image_size = image_size
        self._training: Training | None = None

    def prepare(self, case: Case) -> Needs:
        """Make the training ready, and take a few steps and an evaluation.

        Raises:
            UserError: a precision that the device does not have.
            torch.OutOfMemoryError: it does not fit the GPU.
        """
        self._training = None  # the last one's memory goes back first
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        reset_peak_memory(self._device)
        data = _noise(max(EVAL_BATCH_SIZE, case[1]), self._image_size)
        training = self._training = _training(case, data, self._device)
        self.measure(0.0)
        test = dataclasses.replace(training.config, test_subset=EVAL_BATCH_SIZE)
        _evaluation_seconds(training, prepare(data, test, self._device))
        _, gpu_bytes = gpu_memory()
        held = torch.cuda.max_memory_reserved(self._device) if self._device.type == "cuda" else 0
        return Needs(held, gpu_bytes)

    def measure(self, seconds: float) -> float:
        """Images a second over about so long.

        Raises:
            RuntimeError: nothing is prepared.
        """
        training = self._training
        if training is None:
            raise RuntimeError("prepare a configuration first")
        timer = _StepTimer(self._device, seconds, min(MAX_STRIDE, training.steps_per_epoch))
        _run_steps(training, timer)
        return training.config.batch_size / timer.seconds_a_step


def gpu_memory() -> tuple[str, int]:
    """The first visible GPU as it names itself, and its bytes; ("", 0) where there is none."""
    if not torch.cuda.is_available():
        return "", 0
    properties = torch.cuda.get_device_properties(0)
    return properties.name, properties.total_memory


def _probe(case: Case, images: ImageData, device: torch.device, seconds: float) -> Probe:
    model, batch_size, precision = case
    reset_peak_memory(device)
    training = _training(case, images, device)
    timer = _StepTimer(device, seconds, min(MAX_STRIDE, training.steps_per_epoch))
    _run_steps(training, timer)
    train_seconds = timer.seconds_a_step / batch_size
    num_evaluated = min(EVAL_BATCH_SIZE, max(FIRST_BATCH, int(seconds / train_seconds)))
    test = dataclasses.replace(training.config, test_subset=num_evaluated)
    return Probe(
        model=model,
        batch_size=batch_size,
        precision=precision,
        precision_resolved=training.precision.name,
        train_seconds=train_seconds,
        eval_seconds=_evaluation_seconds(training, prepare(images, test, device)) / num_evaluated,
        peak_memory_bytes=peak_memory_bytes(device),
    )


def _training(case: Case, images: ImageData, device: torch.device) -> Training:
    model, batch_size, precision = case
    config = TrainConfig(
        model=model,
        train_subset=len(images.train_labels),
        test_subset=1,
        epochs=MAX_COUNT,
        batch_size=batch_size,
        lr=LR,
        precision=precision,
    )
    return Training(config, prepare(images, config, device), device)


def _run_steps(training: Training, timer: "_StepTimer") -> None:
    """Until it has measured for long enough."""
    with contextlib.suppress(_EnoughError):
        while True:
            timer.begin_epoch()
            training.run_epoch(1, timer.on_step)


def _evaluation_seconds(training: Training, data: TrialData) -> float:
    """The second time: the first one also allocates."""
    evaluate(training.learner, data, data.test)
    started = time.perf_counter()
    evaluate(training.learner, data, data.test)
    return time.perf_counter() - started


class _StepTimer:
    """Times steps, the first of all apart. Looks at the clock ever more rarely: on a GPU it waits for it."""

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
    def seconds_a_step(self) -> float:
        return self._measured_seconds / self._measured_steps

    def begin_epoch(self) -> None:
        """Call before each; steps since the last look are not measured."""
        self._since, self._step = time.perf_counter(), 0

    def on_step(self, step: int) -> None:
        """
        Args:
            step: steps of the epoch done.

        Raises:
            _EnoughError: measured for long enough.
        """
        num_steps = step - self._step
        if num_steps < self._stride and self._is_warm:
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
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
