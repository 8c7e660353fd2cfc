"""Images as PNG and JPEG files in `train/CLASS/` and `test/CLASS/`.

A folder has no order that means something, so the images are ordered by the SHA-256 of their files: as good as
shuffled, and the same after files were renamed.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainable.data.cache import cached
from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.data.encoded_image import decode_image, open_image, quiet_pillow
from trainable.data.labels import number_by_name
from trainable.data.memory import check_fits
from trainable.data.misnamed import other_split
from trainable.data.naming import name_of_folder
from trainable.data.sizes import IMAGE_SIZE
from trainable.errors import UserError
from trainable.wording import counted, printable_line, say

TRAIN_FOLDER = "train"
TEST_FOLDERS = ("test", "val")
"""Names of the folder of test images; the first that is there is used."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
LEFT_BY_SYSTEMS = ("Thumbs.db", "desktop.ini")
"""Files that Windows leaves in folders of images. Hidden files are left out, too."""
DECODING = b"image folder 1"
"""Version of the decoding: what an older one wrote into the cache is not read."""


@dataclass(frozen=True, slots=True)
class _File:
    """One image."""

    path: Path
    digest: bytes
    """SHA-256 of the file."""

    @property
    def class_name(self) -> str:
        """Name of the folder in which the file lies."""
        return self.path.parent.name


def is_image_folder(folder: Path) -> bool:
    """Return whether a folder has a folder of training or test images."""
    return any((folder / split).is_dir() for split in (TRAIN_FOLDER, *TEST_FOLDERS))


def load_image_folder(folder: Path) -> ImageData:
    """Load the data set in a folder; its name is that of the folder, see `name_of_folder`.

    Raises:
        UserError: a split or its images are missing, a file is no image, a test image is of a class that no training
            image has, or the images do not fit into memory.
    """
    name = name_of_folder(folder)
    train_folder = folder / TRAIN_FOLDER
    test_folder = next((folder / split for split in TEST_FOLDERS if (folder / split).is_dir()), None)
    if test_folder is None or not train_folder.is_dir():
        missing = f"{TRAIN_FOLDER}/" if test_folder else " or ".join(f"{split}/" for split in TEST_FOLDERS)
        hint = other_split(folder, TRAIN_FOLDER if test_folder else TEST_FOLDERS[0])
        needs_both = "the data set needs both train/CLASS/ and test/CLASS/"
        raise UserError(f"{folder} holds no {missing}: {hint or needs_both}")
    train, test = _files(train_folder, needs_images=True), _files(test_folder, needs_images=False)
    digest = hashlib.sha256(DECODING)
    for file in [*train, *test]:
        digest.update(file.digest + file.class_name.encode(errors="surrogateescape") + b"\0")
    digest.update(len(train).to_bytes(8))
    data = cached(name, digest.hexdigest(), lambda: _decode(folder, name, train, test))
    for note in _repeated(name, train, test):
        say(f"note: {note}", flush=True)
    return data


def _files(split: Path, *, needs_images: bool) -> list[_File]:
    """Return the images of a split in order.

    Args:
        needs_images: whether each class must have images.
    """
    files = []
    try:
        entries = [path for path in sorted(split.iterdir()) if not _is_left_out(path)]
        for path in entries:
            if path.is_dir():
                images = [image for image in sorted(path.iterdir()) if not _is_left_out(image)]
                if len(entries) == 1 and images and all(image.is_dir() for image in images):
                    raise UserError(f"{path} holds folders and no images, one level too many: move them into {split}")
                if needs_images and not images:
                    raise UserError(f"{path} holds no images: add some, or remove the folder")
                files += [_file(image) for image in images]
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                raise UserError(f"{path} lies in no class's folder: move it to {split.name}/CLASS/, or away")
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from None
    if not files:
        raise UserError(f"{split} holds no images: they belong into {split.name}/CLASS/")
    return sorted(files, key=lambda file: (file.digest, file.class_name, file.path))


def _repeated(name: str, train: Sequence[_File], test: Sequence[_File]) -> Iterator[str]:
    """Yield a sentence about images that are in both splits, and one about images of several classes."""
    copies: dict[bytes, list[_File]] = {}
    for file in (*train, *test):
        copies.setdefault(file.digest, []).append(file)
    in_train, in_test = ({file.digest for file in split} for split in (train, test))
    if both := sorted(in_train & in_test):
        files = copies[both[0]]
        images = counted(len(both), "image")
        yield f"{name} has {images} in train and in test ({_named(files[0], files[-1])}): the test error is too low"
    if several := [files for files in copies.values() if len({file.class_name for file in files}) > 1]:
        first, *others = several[0]
        other = next(file for file in others if file.class_name != first.class_name)
        images = counted(len(several), "image")
        yield f"{name} has {images} in more than one class ({_named(first, other)}): one of the labels is wrong"


def _named(*files: _File) -> str:
    return ", ".join(printable_line("/".join(file.path.parts[-3:])) for file in files)


def _is_left_out(path: Path) -> bool:
    return path.name.startswith(".") or path.name in LEFT_BY_SYSTEMS


def _file(path: Path) -> _File:
    if path.is_dir():
        raise UserError(f"{path} is a folder: the images of a class lie directly in the folder {path.parent}")
    if not path.is_file():
        raise UserError(f"{path} is not a file, or a link to none")
    with path.open("rb") as file:
        return _File(path, hashlib.file_digest(file, "sha256").digest())


def _decode(folder: Path, name: str, train: Sequence[_File], test: Sequence[_File]) -> ImageData:
    files = [*train, *test]
    with quiet_pillow():
        sizes = {open_image(str(file.path), _content(file)).size for file in files}
        size = sizes.pop() if len(sizes) == 1 else (IMAGE_SIZE, IMAGE_SIZE)
        if sizes:
            say(
                f"note: the images of {name} have {len(sizes)} different sizes: each is cropped at its centre to a "
                f"square and scaled to {IMAGE_SIZE}x{IMAGE_SIZE}"
            )
        check_fits(str(files[0].path), size, len(files), 3 * size[0] * size[1] * len(files))
        images = [_decode_split(split, size) for split in (train, test)]
    numbers = {name: number for number, name in enumerate(sorted({file.class_name for file in files}))}
    labels: list[Labels] = [np.array([numbers[file.class_name] for file in split]) for split in (train, test)]
    train_labels, test_labels, classes = number_by_name(folder, list(numbers), *labels)
    return make_image_data(name, len(classes), (images[0], train_labels), (images[1], test_labels), classes)


def _decode_split(files: Sequence[_File], size: tuple[int, int]) -> Images:
    images = np.empty((len(files), size[1], size[0], 3), dtype=np.uint8)
    for image, file in zip(images, files, strict=True):
        image[:] = decode_image(str(file.path), _content(file), size, fit=True)
    return images


def _content(file: _File) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file.path}: {error.strerror}") from None
