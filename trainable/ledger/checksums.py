"""The checksum of a record: the last field of its JSON object, the CRC-32 of all bytes before that field.

The checksum of what lies in a trial's folder also covers the trial's key, so that a record of another trial counts as
damaged. Records of earlier versions have no checksum, and are read without one, but not after a line that has one.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

FIELD = b',"crc32":"'
_LENGTH = len(FIELD) + 10
"""Number of bytes of the field and of the brace behind it."""


def sealed(values: Mapping[str, Any], owner: str = "", indent: int | None = None) -> bytes:
    """Return the values, at least one, as JSON with a checksum: one line, unless it is indented.

    Args:
        values: the fields of the record.
        owner: key of the trial whose record this is; empty for other records.
        indent: number of spaces, for files that people read.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(values, separators=separators, indent=indent, allow_nan=False).encode()[:-1]
    return b'%b%b%08x"}\n' % (text, FIELD, _checksum(text, owner))


def verified(content: bytes, owner: str = "") -> bytes:
    """Return the JSON of a record without its checksum.

    Raises:
        ValueError: the checksum is wrong.
    """
    content = content.removesuffix(b"\n")
    if not has_checksum(content):
        return content
    text = content[:-_LENGTH]
    if content[-10:] != b'%08x"}' % _checksum(text, owner):
        raise ValueError("its checksum is wrong")
    return text + b"}"


def unsealed(content: bytes, owner: str = "") -> Any:  # noqa: ANN401 (whatever JSON holds)
    """Return the values in the content of a record, without its checksum.

    Raises:
        ValueError: the checksum is wrong, or this is no JSON.
    """
    return parse_json(verified(content, owner))


def parse_json(content: bytes | str) -> Any:  # noqa: ANN401 (whatever JSON holds)
    """Return the values in JSON that may come from anywhere.

    Raises:
        ValueError: this is no JSON, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def has_checksum(content: bytes) -> bool:
    """Return whether a record has a checksum. A damaged one without its field holds an unknown key."""
    content = content.removesuffix(b"\n")
    return content[-_LENGTH : -_LENGTH + len(FIELD)] == FIELD


def stripped_lines(lines: Sequence[bytes], *, is_sealed: bool = False) -> list[int]:
    """Return the numbers of the lines that have lost their checksum: those without one after a line with one.

    Args:
        is_sealed: the first line must have a checksum, too.
    """
    numbers = []
    for number, line in enumerate(lines, start=1):
        if has_checksum(line):
            is_sealed = True
        elif is_sealed:
            numbers.append(number)
    return numbers


def is_torn(end: bytes) -> bool:
    """Return whether what follows the last line of a file is the beginning of a record, as a killed writer leaves it.

    If anything follows its checksum, the record was whole, and its line end was changed.
    """
    position = end.rfind(FIELD)
    return position < 0 or position + _LENGTH >= len(end)


def _checksum(text: bytes, owner: str) -> int:
    return zlib.crc32(text, zlib.crc32(owner.encode()))
