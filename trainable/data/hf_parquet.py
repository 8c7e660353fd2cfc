"""Image-classification data sets in the Parquet layout of the Hugging Face Hub.

The files `train-*.parquet` and `test-*.parquet` may be anywhere below the folder. Their columns are `img` or `image`
(a struct with `bytes`) and `label` (whole numbers). The schema's metadata may hold the names of the classes.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from trainable.data.cache import cached
from trainable.data.contract import ImageData, Images, Labels, make_image_data
from trainable.errors import UserError
from trainable.wording import first_line

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"


def split_files(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split in order."""
    return sorted(folder.rglob(f"{split}-*.parquet"))


def load_hf_parquet(folder: Path) -> ImageData:
    """Load the data set in a folder; its name is that of the folder.

    Raises:
        UserError: a split has no files, a file cannot be read, or columns or images have another form.
    """
    files = {split: split_files(folder, split) for split in ("train", "test")}
    for split, paths in files.items():
        if not paths:
            raise UserError(f"{folder} holds no {split}-*.parquet: the data set needs both train and test")
    digest = hashlib.sha256()
    for path in [*files["train"], *files["test"]]:
        digest.update(path.name.encode() + _hash(path))
    return cached(folder.name, digest.hexdigest(), lambda: _decode(folder.name, files))


def _hash(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _decode(name: str, files: dict[str, list[Path]]) -> ImageData:
    splits = {split: [_decode_file(path) for path in paths] for split, paths in files.items()}
    shapes = {
        images.shape[1:]: path
        for split, paths in files.items()
        for path, (images, _, _) in zip(paths, splits[split], strict=True)
    }
    if len(shapes) > 1:
        (first, path), (second, other), *_ = shapes.items()
        raise UserError(f"images differ in size: {first[:2]} in {path}, {second[:2]} in {other}")
    joined: dict[str, tuple[Images, Labels]] = {}
    num_classes = 0
    for split, parts in splits.items():
        images, labels, num_names = zip(*parts, strict=True)
        joined[split] = np.concatenate(images), np.concatenate(labels)
        num_classes = max(num_classes, int(joined[split][1].max()) + 1, *num_names)
    return make_image_data(name, num_classes, joined["train"], joined["test"])


def _decode_file(path: Path) -> tuple[Images, Labels, int]:
    """Return images, labels and the number of class names in the metadata (0 if there are none)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} is truncated or no Parquet file ({first_line(error)}): fetch it again") from None
    image_column = next((column for column in IMAGE_COLUMNS if column in table.column_names), None)
    if image_column is None or LABEL_COLUMN not in table.column_names:
        raise UserError(
            f"{path} has the columns {', '.join(table.column_names)}: "
            f"needed are {' or '.join(IMAGE_COLUMNS)} (struct with bytes) and {LABEL_COLUMN}"
        )
    kind = table.schema.field(image_column).type
    bytes_type = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else None
    if bytes_type not in (pa.binary(), pa.large_binary()):
        raise UserError(f"{path}: column {image_column} is {kind}, needed is a struct with binary bytes")
    if not pa.types.is_integer(table.schema.field(LABEL_COLUMN).type) or table[LABEL_COLUMN].null_count:
        raise UserError(f"{path}: column {LABEL_COLUMN} must hold whole numbers without gaps")
    if not len(table):
        raise UserError(f"{path} holds no rows")
    labels = table[LABEL_COLUMN].to_numpy().astype(np.int64)
    if labels.min() < 0:
        raise UserError(f"{path}: label {labels.min()} is negative (images without a label cannot be used)")
    encoded = table[image_column].combine_chunks().field("bytes").to_pylist()
    return _decode_images(path, encoded), labels, _num_class_names(table.schema)


def _decode_images(path: Path, encoded: list[bytes | None]) -> Images:
    from PIL import Image

    def decode(row: int) -> Images:
        try:
            with Image.open(io.BytesIO(encoded[row] or b"")) as image:
                return np.asarray(image.convert("RGB"), dtype=np.uint8)
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{path}, row {row}: not an image ({first_line(error)})") from None

    first = decode(0)
    images = np.empty((len(encoded), *first.shape), dtype=np.uint8)

    for row in range(len(encoded)):  # one thread: for images this small the interpreter lock costs more
        image = decode(row)
        if image.shape != first.shape:
            raise UserError(
                f"{path}, row {row}: the image is {image.shape[1]}x{image.shape[0]}, "
                f"the first one {first.shape[1]}x{first.shape[0]}: all must have one size"
            )
        images[row] = image
    return images


def _num_class_names(schema: Any) -> int:  # noqa: ANN401 (pyarrow is untyped)
    metadata = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        feature = json.loads(metadata)["info"]["features"][LABEL_COLUMN]
        return len(feature["names"])
    except (TypeError, ValueError, KeyError):
        return 0
