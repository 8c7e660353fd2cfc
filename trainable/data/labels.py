"""Checks of the labels of a data set: classes are numbered from 0, and the first images must hold their share."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trainable.config import TrainConfig
from trainable.data.contract import ImageData, Labels
from trainable.errors import UserError
from trainable.wording import counted

UNLIKELY = 1e-4
"""Smallest probability (at most the expected by the found number) at which classes may be missing by chance."""


def num_classes(folder: Path, train: Labels, test: Labels, num_names: int) -> int:
    """Return the number of classes: the largest label + 1, or the number of names if that is larger.

    Raises:
        UserError: the labels leave out more classes than they use, and no names say that these exist; or most test
            images have classes that no training image has.
    """
    used, largest = np.unique(np.concatenate([train, test])), int(max(train.max(), test.max()))
    if largest >= max(2 * len(used), num_names):
        raise UserError(
            f"{folder}: labels go up to {largest}, but only {len(used)} different ones occur ({_first(used)}): "
            "number the classes from 0 without gaps"
        )
    unseen = int((~np.isin(test, train)).sum())
    if 2 * unseen > len(test):
        raise UserError(
            f"{folder}: {unseen} of {counted(len(test), 'test image')} have labels that no training image has: train "
            "and test need the same classes"
        )
    return max(largest + 1, num_names)


def check_subsets(data: ImageData, configs: Iterable[TrainConfig]) -> None:
    """Refuse subsets of a data set that is sorted by class, since they are its first images.

    Raises:
        UserError: the images of a subset have far fewer classes than if the images were in random order.
    """
    used = {
        (field, subset)
        for config in configs
        for field in ("train_subset", "test_subset")
        if (subset := getattr(config, field)) is not None
    }
    for field, subset in sorted(used):
        labels, what = (data.train_labels, "training") if field == "train_subset" else (data.test_labels, "test")
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        found = len(np.unique(labels[:subset]))
        missing, expected_missing = len(shares) - found, float(((1 - shares) ** subset).sum())
        if missing and (expected_missing < UNLIKELY * missing or 2 * found < len(shares) - expected_missing):
            raise UserError(
                f"{field} {subset}: the first {counted(subset, f'{what} image')} of {data.name} hold {found} of its "
                f"{counted(len(shares), 'class', 'classes')}, since it is sorted by class: shuffle the rows of its "
                f"files, or leave {field} out"
            )


def _first(labels: Labels) -> str:
    return ", ".join(map(str, labels[:3].tolist())) + (", ..." if len(labels) > 3 else "")
