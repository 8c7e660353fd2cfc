"""The embedded data set: scikit-learn's 1,797 handwritten digits, made 32x32x3. No network, no files.

Source: E. Alpaydin, C. Kaynak, 'Optical Recognition of Handwritten Digits', UCI 1998 (its test part).
"""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from trainable.data.contract import ImageData, make_image_data

SCALE = 4
TEST_EVERY = 5
SHUFFLE_SEED = 0


def load_digits() -> ImageData:
    """1,442 training and 355 test images: per class every fifth image is a test image, in a fixed order."""
    rows = np.loadtxt(_file(), delimiter=",")
    small = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = small.repeat(SCALE, axis=1).repeat(SCALE, axis=2)[..., None].repeat(3, axis=3)
    labels = rows[:, -1].astype(np.int64)
    is_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        is_test[np.flatnonzero(labels == digit)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    order = np.random.RandomState(SHUFFLE_SEED).permutation(len(labels))  # the legacy stream is frozen
    train, test = order[~is_test[order]], order[is_test[order]]
    return make_image_data("digits", 10, (images[train], labels[train]), (images[test], labels[test]))


def _file() -> Path:
    """What sklearn.datasets.load_digits reads, found without the second that importing scikit-learn takes."""
    return Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
