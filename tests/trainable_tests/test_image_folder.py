"""Images in `train/CLASS/` and `test/CLASS/`: what belongs to the data set, sizes, and what is refused."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainable_tests.encoded_images import FolderSource, rows
from trainable.data.sources import load_dataset
from trainable.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes with two images each."""
    FolderSource().write(tmp_path / "pets", rows([0, 1, 2] * 2), rows([2, 1, 0] * 2, seed=1))
    return tmp_path / "pets"


def refusal(folder: Path, label: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset("", folder, label)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def encoded(width: int, height: int, kind: str = "PNG") -> bytes:
    """Red at the left end, green at the right, the middle square blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    side, length = min(width, height), max(width, height)
    begin = (length - side) // 2
    along = pixels if width >= height else pixels.transpose(1, 0, 2)
    along[:, :begin, 0] = along[:, begin + side :, 1] = along[:, begin : begin + side, 2] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=100)
    return buffer.getvalue()


def test_the_data_set_is_its_content_whatever_the_files_are_called(folder: Path) -> None:
    before = load_dataset("", folder)
    for path in folder.glob("*/*/*.png"):
        path.rename(path.with_name(f"renamed-{9 - int(path.stem)}.JPG"))
    (folder / "test").rename(folder / "val")
    for path in (folder / "train/.hidden", folder / "train/class 0/Thumbs.db", folder / "train/labels.csv"):
        path.write_text("no image")
    assert load_dataset("", folder).identity == before.identity
    next((folder / "train").glob("class 0/*.JPG")).rename(folder / "train/class 1/other.png")
    assert load_dataset("", folder).fingerprint != before.fingerprint


def test_images_of_several_sizes_are_cropped_at_their_centre_and_scaled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    shapes = [(96, 40), (32, 64), (20, 10), (4, 6)]
    train = [(encoded(*shape), number % 2) for number, shape in enumerate(shapes)]
    FolderSource().write(
        folder, train, [(encoded(64, 64, kind), label) for label, kind in enumerate(("JPEG", "PNG"))]
    )
    data = load_dataset("", folder)
    assert capsys.readouterr().out == (
        "note: the images of pets have 5 different sizes: each is cropped at its centre to a square and scaled to "
        "32x32\n"
    )
    assert data.train_images.shape == (4, 32, 32, 3)
    for images in (data.train_images, data.test_images):
        assert np.abs(images.astype(int) - [0, 0, 255]).max() <= 2  # the middle squares alone


@pytest.mark.parametrize("shape", [(48, 48), (40, 24)])
def test_images_of_one_size_keep_it(folder: Path, shape: tuple[int, int]) -> None:
    both = [(encoded(*shape), 0), (encoded(*shape, "JPEG"), 1)]
    FolderSource().write(folder, both, both)
    assert load_dataset("", folder).train_images.shape == (2, shape[1], shape[0], 3)


def broken(folder: Path) -> None:
    (folder / "train/class 1/4.png").write_bytes(encoded(8, 8)[:-30])


def no_image(folder: Path) -> None:
    (folder / "test/class 1/notes.txt").write_text("text")


def no_test(folder: Path) -> None:
    (folder / "test").rename(folder / "tset")


def valid(folder: Path) -> None:
    (folder / "test").rename(folder / "Valid")


def no_train(folder: Path) -> None:
    (folder / "train").rename(folder / "training")


def empty_split(folder: Path) -> None:
    no_test(folder)
    (folder / "test").mkdir()


def empty_class(folder: Path) -> None:
    (folder / "train/class 9").mkdir()


def loose(folder: Path) -> None:
    (folder / "train/5.png").write_bytes(encoded(8, 8))


def nested(folder: Path) -> None:
    (folder / "train/class 1/more").mkdir()


def one_class(folder: Path) -> None:
    FolderSource().write(folder, rows([0, 0]), rows([0], seed=1))


def one_level_too_many(folder: Path) -> None:
    (folder / "train").rename(folder / "inner")
    (folder / "train").mkdir()
    (folder / "inner").rename(folder / "train/pets")


def dangling(folder: Path) -> None:
    (folder / "train/class 1/gone.png").symlink_to(folder / "gone.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken, "{}/train/class 1/4.png: not an image ("),
        (no_image, "{}/test/class 1/notes.txt: not an image (neither PNG nor JPEG)"),
        (no_test, "{} holds no test/ or val/: the data set needs both"),
        (valid, "{} holds no test/ or val/: rename Valid/ to test/"),
        (
            one_class,
            "--data {}: all training images are of one class, 'class 0': each class needs its own train/CLASS/",
        ),
        (one_level_too_many, "{0}/train/pets holds folders and no images, one level too many: move them into {0}/tr"),
        (no_train, "{} holds no train/: rename training/ to train/"),
        (empty_split, "{}/test holds no images: they belong into test/CLASS/"),
        (empty_class, "{}/train/class 9 holds no images: add some, or remove the folder"),
        (loose, "{}/train/5.png lies in no class's folder: move it to train/CLASS/, or away"),
        (nested, "{0}/train/class 1/more is a folder: the images of a class lie directly in the folder {0}/train"),
        (dangling, "{}/train/class 1/gone.png is not a file, or a link to none"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    assert refusal(folder).startswith(message.format(folder))


def test_the_folders_are_the_only_labels(folder: Path) -> None:
    assert (
        refusal(folder, "kind") == f"--label kind: the images in {folder} have only one kind of label: leave it out"
    )


def test_images_that_do_not_fit_into_memory_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainable.data.memory.available_bytes", lambda: 1)
    assert "images of 8x8 pixels; all 12 images need 0.0 GiB of memory, 0.0 GiB are free" in refusal(folder)


def test_copies_in_both_splits_and_in_several_classes_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    train, test = rows([0, 1, 2, 0]), rows([0, 1, 2], seed=1)
    FolderSource().write(folder, [*train, train[0], (train[1][0], 2)], [*test, train[2], (train[3][0], 1)])
    for _ in range(2):  # the second time from the cache
        load_dataset("", folder)
        both, several = capsys.readouterr().out.splitlines()
        assert both.startswith("note: pets has 2 images in train and in test (train/class ")
        assert several.startswith("note: pets has 2 images in more than one class (train/class ")
    FolderSource().write(folder, [*train, train[0]], test)
    load_dataset("", folder)
    assert capsys.readouterr().out == ""
