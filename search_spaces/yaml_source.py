"""Space files: safe YAML with line numbers."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainable.errors import UserError
from trainable.limited_yaml import MAX_BYTES, MAX_WORD, LimitedLoader, LimitError, load_limited

PROBLEMS = {
    r"character '\\t'": "a tab: YAML is indented with spaces",
    r"character '(.)' that cannot": "a text that begins with {0} needs quotes",
    "mapping values are not": "a ':' that does not fit here: check the indentation, or quote a text that holds ': '",
    r"expected <block end>, but found '-'": "a '-' that does not fit the indentation above",
    "<block end>|the node content|no whitespace": "does not fit what is above: check the indentation",
    r"expected ',' or '(.)'": "a '{0}' or a ',' is missing",
    "find expected ':'": "a key without ':'",
    "unexpected end of stream": "a quote is not closed",
    "undefined alias '?([^']*)": "nothing above is called '&{0}'",
    "duplicate anchor '?([^';]*)": "'&{0}' is given twice",
    "another document": "a second document: leave '---' out",
    "constructor for the tag '([^']*)'": "the tag '{0}' is not known: leave it out",
    "unhashable key": "a key must be a word",
    "special characters": "a character that does not print",
    r".* (?:contains itself|is no \w+)\b.*": "{}",
}
"""What PyYAML says of a file, as patterns, and what we say; the last is our own."""
UNKNOWN_PROBLEM = "cannot be read: check the brackets, the quotes and the indentation here"
FROM_BEGINNING = ("expected ',' or", "find expected ':'", "unexpected end of stream")
"""Problems that PyYAML notices far behind the line with the mistake: the line where the bracket or quote opens."""

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A parsed file with the line of each key."""

    path: Path
    text: str
    content: Any
    lines: dict[KeyPath, int]
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """Path of a key -> its path in the file, where the content is a translation of what the file says."""

    def where(self, path: KeyPath) -> str:
        """The location of a key as `file:line: key.path`. A key that the file lacks has the line of its section."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        length = next((length for length in range(len(path), 0, -1) if path[:length] in self.origins), 0)
        written = (*self.origins.get(path[:length], ()), *path[length:])
        dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{_printable(key)}" for key in written).lstrip(".")
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
        raise UserError(f"{path}:{line}: not valid YAML: {_problem_text(error.reason)}") from None
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path}:{_marked_text(error)}") from None
    return YamlSource(path, text, content, lines)


def _marked_text(error: yaml.MarkedYAMLError) -> str:
    """The line of a mistake, and what it is."""
    problem = error.problem or ""
    begins_there = any(words in problem for words in FROM_BEGINNING)
    mark = (error.context_mark if begins_there else None) or error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    return (
        f"{line}: {problem}" if isinstance(error, LimitError) else f"{line}: not valid YAML: {_problem_text(problem)}"
    )


def _problem_text(problem: str) -> str:
    """PyYAML's words in ours."""
    for pattern, words in PROBLEMS.items():
        if match := re.search(pattern, problem):
            return words.format(*(group[:MAX_WORD] for group in match.groups() or [match[0]]))
    return UNKNOWN_PROBLEM


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
        raise UserError(f"{path}:{line}: is not text in UTF-8") from None


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
