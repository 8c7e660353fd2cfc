"""Image-classification data sets in the Parquet layout of the Hugging Face Hub.

The files `train-*.parquet` and `test-*.parquet` may be anywhere below the folder, those of a split together. Their
columns are `img` or `image` (a struct with `bytes`) and `label`, `fine_label` or the one that is asked for (whole
numbers, or the names of the classes). The schema's metadata may hold the names of the classes.

The files are foreign content: the size of an image is read from its header first, and memory is checked before it is
allocated.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainable.data.cache import cached
from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.data.encoded_image import decode_image, open_image, quiet_pillow
from trainable.data.labels import num_classes, number_by_name
from trainable.data.memory import check_fits
from trainable.data.misnamed import other_split
from trainable.data.naming import name_of_folder, other_images
from trainable.data.shards import check_shards, split_files
from trainable.data.sizes import NUM_IMAGES
from trainable.errors import UserError
from trainable.ledger.checksums import parse_json
from trainable.ledger.files import open_to_read
from trainable.wording import counted, first_line, printable_line, quoted

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label")
"""Columns that hold the classes unless another one is asked for; the first that is there is used."""
NEEDS_BOTH = "the data set needs both train and test"
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
    label_column: str
    has_names: bool
    """Whether the labels are the names of the classes."""
    class_names: tuple[str, ...]
    """Names of the classes in the metadata; empty if there are none."""


@dataclass(frozen=True, slots=True)
class _Classes:
    """The labels of a data set while it is read."""

    limit: tuple[int, str]
    """The largest number of classes, and what it counts."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Name of a class -> its number, in the order of occurrence; empty where the labels are numbers."""

    def number(self, where: str, label: int | str) -> int:
        """Return the number of a class.

        Raises:
            UserError: the label is out of range.
        """
        if isinstance(label, str):
            return self.numbers.setdefault(label, len(self.numbers))
        if label < 0:
            raise UserError(f"{where}: label {label} is negative (images without a label cannot be used)")
        if label >= self.limit[0]:
            raise UserError(
                f"{where}: label {label} is too large: at most {self.limit[0] - 1}, since the data set has "
                f"{self.limit[0]} {self.limit[1]}; number the classes from 0 without gaps"
            )
        return label


def load_hf_parquet(folder: Path, label: str | None = None) -> ImageData:
    """Load the data set in a folder; its name is that of the folder, see `name_of_folder`.

    Args:
        label: the column of the classes; None means the first of `LABEL_COLUMNS` that is there.

    Raises:
        UserError: a split has no files or not all of them, a file cannot be read, columns, images or labels have
            another form, or the images do not fit into memory.
    """
    name = name_of_folder(folder)
    files = {split: split_files(folder, split) for split in ("train", "test")}
    for split, paths in files.items():
        if not paths:
            raise UserError(f"{folder} holds no {split}-*.parquet: {other_split(folder, split) or NEEDS_BOTH}")
    check_shards(folder, files)
    digest = hashlib.sha256(DECODING + (label or "").encode(errors="surrogateescape"))
    for path in [*files["train"], *files["test"]]:
        digest.update(path.name.encode(errors="surrogateescape") + _hash(path))
    return cached(name, digest.hexdigest(), lambda: _decode(folder, name, files, label))


def _hash(path: Path) -> bytes:
    try:
        with open_to_read(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _decode(folder: Path, name: str, files: Mapping[str, list[Path]], label: str | None) -> ImageData:
    with quiet_pillow():
        parts = {split: [_describe(path, label) for path in paths] for split, paths in files.items()}
        every = [part for members in parts.values() for part in members]
        counts = tuple(sum(part.num_rows for part in parts[split]) for split in ("train", "test"))
        if name in NUM_IMAGES and not (NUM_IMAGES[name] == counts and every[0].is_png):
            raise other_images(folder, name)  # without decoding them all
        _check_sizes(every)
        _check_labels(every)
        classes = _Classes(_class_limit(every))
        train, test = (_decode_split(parts[split], classes) for split in ("train", "test"))
    if every[0].has_names:
        train_labels, test_labels, names = number_by_name(folder, list(classes.numbers), train[1], test[1])
        return make_image_data(name, len(names), (train[0], train_labels), (test[0], test_labels), names)
    names = next((part.class_names for part in every if part.class_names), ())
    count = num_classes(folder, train[1], test[1], len(names))
    return make_image_data(name, count, train, test, names if len(names) == count else ())


def _class_limit(parts: list[_Part]) -> tuple[int, str]:
    """Return the largest number of classes, and what it counts: images, or class names if the metadata have more."""
    num_images = sum(part.num_rows for part in parts)
    path, num_names = max(((part.path, len(part.class_names)) for part in parts), key=lambda named: named[1])
    if num_names > max(num_images, MAX_NAMED_CLASSES):
        images = counted(num_images, "image")
        raise UserError(f"{path} names {num_names} classes, but the data set has only {images}")
    return (num_names, "class names") if num_names > num_images else (num_images, "images")


def _check_labels(parts: list[_Part]) -> None:
    """Refuse files whose columns or metadata give the labels different meanings."""
    columns = {(part.label_column, part.has_names): part.path for part in parts}
    if len(columns) > 1:
        (column, path), (another, other), *_ = columns.items()
        raise UserError(
            f"the classes are {_described(*column)} of {path}, but {_described(*another)} of {other}: choose a "
            "column that is the same in all files with --label"
        )
    named = {part.class_names: part.path for part in parts if part.class_names}
    if len(named) > 1:
        first, second, *_ = named.values()
        raise UserError(
            f"the classes have other names in {second} than in {first}: their labels mean different things"
        )


def _described(label_column: str, has_names: bool) -> str:
    return f"{'names' if has_names else 'numbers'} in the column {printable_line(label_column)}"


def _check_sizes(parts: list[_Part]) -> None:
    """Refuse files whose first images differ in size, and images that together do not fit into memory."""
    shapes = {(part.height, part.width): part.path for part in parts}
    if len(shapes) > 1:
        (first, path), (second, other), *_ = shapes.items()
        raise UserError(f"images differ in size: {first} in {path}, {second} in {other}")
    needed = sum(part.num_rows * part.width * part.height * 3 for part in parts)
    largest = max(parts, key=lambda part: part.num_rows)
    num_images = sum(part.num_rows for part in parts)
    check_fits(f"{largest.path}, row 0", (largest.width, largest.height), num_images, needed)


def _describe(path: Path, label: str | None) -> _Part:
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
    usable = LABEL_COLUMNS if label is None else (label,)
    label_column = next((column for column in usable if column in schema.names), None)
    if image_column is None or label_column is None:
        needed = f"--label {label}" if label else f"{' or '.join(LABEL_COLUMNS)} (or choose one with --label)"
        raise UserError(
            f"{path} has the columns {', '.join(schema.names)}: "
            f"needed are {' or '.join(IMAGE_COLUMNS)} (struct with bytes) and {needed}"
        )
    kind = schema.field(image_column).type
    bytes_type = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else None
    if bytes_type not in (pa.binary(), pa.large_binary()):
        raise UserError(f"{path}: column {image_column} is {kind}, needed is a struct with binary bytes")
    labels = schema.field(label_column).type
    names = labels.value_type if pa.types.is_dictionary(labels) else labels
    has_names = names in (pa.string(), pa.large_string())
    if not (has_names or pa.types.is_integer(labels)):
        raise UserError(f"{path}: column {label_column} is {labels}, needed are whole numbers or names")
    first = next(_batches(path, (image_column, label_column)), None)
    if first is None:
        raise _unreadable(path, ValueError(f"0 of {num_rows} rows"))
    image = open_image(f"{path}, row 0", _bytes((path, image_column), 0, first[0][0]))
    return _Part(
        path,
        num_rows,
        image.width,
        image.height,
        is_png=image.format == "PNG",
        image_column=image_column,
        label_column=label_column,
        has_names=has_names,
        class_names=() if has_names else _class_names(schema, label_column),
    )


def _unreadable(path: Path, error: BaseException) -> UserError:
    return UserError(f"{path} is truncated or no Parquet file ({first_line(error)}): fetch it again")


def _batches(path: Path, columns: tuple[str, str]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield the encoded images and the labels of a few rows after the other.

    Args:
        columns: the column of the images and that of the labels.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_to_read(path) as content, pq.ParquetFile(content) as file:  # the path may be no UTF-8
            for batch in file.iter_batches(BATCH_ROWS, columns=[f"{columns[0]}.bytes", columns[1]]):
                if batch.num_rows:
                    yield batch[columns[0]].field("bytes").to_pylist(), batch[columns[1]].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _decode_split(parts: list[_Part], classes: _Classes) -> tuple[Images, Labels]:
    """Decode all files of a split into one array."""
    num_rows = sum(part.num_rows for part in parts)
    images = np.empty((num_rows, parts[0].height, parts[0].width, 3), dtype=np.uint8)
    labels = np.empty(num_rows, dtype=np.int64)
    start = 0
    for part in parts:
        rows = slice(start, start + part.num_rows)
        _decode_part(part, images[rows], labels[rows], classes)
        start = rows.stop
    return images, labels


def _decode_part(part: _Part, images: Images, labels: Labels, classes: _Classes) -> None:
    """Decode one file, in one thread: for images this small the interpreter lock costs more."""
    row = 0
    for encoded, given in _batches(part.path, (part.image_column, part.label_column)):
        for content, label in zip(encoded, given, strict=True):
            where = f"{part.path}, row {row}"
            if row >= len(labels):
                raise _unreadable(part.path, ValueError(f"more than {len(labels)} rows"))
            if label is None:
                raise UserError(f"{where}: the row holds no label")
            labels[row] = classes.number(where, label)
            image = _bytes((part.path, part.image_column), row, content)
            images[row] = decode_image(where, image, (part.width, part.height))
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


def _class_names(schema: Any, label_column: str) -> tuple[str, ...]:  # noqa: ANN401 (pyarrow is untyped)
    metadata = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        return tuple(map(str, parse_json(metadata)["info"]["features"][label_column]["names"]))
    except (TypeError, ValueError, KeyError, RecursionError):
        return ()
