"""What a data set in a folder is called. The names of the built-in data sets are kept for their content."""

import re
from pathlib import Path

import numpy as np

from trainable.data import cifar10
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.data.sizes import IMAGE_SIZE, NUM_IMAGES
from trainable.errors import UserError
from trainable.wording import printable_line

NAMELESS = re.compile("data|snapshots|[0-9a-f]{40}")
"""Names of folders that say nothing about what they hold; a snapshot of the Hub is called by its commit."""
HUB_PREFIX = "datasets--"
"""Begins the name of a data set's folder in the Hub's cache: `datasets--OWNER--NAME`."""
CIFAR10_SUMS = (6_415_714_204, 6_295_060_180, 5_829_907_619)
"""Sums of the red, green and blue values of CIFAR-10's training images. Lossy encoding changes them."""


def name_of_folder(folder: Path) -> str:
    """Return the name of the data set in a folder: that of the folder, or of the nearest one above that is telling.

    The path counts as the user gave it, so that a link gives its own name.

    Raises:
        UserError: the name is not UTF-8, or has control characters.
    """
    told = [part for part in folder.parts[1:] if not NAMELESS.fullmatch(part)]
    name = told[-1] if told else folder.name
    if name.startswith(HUB_PREFIX):
        name = name.rpartition("--")[2]
    if name.encode(errors="replace").decode() != name:
        raise UserError(f"{folder}: the name of a data set's folder must be UTF-8: rename it")
    if printable_line(name) != name:
        raise UserError(f"{folder}: the name of a data set's folder must not have control characters: rename it")
    return name


def is_built_in(data: ImageData, name: str) -> bool:
    """Return whether a data set has the content of the built-in one of this name."""
    if name == "digits":
        return data.fingerprint == load_digits().fingerprint
    num_train, num_test = NUM_IMAGES[cifar10.NAME]
    is_complete = (
        data.train_images.shape[:3] == (num_train, IMAGE_SIZE, IMAGE_SIZE) and len(data.test_labels) == num_test
    )
    return is_complete and tuple(data.train_images.sum(axis=(0, 1, 2), dtype=np.int64).tolist()) == CIFAR10_SUMS


def check_name(data: ImageData, folder: Path) -> None:
    """Refuse a folder that has the name of a built-in data set and other content.

    Raises:
        UserError: results would pass for those of the built-in data set.
    """
    if data.name in NUM_IMAGES and not is_built_in(data, data.name):
        raise other_images(folder, data.name)


def other_images(folder: Path, name: str) -> UserError:
    """Return the refusal of a folder with the name of a built-in data set."""
    return UserError(
        f"--data {folder}: its images would be called {name!r}, but they are not those of {name}: rename the folder, "
        f"or give a link to it with another name (for example {name}-copy)"
    )
