"""From an encoded image, which is foreign content, to 8-bit RGB: only PNG and JPEG are decoded.

- 16 bits per channel are scaled to 8 by their range: the high byte is kept.
- Transparent pixels are composited on white.
- Grey values, palettes and CMYK are converted to RGB.
- An image with an EXIF orientation is turned upright.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from trainable.data.contract import Images
from trainable.errors import UserError
from trainable.wording import first_line

FORMATS = ("PNG", "JPEG")
"""Formats that are decoded, by Pillow's names. Other decoders are old or run programs (Ghostscript for EPS)."""
MAX_PIXELS = 2**24
"""Largest image in pixels: 4096x4096."""
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes that `convert` brings to RGB without loss of contrast."""
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L")
"""Modes of PNG images with 16-bit grey values. Pillow itself keeps the high byte of 16-bit colours."""
BACKGROUND = (255, 255, 255, 255)
"""Colour behind transparent pixels."""
_MAGIC = {
    (0, b"GIF8"): "a GIF image",
    (0, b"BM"): "a BMP image",
    (0, b"II*\0"): "a TIFF image",
    (0, b"MM\0*"): "a TIFF image",
    (8, b"WEBP"): "a WebP image",
    (0, b"%!PS"): "an EPS image",
    (0, b"\xc5\xd0\xd3\xc6"): "an EPS image",
    (0, b"%PDF"): "a PDF file",
    (4, b"ftyp"): "an AVIF or HEIF image",
    (4, b"jP  "): "a JPEG 2000 image",
    (0, b"8BPS"): "a Photoshop image",
}
"""(offset, bytes) -> the format that begins so."""


def open_image(where: str, content: bytes) -> Any:  # noqa: ANN401 (Pillow is imported late)
    """Read the header of an image, and refuse what must not be decoded; turn it upright if its EXIF data say so.

    Args:
        where: file and row, for the message.

    Raises:
        UserError: the image has another format, too many pixels, several frames, or pixels of an unknown kind.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise UserError(f"{where}: the file holds no image")
    for (offset, magic), kind in _MAGIC.items():
        if content.startswith(magic, offset):
            raise UserError(f"{where}: {kind}; only {' and '.join(FORMATS)} are read")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise UserError(f"{where}: the image has more than {MAX_PIXELS:,} pixels") from None
    except (OSError, ValueError, SyntaxError) as error:
        why = "neither PNG nor JPEG" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise UserError(f"{where}: not an image ({why})") from None
    if image.width * image.height > MAX_PIXELS:
        raise UserError(f"{where}: the image is {image.width}x{image.height}, more than {MAX_PIXELS:,} pixels")
    if image.mode not in EIGHT_BIT_MODES + SIXTEEN_BIT_MODES:
        raise UserError(f"{where}: pixels of the mode {image.mode} cannot be converted to RGB")
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise UserError(f"{where}: the image is animated: keep one of its frames")
    if _is_turned(image):
        try:
            ImageOps.exif_transpose(image, in_place=True)
        except (OSError, ValueError, SyntaxError, MemoryError) as error:
            raise UserError(f"{where}: not an image ({first_line(error)})") from None
    return image


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Hide Pillow's warnings on images that are checked here: on their size, and on broken EXIF data."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")
        yield


def _is_turned(image: Any) -> bool:  # noqa: ANN401
    """Return whether the header of an image has an EXIF orientation. Unreadable EXIF data count as none."""
    from PIL import ExifTags

    try:  # a PNG without EXIF data in its header would be decoded to look for some at its end
        exif = image.getexif() if image.format == "JPEG" or "exif" in image.info else {}
        return exif.get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except (OSError, ValueError, SyntaxError, LookupError, TypeError, struct.error):
        return False


def decode_image(where: str, content: bytes, size: tuple[int, int], *, fit: bool = False) -> Images:
    """Return an image as uint8 [H, W, 3].

    Args:
        size: the width and height that all images of the data set have.
        fit: whether an image of another size is cropped at its centre to a square, and scaled to `size`.

    Raises:
        UserError: the image is broken, has another size without `fit`, or must not be decoded.
    """
    image = open_image(where, content)
    if image.size != size and not fit:
        raise UserError(
            f"{where}: the image is {image.width}x{image.height}, "
            f"the first one {size[0]}x{size[1]}: all must have one size"
        )
    try:
        colours = _rgb(image)
        return np.asarray(colours if image.size == size else _square(colours, size), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise UserError(f"{where}: not an image ({first_line(error)})") from None


def _square(image: Any, size: tuple[int, int]) -> Any:  # noqa: ANN401
    from PIL import Image

    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize(size, Image.Resampling.BICUBIC)


def _rgb(image: Any) -> Any:  # noqa: ANN401
    from PIL import Image

    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.uint32)
        grey = (values >> 8).astype(np.uint8)
        grey[values == image.info.get("transparency", -1)] = BACKGROUND[0]
        return Image.fromarray(grey).convert("RGB")
    transparency = image.info.get("transparency")
    if isinstance(transparency, tuple) and max(transparency) > 255:  # a colour of 16 bits per channel
        image.info["transparency"] = tuple(value >> 8 for value in transparency)
    if transparency is None and "A" not in image.mode:
        return image.convert("RGB")
    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), opaque).convert("RGB")
