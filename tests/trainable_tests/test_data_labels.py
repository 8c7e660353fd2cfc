"""Subsets are the first images: of a data set that is sorted by class they are refused."""

import numpy as np
import pytest

from trainable.config import TrainConfig
from trainable.data.contract import ImageData, make_image_data
from trainable.data.digits import load_digits
from trainable.data.labels import check_subsets
from trainable.errors import UserError


def with_labels(labels: np.ndarray) -> ImageData:
    images = np.zeros((len(labels), 1, 1, 3), np.uint8)
    shuffled = np.random.RandomState(0).permutation(labels).astype(np.int64)
    return make_image_data("mine", int(labels.max()) + 1, (images, labels.astype(np.int64)), (images, shuffled))


def test_the_first_images_of_sorted_classes_are_refused() -> None:
    """They hold two of ten classes, and everything else was an error of 100 %."""
    data = with_labels(np.repeat(np.arange(10), 50))
    with pytest.raises(UserError) as caught:
        check_subsets(data, [TrainConfig(), TrainConfig(train_subset=100)])
    assert str(caught.value) == (
        "train_subset 100: the first 100 training images of mine hold 2 of its 10 classes, since it is sorted by "
        "class: shuffle the rows of its files, or leave train_subset out"
    )
    check_subsets(data, [TrainConfig(train_subset=500, test_subset=100)])


@pytest.mark.parametrize(
    ("num_classes", "per_class", "subset"),
    [(10, 50, 450), (100, 500, 500), (1000, 50, 5000), (2, 100, 100), (3, 40, 20)],
)
def test_all_kinds_of_sorted_classes(num_classes: int, per_class: int, subset: int) -> None:
    labels = np.repeat(np.arange(num_classes), per_class)
    with pytest.raises(UserError, match="since it is sorted by class"):
        check_subsets(with_labels(labels), [TrainConfig(train_subset=subset)])
    with pytest.raises(UserError, match=f"test_subset {subset}: the first"):
        data = with_labels(labels)
        check_subsets(
            make_image_data(
                "mine", num_classes, (data.test_images, data.test_labels), (data.train_images, data.train_labels)
            ),
            [TrainConfig(train_subset=subset, test_subset=subset)],
        )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("num_classes", [2, 10, 300])
@pytest.mark.parametrize("subset", [5, 40, 300])
def test_images_in_random_order_are_not_refused(num_classes: int, subset: int, seed: int) -> None:
    """Not even if one class is rare."""
    random = np.random.RandomState(seed)
    labels = random.permutation(np.concatenate([np.arange(num_classes), random.randint(0, num_classes - 1, 900)]))
    check_subsets(with_labels(labels), [TrainConfig(train_subset=subset, test_subset=subset)])


def test_all_subsets_of_digits_are_good() -> None:
    check_subsets(load_digits(), [TrainConfig(train_subset=number) for number in range(2, 1442, 5)])
