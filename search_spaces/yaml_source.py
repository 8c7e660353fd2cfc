"""Space files: safe YAML with line numbers."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainable.errors import UserError
from trainable.limited_yaml import MAX_BYTES, MAX_WORD, LimitedLoader, LimitError, load_limited

MAX_PROBLEM = 200
"""Largest number of characters of PyYAML's words, which may quote the file."""

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A parsed file with the line of each key."""

    path: Path
    text: str
    content: Any
    lines: dict[KeyPath, int]

    def where(self, path: KeyPath) -> str:
        """The location of a key as `file:line: key.path`. A key that the file lacks has the line of its section."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{_printable(key)}" for key in path).lstrip(".")
        location = f"{self.path}:{self.lines.get(known, 1)}"
        return f"{location}: {dotted}" if dotted else location


def parse_yaml(path: Path) -> YamlSource:
    """Read one YAML document.

    Raises:
        UserError: The file cannot be read, is not YAML, is too large, or has a key twice.
    """
    text = _read(path)
    lines: dict[KeyPath, int] = {}
    try:
        loader = LimitedLoader(text)
        node = loader.get_single_node()
        if node is not None:
            _collect_lines(path, node, (), lines)
        content = None if node is None else loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: not valid YAML: {str(error).splitlines()[0]}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        kind = "" if isinstance(error, LimitError) else "not valid YAML: "
        problem = str(error.problem or error.context).splitlines()[0]
        raise UserError(f"{path}:{line}: {kind}{problem[:MAX_PROBLEM]}") from None
    return YamlSource(path, text, content, lines)


def _read(path: Path) -> str:
    """The text of a file, of which no more is read than it may hold."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a pipe could wait for ever
            raise UserError(f"{path} is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}:1: the file has {max(size, len(content)):,} bytes: at most {MAX_BYTES:,}")
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: {path} is not a text file in UTF-8") from None


def parse_scalar(text: str) -> Any:  # noqa: ANN401 (whatever was written)
    """The value in `--set key=value`, read as YAML.

    Raises:
        UserError: The text is not YAML.
    """
    try:
        return load_limited(text)
    except yaml.YAMLError:
        raise UserError(f"cannot read the value {text[:60]!r}") from None


def _printable(key: str) -> str:
    """A key as part of one line."""
    return key if key.isprintable() else repr(key)


def _collect_lines(file: Path, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key_node.start_mark)
            line = key_node.start_mark.line + 1
            if len(key) > MAX_WORD and isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{file}:{line}: a key of {len(key):,} characters: at most {MAX_WORD}")
            if (*path, key) in lines:
                raise UserError(f"{file}:{line}: key {key!r} is given twice (first on line {lines[*path, key]})")
            lines[*path, key] = line
            _collect_lines(file, value_node, (*path, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*path, index] = item.start_mark.line + 1
            _collect_lines(file, item, (*path, index), lines)
