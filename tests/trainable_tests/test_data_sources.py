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


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("cifar-10-python.tar.gz", "unpack it: tar xzf '{0}/cifar-10-python.tar.gz' -C '{0}'"),
        ("cifar-10-batches-bin", "cifar-10-batches-bin is another version: get the Python version, cifar-10-python"),
        ("cifar-100-binary.tar.gz", "get the Python version, cifar-100-python.tar.gz"),
        ("Train", "rename Train/ to train/"),
        ("validation", "rename validation/ to test/"),
    ],
)
def test_what_lies_in_place_of_the_data_set_is_named(tmp_path: Path, entry: str, hint: str) -> None:
    folder = tmp_path / "my data"
    path = folder / entry
    folder.mkdir()
    path.touch() if path.suffix else path.mkdir()
    for given in (folder, path) if entry.startswith("cifar") else (folder,):
        with pytest.raises(UserError) as caught:
            load_dataset("cifar10", given)
        assert hint.format(folder) in str(caught.value)
        assert str(caught.value).startswith(f"--data {given} ")


def test_a_folder_with_one_split_says_which_is_missing(tmp_path: Path) -> None:
    (tmp_path / "train-0.parquet").touch()
    with pytest.raises(UserError, match=r"holds no test-\*\.parquet"):
        load_dataset("cifar10", tmp_path)
