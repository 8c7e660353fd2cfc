"""The work that is left of a trial, in epochs and images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.config import TrainConfig
from trainable.data.sizes import IMAGE_SIZE, NUM_IMAGES

if TYPE_CHECKING:
    from trainable.data.contract import ImageData


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """The number and size of a data set's images."""

    name: str
    num_train: int
    num_test: int
    image_size: int = IMAGE_SIZE
    """Side of an image in pixels."""

    @classmethod
    def of(cls, data: "ImageData") -> "DatasetSize":
        return cls(data.name, len(data.train_labels), len(data.test_labels), data.train_images.shape[1])

    @classmethod
    def built_in(cls, name: str) -> "DatasetSize | None":
        """Return the size of a built-in data set; None where there is none of this name."""
        return cls(name, *NUM_IMAGES[name]) if name in NUM_IMAGES else None

    @property
    def num_images(self) -> tuple[int, int]:
        """Number of images to train and to test."""
        return self.num_train, self.num_test

    @property
    def equally_fast(self) -> set[str]:
        """Names of the data sets with images of this size: trials on them tell how fast this one is trained."""
        return {self.name, *NUM_IMAGES} if self.image_size == IMAGE_SIZE else {self.name}


@dataclass(frozen=True, slots=True)
class TrialWork:
    """What is left to train of one trial."""

    model: str
    """The model as `TrainConfig.architecture` names it."""
    batch_size: int
    """Number of images that go through the model at once, which decides the speed."""
    precision: str
    """Precision that was asked for, for example auto."""
    epochs: int
    train_images_per_epoch: int
    eval_images_per_epoch: int
    """Test and held-out images, which are evaluated after each epoch."""


def trial_work(config: TrainConfig, epochs: int, num_images: tuple[int, int]) -> TrialWork:
    """Return the work of a trial that has some epochs left.

    Args:
        num_images: number of the data set's images to train and to test.
    """
    num_train, num_test = num_images
    return TrialWork(
        model=config.architecture,
        batch_size=config.images_per_pass,
        precision=config.precision,
        epochs=epochs,
        train_images_per_epoch=train_images_per_epoch(config, num_train),
        eval_images_per_epoch=(config.test_subset or num_test) + config.count_images(num_train)[1],
    )


def train_images_per_epoch(config: TrainConfig, num_train: int) -> int:
    """Return how many images an epoch trains on: neither those held out nor the last incomplete batch."""
    return config.count_images(num_train)[0] // config.batch_size * config.batch_size
