"""Images in every mode of PNG and JPEG, and the sources that read encoded images: each must pass the same tests."""

import hashlib
import io
import shutil
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trainable.data.contract import ImageData
from trainable.data.sources import load_dataset

SIDE = 8
GREY = (np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) * 4) & 0xFC
"""An image whose content is a gradient."""
BINARY = np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 3, 255, 0).astype(np.uint8)
BLACK = np.zeros_like(GREY)
OPAQUE = np.full_like(GREY, 255)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(colour: int, depth: int, channels: Sequence[np.ndarray], **chunks: bytes) -> bytes:
    """A PNG of this colour type and depth; 16-bit channels hold their 8 bits twice, as 65535 stands for 255."""
    values = np.stack(channels, axis=-1)
    if depth == 16:
        values = values.astype(np.uint16) * 257
    rows = values.reshape(SIDE, -1)
    packed = np.packbits(rows > 0, axis=1) if depth == 1 else rows.astype(">u2" if depth == 16 else np.uint8)
    content = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *((kind.encode(), value) for kind, value in chunks.items())]
    parts += [(b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, value) for kind, value in parts)


def jpeg(mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(OPAQUE - BLACK).convert(mode).save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def turned(kind: str, orientation: int, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    """An image with an EXIF orientation: the upper half is black as stored."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("L", size, 255)
    image.paste(0, (0, 0, size[0], size[1] // 2))
    image.save(buffer, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
    return buffer.getvalue()


def half(rows: slice, columns: slice) -> np.ndarray:
    """A white image with a black half."""
    image = OPAQUE.copy()
    image[rows, columns] = 0
    return image


WHOLE, FIRST, LAST = slice(None), slice(SIDE // 2), slice(SIDE // 2, None)
PALETTE = bytes(value for level in range(256) for value in (level, level, level))
BLACK_PALETTE = bytes(256 * 3)
G, RGB, P, LA, RGBA = 0, 2, 3, 4, 6
"""Colour types of PNG."""
KEPT: Mapping[str, tuple[bytes, np.ndarray]] = {
    "8-bit grey": (png(G, 8, [GREY]), GREY),
    "1-bit grey": (png(G, 1, [BINARY]), BINARY),
    "16-bit grey": (png(G, 16, [GREY]), GREY),
    "8-bit colour": (png(RGB, 8, [GREY] * 3), GREY),
    "16-bit colour": (png(RGB, 16, [GREY] * 3), GREY),
    "palette": (png(P, 8, [GREY], PLTE=PALETTE), GREY),
    "opaque grey": (png(LA, 8, [GREY, OPAQUE]), GREY),
    "opaque 16-bit grey": (png(LA, 16, [GREY, OPAQUE]), GREY),
    "opaque colour": (png(RGBA, 8, [GREY] * 3 + [OPAQUE]), GREY),
    "opaque 16-bit colour": (png(RGBA, 16, [GREY] * 3 + [OPAQUE]), GREY),
    "grey JPEG": (jpeg("L"), OPAQUE),
    "colour JPEG": (jpeg("RGB"), OPAQUE),
    "CMYK JPEG": (jpeg("CMYK"), OPAQUE),
    "JPEG upside down": (turned("JPEG", 3), half(LAST, WHOLE)),
    "JPEG to turn right": (turned("JPEG", 6), half(WHOLE, LAST)),
    "JPEG to turn left": (turned("JPEG", 8), half(WHOLE, FIRST)),
    "PNG to turn right": (turned("PNG", 6), half(WHOLE, LAST)),
    "JPEG of no known orientation": (turned("JPEG", 9), half(FIRST, WHOLE)),
    "JPEG with broken EXIF data": (turned("JPEG", 6).replace(b"MM\0*", b"MM??"), half(FIRST, WHOLE)),
    "JPEG with cut EXIF data": (turned("JPEG", 6).replace(b"*\0\0\0\x08", b"*\0\0\0\x12"), half(FIRST, WHOLE)),
    # content in the alpha channel of a black image: black where it is opaque, on white
    "grey and alpha": (png(LA, 8, [BLACK, GREY]), 255 - GREY),
    "16-bit grey and alpha": (png(LA, 16, [BLACK, GREY]), 255 - GREY),
    "colour and alpha": (png(RGBA, 8, [BLACK] * 3 + [GREY]), 255 - GREY),
    "16-bit colour and alpha": (png(RGBA, 16, [BLACK] * 3 + [GREY]), 255 - GREY),
    "palette with alpha": (png(P, 8, [GREY], PLTE=BLACK_PALETTE, tRNS=bytes(range(256))), 255 - GREY),
    # one colour is transparent
    "transparent grey": (png(G, 8, [BINARY], tRNS=struct.pack(">H", 0)), OPAQUE),
    "transparent 1-bit grey": (png(G, 1, [BINARY], tRNS=struct.pack(">H", 0)), OPAQUE),
    "transparent 16-bit grey": (png(G, 16, [GREY], tRNS=struct.pack(">H", 0)), np.where(GREY, GREY, 255)),
    "transparent colour": (png(RGB, 8, [GREY] * 3, tRNS=struct.pack(">3H", 8, 8, 8)), np.where(GREY == 8, 255, GREY)),
    "transparent 16-bit colour": (
        png(RGB, 16, [GREY] * 3, tRNS=struct.pack(">3H", 2056, 2056, 2056)),
        np.where(GREY == 8, 255, GREY),
    ),
}
"""Kind of image -> (encoded, the value that all three channels must have)."""


def animated() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


REFUSED: Mapping[str, tuple[bytes, str]] = {
    "animated": (animated(), "the image is animated"),
    "no image": (b"text", "not an image"),
    "empty": (b"", "holds no image"),
    "cut off": (KEPT["8-bit colour"][0][:-40], "not an image"),
    "other size when upright": (turned("JPEG", 6, (4, 8)), "the image is 8x4, the first one 8x8"),
    "other size": (Image.fromarray(GREY[:4])._repr_png_() or b"", "the image is 8x4, the first one 8x8"),
}
"""Kind of image -> (encoded, part of the refusal)."""

Rows = Sequence[tuple[bytes, int]]
"""Encoded images with their labels."""


class EncodedSource(Protocol):
    """A form of data set that holds encoded images of the user's."""

    has_names: bool
    """Whether the labels are names."""
    makes_sizes_equal: bool
    """Whether images may differ in size."""

    def order(self, rows: Rows) -> Rows:
        """The order in which the images of a split come."""

    def write(self, folder: Path, train: Rows, test: Rows) -> None:
        """Write a data set."""

    def where(self, folder: Path, split: str, row: int) -> str:
        """How an error names an image."""


def write_parquet(path: Path, rows: Rows, **labels: Sequence[object]) -> None:
    """Write a file whose label columns are `labels`, by default the labels of the rows in `label`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array([{"bytes": content} for content, _ in rows], pa.struct({"bytes": pa.binary()}))
    columns = labels or {"label": [label for _, label in rows]}
    pq.write_table(pa.table({"image": images, **columns}), path)


class ParquetSource:
    """The layout of the Hugging Face Hub."""

    has_names, makes_sizes_equal = False, False

    def order(self, rows: Rows) -> Rows:
        return rows

    def write(self, folder: Path, train: Rows, test: Rows) -> None:
        write_parquet(folder / "train-00000-of-00001.parquet", train)
        write_parquet(folder / "test-00000-of-00001.parquet", test)

    def write_path(self, folder: Path, split: str, image_path: str) -> None:
        """Replace a split by one whose second row has only the path of its image."""
        images = [{"bytes": KEPT["8-bit grey"][0], "path": None}, {"bytes": None, "path": image_path}]
        pq.write_table(pa.table({"image": images, "label": [0, 1]}), folder / f"{split}-00000-of-00001.parquet")

    def where(self, folder: Path, split: str, row: int) -> str:
        return f"{folder / f'{split}-00000-of-00001.parquet'}, row {row}"


class NamedParquetSource(ParquetSource):
    """The same with labels that are names."""

    has_names = True

    def write(self, folder: Path, train: Rows, test: Rows) -> None:
        for split, rows in (("train", train), ("test", test)):
            names = [f"class {label}" for _, label in rows]
            write_parquet(folder / f"{split}-00000-of-00001.parquet", rows, label=names)


class FolderSource:
    """A folder for each class, whose images have no order."""

    has_names, makes_sizes_equal = True, True

    def order(self, rows: Rows) -> Rows:
        return sorted(rows, key=lambda row: hashlib.sha256(row[0]).digest())

    def write(self, folder: Path, train: Rows, test: Rows) -> None:
        for split, rows in (("train", train), ("test", test)):
            shutil.rmtree(folder / split, ignore_errors=True)
            for number, (content, label) in enumerate(rows):
                path = folder / split / f"class {label}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def where(self, folder: Path, split: str, row: int) -> str:
        return str(next((folder / split).glob(f"*/{row}.png")))


ENCODED_SOURCES: Mapping[str, EncodedSource] = {
    "parquet": ParquetSource(),
    "parquet with names": NamedParquetSource(),
    "folder": FolderSource(),
}


def rows(labels: Sequence[int], seed: int = 0) -> list[tuple[bytes, int]]:
    """Different images with these labels."""
    images = np.random.RandomState(seed).randint(0, 256, (len(labels), SIDE, SIDE)).astype(np.uint8)
    return [(png(G, 8, [image]), label) for image, label in zip(images, labels, strict=True)]


def loaded(source: EncodedSource, folder: Path, train: Rows, test: Rows) -> ImageData:
    source.write(folder, train, test)
    return load_dataset("", folder)
