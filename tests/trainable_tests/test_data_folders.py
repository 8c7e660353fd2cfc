"""Folders of Parquet files: which files are one data set, and what it is called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainable_tests.encoded_images import ParquetSource, rows, write_parquet
from trainable.data.contract import ImageData
from trainable.data.digits import load_digits
from trainable.data.hf_parquet import load_hf_parquet
from trainable.data.naming import CIFAR10_SUMS, is_built_in
from trainable.data.sizes import NUM_IMAGES
from trainable.data.sources import load_dataset
from trainable.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my-set"


def write_good(folder: Path) -> None:
    ParquetSource().write(folder, rows([0, 1, 2]), rows([2, 1, 0]))


SHARDS = ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")


@pytest.mark.parametrize(
    "names",
    [
        SHARDS,
        tuple(f"data/{name}-0123456789abcdef" for name in SHARDS),
        ("train/train-0", "train/train-1", "test/test-0"),
        ("train-all", "train-more", "test-all"),
    ],
)
def test_files_that_belong_together_are_read(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_parquet(folder / f"{name}.parquet", rows([0, 1]))
    assert len(load_hf_parquet(folder).train_labels) == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train-00000-of-00004", "train-00001-of-00004", "train-00003-of-00004", "test-00000-of-00001"),
            "1 of the 4 train files is missing (train-00002-of-00004.parquet)",
        ),
        (("train-00000-of-00001", "test-00001-of-00002"), "test files is missing (test-00000-of-00002.parquet)"),
        ((*SHARDS, "train-00000-of-00001"), "the train files are of different numberings"),
        ((*SHARDS, "train-00002-of-00002"), "train-00002-of-00002.parquet: the numbers go from 0 to 1"),
        ((*SHARDS, "train-00000-of-00002-0123456789abcdef"), "are the same part of train: remove all but one"),
        ((*SHARDS, "train-old"), "train-old.parquet lies beside train-00000-of-00002.parquet"),
        (("coarse/train-0", "fine/train-0", "fine/test-0"), "the train files lie in several folders (coarse, fine)"),
        (("coarse/train-0", "fine/test-0"), "train and test files lie in several folders (coarse, fine)"),
        (("train-0", "validation-0"), "holds no test-*.parquet: rename validation-0.parquet to test-0.parquet"),
        (("train-0", "default/validation/0"), "rename default/validation/0.parquet to test-0.parquet"),
        (("Train-0", "Test-0"), "rename Train-0.parquet to train-0.parquet"),
        (("default/train/0000", "default/test/0000"), "rename default/train/0000.parquet to train-0000.parquet"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(folder: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        write_parquet(folder / f"{name}.parquet", rows([0, 1]))
    with pytest.raises(UserError) as caught:
        load_dataset("", folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


HUB = "datasets--somebody--flowers/snapshots"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("flowers", "flowers"),
        ("flowers/data", "flowers"),
        (f"{HUB}/{'0a' * 20}", "flowers"),
        (f"{HUB}/{'0a' * 20}/data", "flowers"),
        ("cifar10-jpeg", "cifar10-jpeg"),
    ],
)
def test_a_data_set_is_named_after_a_folder_that_tells_something(tmp_path: Path, path: str, name: str) -> None:
    write_good(tmp_path / path)
    assert load_dataset("", tmp_path / path).name == name


@pytest.mark.parametrize(("name", "message"), [("set\udcff", "must be UTF-8"), ("set\x07", "control characters")])
def test_names_that_cannot_be_shown_are_refused(tmp_path: Path, name: str, message: str) -> None:
    write_good(tmp_path / "good")
    (tmp_path / name).symlink_to("good")
    with pytest.raises(UserError, match=message):
        load_dataset("", tmp_path / name)


def test_a_link_gives_its_own_name(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_good(folder)
    (tmp_path / "flowers").symlink_to(folder)
    assert load_dataset("", tmp_path / "flowers").name == "flowers"
    monkeypatch.chdir(folder)
    assert load_dataset("", Path()).name == "my-set"


@pytest.mark.parametrize("name", ["cifar10", "digits", "cifar10/data", f"datasets--x--cifar10/snapshots/{'0a' * 20}"])
def test_the_names_of_built_in_data_sets_are_kept_for_their_content(tmp_path: Path, name: str) -> None:
    """Other images were compared with the published tables, or passed for the embedded ones."""
    write_good(tmp_path / name)
    with pytest.raises(UserError, match="but they are not those of") as caught:
        load_dataset("", tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_digits_may_be_called_digits(tmp_path: Path) -> None:
    digits = load_digits()
    for split, images, labels in (
        ("train", digits.train_images, digits.train_labels),
        ("test", digits.test_images, digits.test_labels),
    ):
        encoded = [Image.fromarray(image)._repr_png_() or b"" for image in images]
        write_parquet(tmp_path / "digits" / f"{split}-0.parquet", list(zip(encoded, labels.tolist(), strict=True)))
    assert load_dataset("", tmp_path / "digits").identity == digits.identity


@pytest.mark.faults  # decodes 60,000 images
def test_cifar10_is_told_from_a_lossy_copy(cifar_folder: Path) -> None:
    """The copy has its sizes, and its colours to within a thousandth."""
    copy = load_dataset("", cifar_folder)
    sums = copy.train_images.sum(axis=(0, 1, 2), dtype=np.int64)
    np.testing.assert_allclose(sums, CIFAR10_SUMS, rtol=1e-3)
    assert not is_built_in(copy, "cifar10")


def test_cifar10_is_known_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NUM_IMAGES, "cifar10", (5, 2))
    images = np.broadcast_to(np.array([1, 2, 3], np.uint8), (5, 32, 32, 3))
    data = ImageData("cifar10", 10, images, np.zeros(5, np.int64), images[:2], np.zeros(2, np.int64), "")
    assert not is_built_in(data, "cifar10")
    monkeypatch.setattr("trainable.data.naming.CIFAR10_SUMS", tuple(5 * 1024 * value for value in (1, 2, 3)))
    assert is_built_in(data, "cifar10")


def test_a_lossy_copy_called_cifar10_is_refused_without_being_decoded(
    tmp_path: Path, cifar_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files have the sizes of CIFAR-10."""
    monkeypatch.delattr("trainable.data.hf_parquet.decode_image")
    (tmp_path / "cifar10").symlink_to(cifar_folder)
    with pytest.raises(UserError, match="but they are not those of cifar10"):
        load_dataset("", tmp_path / "cifar10")
