"""What an estimate has to know of a data set."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
