"""Checks of the labels of a data set: classes are numbered from 0, and the first images must hold their share."""

from pathlib import Path

import numpy as np

from trainable.data.contract import Labels
from trainable.errors import UserError


def num_classes(folder: Path, train: Labels, test: Labels, num_names: int) -> int:
    """Return the number of classes: the largest label + 1, or the number of names if that is larger.

    Raises:
        UserError: the labels leave out more classes than they use, and no names say that these exist.
    """
    used, largest = np.unique(np.concatenate([train, test])), int(max(train.max(), test.max()))
    if largest >= max(2 * len(used), num_names):
        raise UserError(
            f"{folder}: labels go up to {largest}, but only {len(used)} different ones occur ({_first(used)}): "
            "number the classes from 0 without gaps"
        )
    return max(largest + 1, num_names)


def _first(labels: Labels) -> str:
    return ", ".join(map(str, labels[:3].tolist())) + (", ..." if len(labels) > 3 else "")
