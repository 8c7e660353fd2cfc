"""The checksum of a whole Parquet file. Page checksums cover neither the headers of pages nor the footer.

It stands between the data and the footer, which readers find from the end of the file; they do not look there.
"""

import zlib

TAG = b"batchscape-crc32:"
_LENGTH = len(TAG) + 8


def with_checksum(content: bytes) -> bytes:
    """Return the content of a Parquet file, with its checksum."""
    start = _footer_start(content)
    return b"%b%b%08x%b" % (content[:start], TAG, zlib.crc32(content), content[start:])


def check_content(content: bytes) -> None:
    """Check the content of a Parquet file; one without a checksum, of an earlier version, is accepted.

    Raises:
        ValueError: it is damaged.
    """
    end = _footer_start(content)
    start = end - _LENGTH
    if not has_checksum(content):
        if TAG in content:  # the length of the footer is damaged
            raise ValueError("its footer is damaged")
    elif content[end - 8 : end] != b"%08x" % zlib.crc32(content[end:], zlib.crc32(content[:start])):
        raise ValueError("its checksum is wrong")


def has_checksum(content: bytes) -> bool:
    """Return whether a Parquet file has a checksum."""
    start = _footer_start(content) - _LENGTH
    return start > 0 and content[start : start + len(TAG)] == TAG


def _footer_start(content: bytes) -> int:
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")
