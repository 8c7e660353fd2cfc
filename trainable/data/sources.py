"""Loads the data set that a space or --data names."""

from pathlib import Path

from trainable.data import cifar10
from trainable.data.cifar10 import load_cifar10
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.data.hf_parquet import load_hf_parquet
from trainable.data.naming import check_name
from trainable.data.shards import split_files
from trainable.errors import UserError
from trainable.wording import nearest

BUILT_IN = ("digits", cifar10.NAME)


def load_dataset(name: str, folder: Path | None) -> ImageData:
    """Load the data set in `folder` (--data), or the built-in one called `name` if there is no folder.

    A folder with `cifar-10-batches-py` is CIFAR-10. A data set of `train-*.parquet` files is named after its folder;
    the name of a built-in data set is refused unless it has that content, so that, for example, a re-encoded copy
    does not pass for the original.

    Raises:
        UserError: there is no such data set, or the folder holds none.
    """
    if folder is not None:
        return _load_folder(folder)
    if name == "digits":
        return load_digits()
    if name == cifar10.NAME:
        return load_cifar10(None)
    raise UserError(f"no data set {name!r}: {nearest(name, BUILT_IN)} (or point --data at its folder)")


def _load_folder(folder: Path) -> ImageData:
    if not folder.exists():
        raise UserError(f"--data {folder}: no such folder")
    if not folder.is_dir():
        raise UserError(f"--data {folder} is a file: give the folder that holds the data set")
    if (target := folder.resolve()).name == cifar10.FOLDER:
        return load_cifar10(target.parent)
    folder = target if ".." in folder.parts else folder.absolute()  # a link gives its own name
    if (folder / cifar10.FOLDER).is_dir():
        return load_cifar10(folder)
    if any(split_files(folder, split) or [*folder.rglob(f"{split}/*.parquet")] for split in ("train", "test")):
        data = load_hf_parquet(folder)
        check_name(data, folder)
        return data
    raise UserError(
        f"--data {folder} holds neither {cifar10.FOLDER}/ (CIFAR-10 as published) "
        "nor train-*.parquet and test-*.parquet (Hugging Face layout)"
    )
