"""Image-classification data sets in the Parquet layout of the Hugging Face Hub.

The files `train-*.parquet` and `test-*.parquet` may be anywhere below the folder, those of a split together. Their
columns are `img` or `image` (a struct with `bytes`) and `label` (whole numbers). The schema's metadata may hold the
names of the classes.

The files are foreign content: the size of an image is read from its header first, and memory is checked before it is
allocated.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainable.data.cache import cached
from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.data.encoded_image import decode_image, open_image
from trainable.data.labels import num_classes
from trainable.data.memory import available_bytes
from trainable.data.naming import name_of_folder, other_images
from trainable.data.shards import check_shards, split_files
from trainable.data.sizes import NUM_IMAGES
from trainable.errors import UserError
from trainable.ledger.checksums import parse_json
from trainable.ledger.files import open_to_read
from trainable.wording import counted, first_line, quoted

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"
DECODING = b"3"
"""Version of the decoding: what an older one wrote into the cache is not read."""
MAX_NAMED_CLASSES = 2**16
"""Largest number of classes of a data set with fewer images than classes."""
BATCH_ROWS = 64
"""Number of rows whose encoded images are in memory at the same time."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a split, as its metadata and its first image describe it."""

    path: Path
    num_rows: int
    width: int
    height: int
    is_png: bool
    image_column: str
    class_names: tuple[str, ...]
    """Names of the classes in the metadata; empty if there are none."""


def load_hf_parquet(folder: Path) -> ImageData:
    """Load the data set in a folder; its name is that of the folder, see `name_of_folder`.

    Raises:
        UserError: a split has no files or not all of them, a file cannot be read, columns, images or labels have
            another form, or the images do not fit into memory.
    """
    name = name_of_folder(folder)
    files = {split: split_files(folder, split) for split in ("train", "test")}
    for split, paths in files.items():
        if not paths:
            raise UserError(f"{folder} holds no {split}-*.parquet: {_missing_split(folder, split)}")
    check_shards(folder, files)
    digest = hashlib.sha256(DECODING)
    for path in [*files["train"], *files["test"]]:
        digest.update(path.name.encode(errors="surrogateescape") + _hash(path))
    return cached(name, digest.hexdigest(), lambda: _decode(folder, name, files))


def _missing_split(folder: Path, split: str) -> str:
    """Say what to do about a split without files."""
    if (other := min(folder.rglob(f"{split}/*.parquet"), default=None)) is not None:
        return f"rename {other.relative_to(folder)} to {split}-{other.name}"
    return "the data set needs both train and test"


def _hash(path: Path) -> bytes:
    try:
        with open_to_read(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _decode(folder: Path, name: str, files: Mapping[str, list[Path]]) -> ImageData:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked here
        warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")  # it reads EXIF data, which may be broken
        parts = {split: [_describe(path) for path in paths] for split, paths in files.items()}
        every = [part for members in parts.values() for part in members]
        counts = tuple(sum(part.num_rows for part in parts[split]) for split in ("train", "test"))
        if name in NUM_IMAGES and not (NUM_IMAGES[name] == counts and every[0].is_png):
            raise other_images(folder, name)  # without decoding them all
        _check_sizes(every)
        _check_class_names(every)
        limit = _class_limit(every)
        train, test = (_decode_split(parts[split], limit) for split in ("train", "test"))
    num_names = max(len(part.class_names) for part in every)
    return make_image_data(name, num_classes(folder, train[1], test[1], num_names), train, test)


def _class_limit(parts: list[_Part]) -> tuple[int, str]:
    """Return the largest number of classes, and what it counts: images, or class names if the metadata have more."""
    num_images = sum(part.num_rows for part in parts)
    path, num_names = max(((part.path, len(part.class_names)) for part in parts), key=lambda named: named[1])
    if num_names > max(num_images, MAX_NAMED_CLASSES):
        images = counted(num_images, "image")
        raise UserError(f"{path} names {num_names} classes, but the data set has only {images}")
    return (num_names, "class names") if num_names > num_images else (num_images, "images")


def _check_class_names(parts: list[_Part]) -> None:
    """Refuse files whose metadata give the labels different meanings."""
    named = {part.class_names: part.path for part in parts if part.class_names}
    if len(named) > 1:
        first, second, *_ = named.values()
        raise UserError(
            f"the classes have other names in {second} than in {first}: their labels mean different things"
        )


def _check_sizes(parts: list[_Part]) -> None:
    """Refuse files whose first images differ in size, and images that together do not fit into memory."""
    shapes = {(part.height, part.width): part.path for part in parts}
    if len(shapes) > 1:
        (first, path), (second, other), *_ = shapes.items()
        raise UserError(f"images differ in size: {first} in {path}, {second} in {other}")
    needed = sum(part.num_rows * part.width * part.height * 3 for part in parts)
    free = available_bytes()
    if needed > free:
        largest = max(parts, key=lambda part: part.num_rows)
        raise UserError(
            f"{largest.path}, row 0: images of {largest.width}x{largest.height} pixels; all "
            f"{counted(sum(part.num_rows for part in parts), 'image')} need {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free"
        )


def _describe(path: Path) -> _Part:
    """Check the columns of a file and read the header of its first image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_to_read(path) as content, pq.ParquetFile(content) as file:  # the path may be no UTF-8
            schema, num_rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    if not num_rows:
        raise UserError(f"{path} holds no rows")
    image_column = next((column for column in IMAGE_COLUMNS if column in schema.names), None)
    if image_column is None or LABEL_COLUMN not in schema.names:
        raise UserError(
            f"{path} has the columns {', '.join(schema.names)}: "
            f"needed are {' or '.join(IMAGE_COLUMNS)} (struct with bytes) and {LABEL_COLUMN}"
        )
    kind = schema.field(image_column).type
    bytes_type = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else None
    if bytes_type not in (pa.binary(), pa.large_binary()):
        raise UserError(f"{path}: column {image_column} is {kind}, needed is a struct with binary bytes")
    label_type = schema.field(LABEL_COLUMN).type
    if not pa.types.is_integer(label_type):
        raise UserError(f"{path}: column {LABEL_COLUMN} is {label_type}, needed are whole numbers")
    first = next(_batches(path, image_column), None)
    if first is None:
        raise _unreadable(path, ValueError(f"0 of {num_rows} rows"))
    image = open_image(f"{path}, row 0", _bytes((path, image_column), 0, first[0][0]))
    return _Part(path, num_rows, image.width, image.height, image.format == "PNG", image_column, _class_names(schema))


def _unreadable(path: Path, error: BaseException) -> UserError:
    return UserError(f"{path} is truncated or no Parquet file ({first_line(error)}): fetch it again")


def _batches(path: Path, image_column: str) -> Iterator[tuple[list[bytes | None], Any]]:
    """Yield the encoded images and the labels of a few rows after the other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_to_read(path) as content, pq.ParquetFile(content) as file:  # the path may be no UTF-8
            for batch in file.iter_batches(BATCH_ROWS, columns=[f"{image_column}.bytes", LABEL_COLUMN]):
                if batch.num_rows:
                    yield batch[image_column].field("bytes").to_pylist(), batch[LABEL_COLUMN]
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _decode_split(parts: list[_Part], class_limit: tuple[int, str]) -> tuple[Images, Labels]:
    """Decode all files of a split into one array."""
    num_rows = sum(part.num_rows for part in parts)
    images = np.empty((num_rows, parts[0].height, parts[0].width, 3), dtype=np.uint8)
    labels = np.empty(num_rows, dtype=np.int64)
    start = 0
    for part in parts:
        rows = slice(start, start + part.num_rows)
        _decode_part(part, images[rows], labels[rows], class_limit)
        start = rows.stop
    return images, labels


def _decode_part(part: _Part, images: Images, labels: Labels, class_limit: tuple[int, str]) -> None:
    """Decode one file, in one thread: for images this small the interpreter lock costs more."""
    row = 0
    for encoded, numbers in _batches(part.path, part.image_column):
        for content, label in zip(encoded, numbers.to_pylist(), strict=True):
            where = f"{part.path}, row {row}"
            if row >= len(labels):
                raise _unreadable(part.path, ValueError(f"more than {len(labels)} rows"))
            if label is None:
                raise UserError(f"{where}: the row holds no label")
            if label < 0:
                raise UserError(f"{where}: label {label} is negative (images without a label cannot be used)")
            if label >= class_limit[0]:
                raise UserError(
                    f"{where}: label {label} is too large: at most {class_limit[0] - 1}, since the data set has "
                    f"{class_limit[0]} {class_limit[1]}; number the classes from 0 without gaps"
                )
            image = _bytes((part.path, part.image_column), row, content)
            images[row], labels[row] = decode_image(where, image, (part.width, part.height)), label
            row += 1
    if row < len(labels):
        raise _unreadable(part.path, ValueError(f"{row} of {len(labels)} rows"))


def _bytes(part: tuple[Path, str], row: int, content: bytes | None) -> bytes:
    """Return the encoded image of a row, or refuse a row that only says where its image lies.

    Args:
        part: the file and the name of its image column.
    """
    path, image_column = part
    if content:
        return content
    if named := _path_in_row(path, image_column, row):
        raise UserError(
            f"{path}, row {row}: the row holds no image, only the path {quoted(named)}: write the content of the "
            f"image files into {image_column}.bytes"
        )
    raise UserError(f"{path}, row {row}: the row holds no image")


def _path_in_row(path: Path, image_column: str, row: int) -> str | None:
    """Return the path that a row gives for its image, None if there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_to_read(path) as content, pq.ParquetFile(content) as file:  # the path may be no UTF-8
            column = file.read([f"{image_column}.path"]).column(image_column)
        return pa.chunked_array(column.flatten()[0])[row].as_py() or None
    except (LookupError, OSError, TypeError, ValueError, pa.ArrowException):  # the struct has no paths
        return None


def _class_names(schema: Any) -> tuple[str, ...]:  # noqa: ANN401 (pyarrow is untyped)
    metadata = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        return tuple(map(str, parse_json(metadata)["info"]["features"][LABEL_COLUMN]["names"]))
    except (TypeError, ValueError, KeyError, RecursionError):
        return ()
