"""From a name or a folder to the data set: the refusals."""

from pathlib import Path

import pytest

from trainable.data.sources import load_dataset
from trainable.errors import UserError


@pytest.mark.parametrize(("name", "hint"), [("cifar", "did you mean 'cifar10'"), ("xyz", "valid: digits, cifar10")])
def test_unknown_data_sets_are_refused(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"no data set '{name}': {hint}"):
        load_dataset(name, None)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--data {tmp_path / 'none'}: no such folder"):
        load_dataset("cifar10", tmp_path / "none")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: give the folder"):
        load_dataset("cifar10", tmp_path / "file")


def test_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--data {tmp_path} holds neither cifar-10-batches-py/"):
        load_dataset("cifar10", tmp_path)


def test_a_folder_with_one_split_says_which_is_missing(tmp_path: Path) -> None:
    (tmp_path / "train-0.parquet").touch()
    with pytest.raises(UserError, match=r"holds no test-\*\.parquet"):
        load_dataset("cifar10", tmp_path)
