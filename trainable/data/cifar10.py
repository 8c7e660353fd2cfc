"""CIFAR-10 (A. Krizhevsky, 2009) in its original layout, downloaded once by torchvision."""

import fcntl
import hashlib
import tarfile
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np

from models.torchvision_import import import_torchvision
from trainable.cache_folder import cache_folder
from trainable.data.cache import cached
from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.errors import UserError
from trainable.ledger.locks import open_lock
from trainable.wording import first_line

NAME = "cifar10"
FOLDER = "cifar-10-batches-py"
FETCH_AGAIN = "fetch the data set again"
ARCHIVE = "cifar-10-python.tar.gz"


def cifar10_class() -> Any:  # noqa: ANN401 (torchvision is imported late and untyped)
    """Return torchvision's data set class, which holds the address and the checksums. Tests replace it."""
    import_torchvision()
    from torchvision.datasets import CIFAR10

    return CIFAR10


def load_cifar10(root: Path | None) -> ImageData:
    """Load CIFAR-10 from `root` (a folder that holds `cifar-10-batches-py`); None downloads it into the cache.

    Raises:
        UserError: a file is missing or has a wrong checksum, or the download failed.
    """
    dataset_class = cifar10_class()
    remedy = FETCH_AGAIN
    if root is None:
        root = cache_folder() / "downloads"
        _download_once(dataset_class, root)
        remedy = f"delete {root / FOLDER} and run again"
    check_files(dataset_class, root / FOLDER, remedy)
    checksums = dataset_class.train_list + dataset_class.test_list
    identity = hashlib.sha256(repr(checksums).encode()).hexdigest()
    return cached(NAME, identity, lambda: _decode(dataset_class, root))


def _download_once(dataset_class: Any, root: Path) -> None:  # noqa: ANN401
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            open_lock(root / "lock") as lock,
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Python 3.14 will", DeprecationWarning)  # torchvision and tarfile
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be downloading or unpacking it
            if not (root / FOLDER).is_dir():
                dataset_class(str(root), train=True, download=True)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise UserError(
            f"cannot download CIFAR-10 from {dataset_class.url}: {first_line(error)}; "
            f"put {dataset_class.filename} into {root}, or point --data at a folder that holds {FOLDER}"
        ) from None


def check_files(dataset_class: Any, folder: Path, remedy: str = FETCH_AGAIN) -> None:  # noqa: ANN401
    """Check all files. They are pickles, so none is opened before its checksum is known to be the publisher's.

    Raises:
        UserError: a file is missing, or has a wrong checksum.
    """
    from torchvision.datasets.utils import check_integrity

    meta = [(dataset_class.meta["filename"], dataset_class.meta["md5"])]
    for filename, md5 in [*dataset_class.train_list, *dataset_class.test_list, *meta]:
        path = folder / filename
        if not path.is_file():
            raise UserError(f"{path} is missing: {remedy}")
        if not check_integrity(str(path), md5):
            raise UserError(f"{path} is truncated or altered (its MD5 is not {md5}): {remedy}")


def _decode(dataset_class: Any, root: Path) -> ImageData:  # noqa: ANN401
    splits: list[tuple[Images, Labels]] = []
    classes: tuple[str, ...] = ()
    for is_train in (True, False):
        split = dataset_class(str(root), train=is_train, download=False)
        splits.append((np.asarray(split.data, dtype=np.uint8), np.asarray(split.targets, dtype=np.int64)))
        classes = tuple(split.classes)
    return make_image_data(NAME, len(classes), splits[0], splits[1], classes)
