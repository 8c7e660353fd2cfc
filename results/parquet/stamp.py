"""The last line of a text made from the two tables: which code and data it was made from, and its checksum."""

import functools
import hashlib
import importlib.metadata
import re
import zlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from trainable import provenance

_LINE = re.compile(rb"<!-- batchscape: code ([0-9a-f]{12}), data ([0-9a-f]{12}), crc32 ([0-9a-f]{8}) -->\n\Z")
_DRAWN_WITH = ("jinja2", "matplotlib", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
"""Packages that a report's text or figures may depend on."""
_SOURCES = (".py", ".jinja", ".css", ".js", ".csv", ".json")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the last line of a text says."""

    body: bytes
    """The text without that line."""
    code: str
    """Hash of the code and the processor that made the text."""
    data: str
    """Fingerprint of the tables that the text was made from."""
    is_intact: bool
    """Whether the checksum is that of the text."""


def stamped(text: str, trials: pa.Table, epochs: pa.Table) -> str:
    """Return a text in Markdown or HTML with a last line, a comment, that `read_stamp` reads."""
    start = f"{text}<!-- batchscape: code {code_hash()}, data {fingerprint(trials, epochs)}, crc32 "
    return f"{start}{zlib.crc32(start.encode()):08x} -->\n"


def read_stamp(content: bytes) -> Stamp | None:
    """Return what the last line of a text says; None if it has no such line."""
    found = _LINE.search(content)
    if found is None:
        return None
    code, data, checksum = (group.decode() for group in found.groups())
    is_intact = checksum == f"{zlib.crc32(content[: found.start(3)]):08x}"
    return Stamp(content[: found.start()], code, data, is_intact)


@functools.cache
def code_hash() -> str:
    """Return 12 hexadecimal digits that change with the code that makes reports, its packages and the processor.

    The processor counts, because the last bits of fits can differ, and with them digits of figures.
    """
    digest = hashlib.sha256(f"{provenance.source_hash()} {provenance.processor_name()}".encode())
    for package in _DRAWN_WITH:
        digest.update(f"{package} {importlib.metadata.version(package)}\0".encode())
    folder = provenance.ROOT / "results"
    for path in sorted(path for path in folder.rglob("*.*") if path.suffix in _SOURCES):
        if "examples" not in path.parts:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def fingerprint(trials: pa.Table, epochs: pa.Table) -> str:
    """Return 12 hexadecimal digits that change with every cell and all metadata of the two tables."""
    digest = hashlib.sha256()
    for table in (trials, epochs):
        digest.update(repr(sorted((table.schema.metadata or {}).items())).encode())
        for name in table.column_names:
            digest.update(b"\0%b\0" % name.encode())
            _add_column(digest, table[name])
    return digest.hexdigest()[:12]


def _add_column(digest: "hashlib._Hash", column: pa.ChunkedArray) -> None:
    """Add the values of a column, whatever its chunks are and whatever lies where it has no value."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        digest.update(pc.is_null(column).to_numpy().tobytes())
        digest.update(pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy().tobytes())
    else:
        values = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        digest.update(repr(values.to_pylist()).encode())
