"""The file of a trial's weights, in the safetensors format (https://github.com/huggingface/safetensors).

    8 bytes           length of the header, little-endian
    header            JSON: metadata of texts, then dtype, shape and position of each tensor; padded with spaces
    the tensors       one after the other, little-endian, those with the largest elements first, so all are aligned

The first entry of the metadata is a checksum: the CRC-32 of the trial's key and of the whole file, in which the
checksum's own eight digits count as zeros.
"""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from trainable.ledger.checksums import parse_json

BEGIN = b'{"__metadata__":{"crc32":"'
"""Begin of every header; the checksum follows."""
LENGTH_BYTES = 8
ALIGNMENT = 8
ZEROS = b"00000000"
ITEM_BYTES = {
    "C64": 8,
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
"""Type of the elements -> their size in bytes."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """The content of a tensor in row-major order."""

    dtype: str
    """A key of ITEM_BYTES."""
    shape: tuple[int, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """The content of a file."""

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]


def weights_content(weights: StoredWeights, key: str) -> bytes:
    """Return the content of the file of the trial with this key."""
    tensors = sorted(weights.tensors.items(), key=lambda item: (-ITEM_BYTES[item[1].dtype], item[0]))
    header: dict[str, object] = {"__metadata__": {"crc32": ZEROS.decode(), **weights.metadata}}
    end = 0
    for name, tensor in tensors:
        begin, end = end, end + len(tensor.content)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    parts = [len(text).to_bytes(LENGTH_BYTES, "little"), text, *(tensor.content for _, tensor in tensors)]
    return _with_checksum(b"".join(parts), key)


def parse_weights(content: bytes, key: str) -> StoredWeights:
    """Return what is in the content of a file.

    Raises:
        ValueError: the file is damaged, or of another trial.
    """
    if not content[LENGTH_BYTES:].startswith(BEGIN) or _with_checksum(content, key) != content:
        raise ValueError("its checksum is wrong")
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    tensors = {}
    try:
        header = parse_json(content[LENGTH_BYTES:start])
        metadata = header.pop("__metadata__")
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            tensor = StoredTensor(entry["dtype"], tuple(entry["shape"]), content[start + begin : start + end])
            if len(tensor.content) != ITEM_BYTES[tensor.dtype] * math.prod(tensor.shape):
                raise ValueError(f"{name} has another size than its shape")
            tensors[name] = tensor
    except (AttributeError, LookupError, TypeError):
        raise ValueError("its header is wrong") from None
    return StoredWeights(tensors, metadata)


def _with_checksum(content: bytes, key: str) -> bytes:
    first = LENGTH_BYTES + len(BEGIN)
    head, tail = content[:first], memoryview(content)[first + len(ZEROS) :]
    checksum = zlib.crc32(tail, zlib.crc32(head + ZEROS, zlib.crc32(key.encode())))
    return b"".join([head, b"%08x" % checksum, tail])
