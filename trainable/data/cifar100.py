"""CIFAR-100 (A. Krizhevsky, 2009) in its original layout, as torchvision unpacks it."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from models.torchvision_import import import_torchvision
from trainable.data.cache import cached
from trainable.data.cifar10 import check_files
from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.errors import UserError
from trainable.wording import nearest

NAME = "cifar100"
FOLDER = "cifar-100-python"
ARCHIVE = "cifar-100-python.tar.gz"
LABELS = ("fine_label", "coarse_label")
"""The two labels of each image, by the Hub's names: one of 100 classes, and one of 20."""


def cifar100_class() -> Any:  # noqa: ANN401 (torchvision is imported late and untyped)
    """Return torchvision's data set class, which holds the checksums. Tests replace it."""
    import_torchvision()
    from torchvision.datasets import CIFAR100

    return CIFAR100


def load_cifar100(root: Path, label: str | None) -> ImageData:
    """Load CIFAR-100 from `root`, a folder that holds `cifar-100-python`.

    Args:
        label: one of `LABELS`; None means the first.

    Raises:
        UserError: there is no such label, or a file is missing or has a wrong checksum.
    """
    label = LABELS[0] if label is None else label
    if label not in LABELS:
        raise UserError(f"--label {label}: {root / FOLDER} has no such labels: {nearest(label, LABELS)}")
    dataset_class = cifar100_class()
    check_files(dataset_class, root / FOLDER)
    checksums = dataset_class.train_list + dataset_class.test_list
    identity = hashlib.sha256(repr((checksums, label)).encode()).hexdigest()
    return cached(NAME, identity, lambda: _decode(dataset_class, root / FOLDER, label))


def _decode(dataset_class: Any, folder: Path, label: str) -> ImageData:  # noqa: ANN401
    names = tuple(_read(folder / dataset_class.meta["filename"])[f"{label}_names"])
    splits: list[tuple[Images, Labels]] = []
    for files in (dataset_class.train_list, dataset_class.test_list):
        parts = [_read(folder / filename) for filename, _ in files]
        rows = np.concatenate([part["data"] for part in parts])  # 1024 red, 1024 green and 1024 blue values each
        images = np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        splits.append((images, np.concatenate([part[f"{label}s"] for part in parts]).astype(np.int64)))
    return make_image_data(NAME, len(names), splits[0], splits[1], names)


def _read(path: Path) -> Any:  # noqa: ANN401
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")  # noqa: S301 (the file has the publisher's checksum)
