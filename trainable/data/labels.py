"""Checks of the labels of a data set: classes are numbered from 0, and the first images must hold their share."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from trainable.config import TrainConfig
from trainable.data.contract import ImageData, Labels
from trainable.errors import UserError
from trainable.wording import counted, listed, quoted

UNLIKELY = 1e-4
"""Smallest probability (at most the expected by the found number) at which classes may be missing by chance."""
MAX_NAMED = 3
"""Number of classes that a message names; the others are counted."""


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


def number_by_name(
    folder: Path, names: Sequence[str], train: Labels, test: Labels
) -> tuple[Labels, Labels, tuple[str, ...]]:
    """Number classes that have only names: in the order of their names, as text.

    Args:
        names: the names that the labels point at.

    Returns:
        The labels of the training and test images, and the names of the classes.

    Raises:
        UserError: a test image is of a class that no training image has.
    """
    classes = sorted({names[label] for label in np.unique(train)})
    positions = {name: position for position, name in enumerate(classes)}
    if unseen := sorted({names[label] for label in np.unique(test)} - set(positions)):
        count = int(np.isin(test, [names.index(name) for name in unseen]).sum())
        raise UserError(
            f"{folder}: {count} of {counted(len(test), 'test image')} have labels that no training image has "
            f"({_quoted(unseen)}): train and test need the same classes"
        )
    numbers = np.array([positions.get(name, -1) for name in names], dtype=np.int64)
    return numbers[train], numbers[test], tuple(classes)


def check_several_classes(data: ImageData, folder: Path) -> None:
    """Refuse training images of a single class.

    Raises:
        UserError: every error would be 0 %.
    """
    if len(used := np.unique(data.train_labels)) == 1:
        name = quoted(data.class_names[used[0]]) if data.class_names else str(used[0])
        raise UserError(
            f"--data {folder}: all training images are of one class, {name}: each class needs its own train/CLASS/ "
            "and test/CLASS/, or its own value in the column that --label names"
        )


def missing_in_test(data: ImageData) -> str | None:
    """Return a sentence about the classes that training images have and no test image has; None if there are none."""
    missing = np.setdiff1d(data.train_labels, data.test_labels).tolist()
    if not missing:
        return None
    names = _quoted([data.class_names[label] for label in missing]) if data.class_names else _first(np.array(missing))
    classes, them = ("class", "it") if len(missing) == 1 else ("classes", "them")
    return f"no test image of {data.name} is of the {classes} {names}: the test error says nothing about {them}"


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


def _quoted(names: Sequence[str]) -> str:
    return listed([quoted(name) for name in names], MAX_NAMED)


def _first(labels: Labels) -> str:
    return ", ".join(map(str, labels[:3].tolist())) + (", ..." if len(labels) > 3 else "")
