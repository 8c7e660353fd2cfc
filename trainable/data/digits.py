"""The built-in data set: scikit-learn's 1,797 handwritten digits as 32x32x3 images, without a download.

Source: E. Alpaydin, C. Kaynak, 'Optical Recognition of Handwritten Digits', UCI 1998 (its test part).
"""

import importlib.util
from pathlib import Path

import numpy as np

from trainable.data.contract import ImageData, Images, Labels, make_image_data

SOURCE_FILE = "datasets/data/digits.csv.gz"
"""Path of the file in scikit-learn's folder."""
SCALE = 4
TEST_EVERY = 5
SHUFFLE_SEED = 0


def load_digits() -> ImageData:
    """Load 1,442 training and 355 test images: every fifth image of a class is a test image. The order is fixed."""
    small, labels = _load_small()
    images = small.repeat(SCALE, axis=1).repeat(SCALE, axis=2)[..., None].repeat(3, axis=3)
    is_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        is_test[np.flatnonzero(labels == digit)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    order = np.random.RandomState(SHUFFLE_SEED).permutation(len(labels))  # the legacy stream is frozen
    train, test = order[~is_test[order]], order[is_test[order]]
    names = tuple("0123456789")
    return make_image_data("digits", 10, (images[train], labels[train]), (images[test], labels[test]), names)


def _load_small() -> tuple[Images, Labels]:
    """Return images [1797, 8, 8] and labels, read from scikit-learn's file to avoid its slow import."""
    found = importlib.util.find_spec("sklearn")
    path = Path(found.origin).parent / SOURCE_FILE if found and found.origin else None
    if path is not None and path.is_file():
        table = np.loadtxt(path, delimiter=",")
        pixels, target = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    else:
        from sklearn.datasets import load_digits as load_sklearn_digits

        bunch = load_sklearn_digits()
        pixels, target = bunch.images, bunch.target
    return np.rint(pixels * (255 / 16)).astype(np.uint8), target.astype(np.int64)
