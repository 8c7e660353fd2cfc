"""Decoded data sets on disk, one folder each. They are written once and mapped into memory, not read."""

import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainable.cache_folder import NO_HOME, cache_folder
from trainable.data.contract import ImageData, make_image_data
from trainable.errors import UserError
from trainable.ledger.checksums import parse_json
from trainable.ledger.files import LOCK, read_regular
from trainable.ledger.locks import exclusive_lock, is_locked

META = "meta.json"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
ABANDONED_SECONDS = 60.0
"""Age from which a folder that nobody holds counts as abandoned; a new one is locked at once."""


def cached(name: str, source_identity: str, decode: Callable[[], ImageData]) -> ImageData:
    """Return a data set from the cache, or decode it now and put it there.

    Args:
        source_identity: the hex digest of the source files' content.
        decode: decodes the data set; called only if the cache does not hold it.

    Raises:
        UserError: the cache folder cannot be written.
    """
    folder = cache_folder() / "decoded" / f"{name}-{source_identity[:16]}"
    found = _read(folder)
    if found is None:
        data = decode()
        try:
            _write(folder, data)
        except OSError as error:
            why = "there is no home folder" if folder.is_relative_to(NO_HOME) else error.strerror
            raise UserError(
                f"cannot write the cache {folder.parent}: {why}; set BATCHSCAPE_CACHE to a folder that can be written"
            ) from None
        found = _read(folder) or data
    return found


def _write(folder: Path, data: ImageData) -> None:
    scratch = folder.with_name(f"{folder.name}.{secrets.token_hex(8)}")
    scratch.mkdir(parents=True)
    try:
        with exclusive_lock(scratch / LOCK):
            _delete_abandoned(folder.parent)
            for array in ARRAYS:
                np.save(scratch / f"{array}.npy", getattr(data, array))
            fields = ("name", "num_classes", "fingerprint", "class_names")
            meta = {field: getattr(data, field) for field in fields}
            (scratch / META).write_text(json.dumps(meta))
            (scratch / LOCK).unlink()
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was faster
                scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _delete_abandoned(folder: Path) -> None:
    """Delete half-written data sets that killed processes left, except for those of the last minute."""
    for path in folder.glob(f"*.{'[0-9a-f]' * 16}"):
        with contextlib.suppress(OSError):  # it has just been renamed or deleted
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS and not is_locked(path / LOCK):
                shutil.rmtree(path, ignore_errors=True)


def _read(folder: Path) -> ImageData | None:
    """Return the cached data set, None if there is none or it is damaged."""
    try:
        meta = parse_json(read_regular(folder / META))
        train_images, train_labels, test_images, test_labels = (
            np.load(folder / f"{array}.npy", mmap_mode="r") for array in ARRAYS
        )
        train, test = (train_images, train_labels), (test_images, test_labels)
        data = make_image_data(meta["name"], meta["num_classes"], train, test, tuple(meta["class_names"]))
        return data if data.fingerprint == meta["fingerprint"] else None
    except (OSError, ValueError, LookupError, TypeError, EOFError):
        return None
