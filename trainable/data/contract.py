"""The form in which every source delivers a data set: uint8 arrays with a fingerprint of the content."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ImageData:
    """A complete image classification data set in memory, or mapped from the cache.

    Images are uint8 [N, H, W, 3], labels int64 [N] in [0, num_classes).
    """

    name: str
    num_classes: int
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    fingerprint: str
    """First 16 hex digits of the SHA-256 of the shapes, images and labels of both splits."""
    class_names: tuple[str, ...] = ()
    """Name of each class, in the order of the labels; empty if the source has none."""

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """Name, fingerprint, and the numbers of training and test images: the arguments of `for_dataset`."""
        return self.name, self.fingerprint, len(self.train_labels), len(self.test_labels)


def make_image_data(
    name: str,
    num_classes: int,
    train: tuple[Images, Labels],
    test: tuple[Images, Labels],
    class_names: tuple[str, ...] = (),
) -> ImageData:
    """Check the arrays and compute the fingerprint.

    Raises:
        ValueError: an array has the wrong type or shape, or a label is out of range.
    """
    for split, (images, labels) in (("train", train), ("test", test)):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"{split} images must be uint8 [N, H, W, 3], got {images.dtype} {images.shape}")
        if not len(labels):
            raise ValueError(f"the {split} split holds no images")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(f"{split} labels must be int64 [{len(images)}], got {labels.dtype} {labels.shape}")
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(f"{split} labels must lie in [0, {num_classes}), got {labels.min()} to {labels.max()}")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(f"train images are {train[0].shape[1:]}, test images {test[0].shape[1:]}")
    fingerprint = _fingerprint(*train, *test)
    return ImageData(name, num_classes, *train, *test, fingerprint=fingerprint, class_names=class_names)


def _fingerprint(*arrays: Images | Labels) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
