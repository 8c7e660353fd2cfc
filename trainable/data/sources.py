"""Loads the data set that a space or --data names."""

from pathlib import Path

from trainable.data import cifar10, cifar100
from trainable.data.cifar10 import load_cifar10
from trainable.data.cifar100 import load_cifar100
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.data.hf_parquet import load_hf_parquet
from trainable.data.image_folder import is_image_folder, load_image_folder
from trainable.data.labels import check_several_classes, missing_in_test
from trainable.data.misnamed import other_form, other_split
from trainable.data.naming import check_name
from trainable.data.shards import split_files
from trainable.errors import UserError
from trainable.wording import nearest, say

BUILT_IN = ("digits", cifar10.NAME)
SPLITS = ("train", "test")


def load_dataset(name: str, folder: Path | None, label: str | None = None) -> ImageData:
    """Load the data set in `folder` (--data), or the built-in one called `name` if there is no folder.

    A folder with `cifar-10-batches-py` is CIFAR-10, one with `cifar-100-python` CIFAR-100. Other data sets are named
    after their folder; the name of a built-in data set is refused unless it has that content, so that, for example, a
    re-encoded copy does not pass for the original.

    Args:
        label: which labels are the classes (--label), where a folder has several.

    Raises:
        UserError: there is no such data set, or the folder holds none, or not such labels.
    """
    if folder is not None:
        data = _load_folder(folder, label)
        check_several_classes(data, folder)
        if missing := missing_in_test(data):
            say(f"note: {missing}", flush=True)
        return data
    if label is not None:
        raise UserError(f"--label {label} chooses the labels of the data set in a folder: give --data, too")
    if name == "digits":
        return load_digits()
    if name == cifar10.NAME:
        return load_cifar10(None)
    raise UserError(f"no data set {name!r}: {nearest(name, BUILT_IN)} (or point --data at its folder)")


def _load_folder(folder: Path, label: str | None) -> ImageData:
    if not folder.exists():
        raise UserError(f"--data {folder}: no such folder")
    if not folder.is_dir():
        hint = other_form(folder) or "give the folder that holds the data set"
        raise UserError(f"--data {folder} is a file: {hint}")
    folder = folder.resolve() if ".." in folder.parts else folder.absolute()  # a link gives its own name
    if root := _root_of(cifar10.FOLDER, folder):
        _check_no_label(label, root / cifar10.FOLDER)
        return load_cifar10(root)
    if root := _root_of(cifar100.FOLDER, folder):
        return load_cifar100(root, label)
    if any(split_files(folder, split) or [*folder.rglob(f"{split}/*.parquet")] for split in SPLITS):
        data = load_hf_parquet(folder, label)
    elif is_image_folder(folder):
        _check_no_label(label, folder)
        data = load_image_folder(folder)
    elif hint := next(filter(None, (other_form(folder), *(other_split(folder, split) for split in SPLITS))), ""):
        raise UserError(f"--data {folder} holds no data set in a form that is read: {hint}")
    else:
        raise UserError(
            f"--data {folder} holds neither {cifar10.FOLDER}/ nor {cifar100.FOLDER}/ (CIFAR as published), nor "
            "train-*.parquet and test-*.parquet (Hugging Face layout), nor train/CLASS/ and test/CLASS/ with images"
        )
    check_name(data, folder)
    return data


def _root_of(name: str, folder: Path) -> Path | None:
    """Return the folder that holds a published data set: `folder`, or the one above if it is the data set itself."""
    target = folder.resolve()
    if target.name == name:
        return target.parent
    return folder if (folder / name).is_dir() else None


def _check_no_label(label: str | None, folder: Path) -> None:
    if label is not None:
        raise UserError(f"--label {label}: the images in {folder} have only one kind of label: leave it out")
