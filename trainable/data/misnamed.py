"""What a folder holds in place of the data set that is missing, and what to do about it."""

import shlex
from pathlib import Path

from trainable.data import cifar10, cifar100
from trainable.errors import UserError

OTHER_NAMES = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
"""Split -> words that other data sets have for it, in lower case."""
ARCHIVES = (cifar10.ARCHIVE, cifar100.ARCHIVE)
OTHER_VERSIONS = {
    "cifar-10-batches-bin": cifar10.ARCHIVE,
    "cifar-10-batches-mat": cifar10.ARCHIVE,
    "cifar-10-binary.tar.gz": cifar10.ARCHIVE,
    "cifar-10-matlab.tar.gz": cifar10.ARCHIVE,
    "cifar-100-binary": cifar100.ARCHIVE,
    "cifar-100-matlab": cifar100.ARCHIVE,
    "cifar-100-binary.tar.gz": cifar100.ARCHIVE,
    "cifar-100-matlab.tar.gz": cifar100.ARCHIVE,
}
"""Names of CIFAR in other forms -> archive of the one that is read."""


def other_form(path: Path) -> str:
    """Say what to do about CIFAR in a form that is not read, if `path` is such a thing or holds one; else nothing."""
    for found in (path, *_entries(path)):
        if found.name in ARCHIVES:
            return f"unpack it: {shlex.join(['tar', 'xzf', str(found), '-C', str(found.parent)])}"
        if found.name in OTHER_VERSIONS:
            return f"{found.name} is another version: get the Python version, {OTHER_VERSIONS[found.name]}"
    return ""


def other_split(folder: Path, split: str) -> str:
    """Say how to rename what seems to be the images of a split under another name; nothing if there is none."""
    words = OTHER_NAMES[split]
    for path in sorted(folder.rglob("*.parquet")):
        inside = path.relative_to(folder)
        word, dash, rest = path.name.partition("-")
        if dash and word.casefold() in words:
            return f"rename {inside} to {split}-{rest}"
        if inside.parent.name.casefold() in words:
            return f"rename {inside} to {split}-{path.name}"
    named = [path.name for path in _entries(folder) if path.is_dir() and path.name.casefold() in words]
    return f"rename {named[0]}/ to {split}/" if named else ""


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from None
