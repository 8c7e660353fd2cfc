"""The embedded data set."""

import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from trainable.data import digits as digits_module
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.data.sources import load_dataset


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_digits()


def test_sizes_and_shape(digits: ImageData) -> None:
    assert digits.train_images.shape == (1442, 32, 32, 3)
    assert digits.test_images.shape == (355, 32, 32, 3)
    assert digits.num_classes == 10


def test_content_is_pinned(digits: ImageData) -> None:
    """Stored results name this fingerprint: a change makes all of them results of another data set."""
    assert digits.fingerprint == "38817ec1dd0c812c"


def test_content_is_the_same_where_the_file_has_moved(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits_module, "SOURCE_FILE", "elsewhere.csv.gz")
    assert load_digits().fingerprint == digits.fingerprint


def test_scikit_learn_is_not_imported() -> None:
    """Importing it would cost every `run` on digits a second."""
    code = "from trainable.data.digits import load_digits; load_digits(); import sys; print('sklearn' in sys.modules)"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout == "False\n"


def test_a_fifth_of_every_class_is_for_testing(digits: ImageData) -> None:
    train, test = np.bincount(digits.train_labels), np.bincount(digits.test_labels)
    assert (test == (train + test) // 5).all()


def test_no_image_is_lost_or_doubled_between_the_splits(digits: ImageData) -> None:
    from sklearn.datasets import load_digits as load_original

    original = np.rint(load_original().images * (255 / 16)).astype(np.uint8)
    ours = np.concatenate([digits.train_images, digits.test_images])[:, ::4, ::4, 0]
    assert sorted(image.tobytes() for image in ours) == sorted(image.tobytes() for image in original)


def test_labels_belong_to_their_images(digits: ImageData) -> None:
    from sklearn.datasets import load_digits as load_original

    bunch = load_original()
    label_of = {
        np.rint(image * (255 / 16)).astype(np.uint8).tobytes(): label
        for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for images, labels in ((digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)):
        assert [label_of[image[::4, ::4, 0].tobytes()] for image in images] == labels.tolist()


def test_images_are_grey_and_enlarged_in_blocks(digits: ImageData) -> None:
    images = digits.test_images
    assert (images == images[..., :1]).all()
    assert (images == images[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2)).all()
    assert images.max() == 255


def test_classes_are_mixed(digits: ImageData) -> None:
    assert np.unique(digits.train_labels[:100]).size == 10


def test_it_is_the_data_set_of_that_name(digits: ImageData) -> None:
    assert load_dataset("digits", None).fingerprint == digits.fingerprint
