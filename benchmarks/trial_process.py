"""The project's training loop in a process that is set up like that of a trial in a sweep."""

from dataclasses import dataclass, replace

from benchmarks.crew import Window
from benchmarks.images import CIFAR_TEST, CIFAR_TRAIN, noise
from trainable.canonical import MAX_COUNT
from trainable.config import TrainConfig
from trainable.device import prepare_device
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

    def quick(self) -> "Load":
        """Return a load that only shows that everything works."""
        return replace(self, seconds=0.3, epoch_images=256, test_images=200, noise=(1000, 200))


@dataclass(frozen=True, slots=True)
class Rates:
    """Images per second."""

    training: float
    evaluation: float

    @classmethod
    def of(cls, records: list[EpochRecord], num_test: int) -> "Rates":
        train_seconds = sum(record.train_seconds for record in records)
        num_trained = sum(record.images_per_second * record.train_seconds for record in records)
        eval_seconds = sum(record.eval_seconds for record in records)
        return cls(num_trained / train_seconds, num_test * len(records) / eval_seconds)


class TrialProcess:
    """A member of a crew that trains."""

    def __init__(self, window: Window, num_threads: int, load: Load) -> None:
        self.device = prepare_device(num_threads, use_gpu=False)  # first of all, as in a sweep
        self.window = window
        self.load = load
        self.images = noise(*load.noise)
        self._trainings: dict[int, Training] = {}
        self._filler = self.training(32, num_images=64, num_test=64)

    def epochs(self, batch_size: int) -> Rates:
        """Train whole epochs, timed as a trial times them, while the other members train as well."""
        training = self._trainings.get(batch_size)
        if training is None:
            num_images = max(self.load.epoch_images, batch_size)
            training = self.training(batch_size, num_images, self.load.test_images)
            self._trainings[batch_size] = training
            run_epoch(training)  # the first epoch also allocates memory and prepares the convolutions
        records = self.window.samples(
            lambda: run_epoch(training), self.load.seconds, meanwhile=lambda: run_epoch(self._filler)
        )
        return Rates.of(records, self.load.test_images)

    def training(self, batch_size: int, num_images: int, num_test: int) -> Training:
        config = TrainConfig(
            model=self.load.model,
            train_subset=num_images,
            test_subset=num_test,
            epochs=MAX_COUNT,
            batch_size=batch_size,
            lr=LR,
        )
        return Training(config, prepare(self.images, config, self.device), self.device)


def run_epoch(training: Training) -> EpochRecord:
    """Train an epoch and return its record; a diverged one is an error, since it is not evaluated."""
    outcome = training.run_epoch(attempt=1)
    if outcome.diverged:
        raise ArithmeticError(f"the training diverged in epoch {outcome.record.epoch}")
    return outcome.record
