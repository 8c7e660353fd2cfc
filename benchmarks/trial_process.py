"""The project's training loop in a process that is set up like that of a trial in a sweep."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.crew import Window
from benchmarks.images import CIFAR_TEST, CIFAR_TRAIN, noise
from trainable.canonical import MAX_COUNT
from trainable.config import TrainConfig
from trainable.device import prepare_device
from trainable.engine import OnStep
from trainable.execution import Execution
from trainable.records import EpochRecord
from trainable.splits import prepare
from trainable.training import Training

LR = 0.01
"""Learning rate at which no batch size diverges on noise; the speed does not depend on it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is trained, and for how long."""

    model: str = "resnet_preact_20"
    seconds: float = 2.5
    """Shortest duration of a measurement."""
    epoch_images: int = 1024
    """Training images of an epoch, or one batch where that is more. Few, since the end of an epoch is awaited."""
    test_images: int = 1000
    noise: tuple[int, int] = (CIFAR_TRAIN, CIFAR_TEST)
    """Number of training and test images that are made."""
    fused: bool = False
    """Whether our trainings use the fused CPU kernel, which has been compiled."""

    def quick(self) -> "Load":
        """Return a load that only shows that everything works."""
        return replace(self, seconds=0.3, epoch_images=256, test_images=200, noise=(1000, 200))


@dataclass(frozen=True, slots=True)
class Work:
    """Images, the time that they took, and the time of processors that they cost."""

    num_images: float
    seconds: float
    cpu_seconds: float

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.num_images + other.num_images, self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds
        )


def measured(
    window: Window,
    work: Callable[[], object],
    num_images: int,
    seconds: float,
    meanwhile: Callable[[], object] | None = None,
) -> Work:
    """Repeat work on so many images for some seconds, as `Window.samples` does."""

    def sample() -> Work:
        started, cpu_started = time.perf_counter(), time.process_time()
        work()
        return Work(num_images, time.perf_counter() - started, time.process_time() - cpu_started)

    return total(window.samples(sample, seconds, meanwhile))


def total(works: Sequence[Work]) -> Work:
    return sum(works[1:], works[0])


class TrialProcess:
    """A member of a crew that trains."""

    def __init__(self, window: Window, num_threads: int, load: Load) -> None:
        self.device = prepare_device(num_threads, use_gpu=False)  # first of all, as in a sweep
        self.window = window
        self.load = load
        self.images = noise(*load.noise)
        self._trainings: dict[int, Training] = {}
        self._filler = self.training(32, num_images=64, num_test=64)

    def epochs(self, batch_size: int) -> tuple[Work, Work]:
        """Train and evaluate whole epochs, timed as a trial times them, while the other members train as well."""
        training = self._trainings.get(batch_size)
        if training is None:
            num_images = max(self.load.epoch_images, batch_size)
            training = self.training(batch_size, num_images, self.load.test_images)
            self._trainings[batch_size] = training
            run_epoch(training)  # the first epoch also allocates memory and prepares the convolutions
        samples = self.window.samples(
            lambda: measured_epoch(training), self.load.seconds, meanwhile=lambda: run_epoch(self._filler)
        )
        trained, evaluated = zip(*samples, strict=True)
        return total(trained), total(evaluated)

    def execution(self) -> str:
        """Return how the trainings are executed."""
        return str(self._filler.execution)

    def training(self, batch_size: int, num_images: int, num_test: int) -> Training:
        config = TrainConfig(
            model=self.load.model,
            train_subset=num_images,
            test_subset=num_test,
            epochs=MAX_COUNT,
            batch_size=batch_size,
            lr=LR,
        )
        return Training(
            config, prepare(self.images, config, self.device), self.device, Execution(fused=self.load.fused)
        )


def run_epoch(training: Training, on_step: OnStep | None = None) -> EpochRecord:
    """Train an epoch and return its record; a diverged one is an error, since it is not evaluated."""
    outcome = training.run_epoch(1, on_step)
    if outcome.diverged:
        raise ArithmeticError(f"the training diverged in epoch {outcome.record.epoch}")
    return outcome.record


def measured_epoch(training: Training) -> tuple[Work, Work]:
    """Train an epoch and return its training and its evaluation, divided after the last step."""
    started = last_step = time.process_time()

    def on_step(_: int) -> None:
        nonlocal last_step
        last_step = time.process_time()

    record = run_epoch(training, on_step)
    num_trained = record.images_per_second * record.train_seconds
    return (
        Work(num_trained, record.train_seconds, last_step - started),
        Work(len(training.data.test), record.eval_seconds, time.process_time() - last_step),
    )
