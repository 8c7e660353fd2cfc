"""Safe YAML with line numbers, in which `1e-3` is a number, as in YAML 1.2."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainable.errors import UserError

KeyPath = tuple[str | int, ...]

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")


class _Loader(yaml.SafeLoader):
    """The safe loader with the decimal numbers of YAML 1.2. PyYAML reads `1e-3` as a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


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
        dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
        location = f"{self.path}:{self.lines.get(known, 1)}"
        return f"{location}: {dotted}" if dotted else location


def parse_yaml(path: Path) -> YamlSource:
    """Read one YAML document.

    Raises:
        UserError: The file cannot be read, is not YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file in UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    lines: dict[KeyPath, int] = {}
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            _collect_lines(path, node, (), lines)
        content = None if node is None else _Loader("").construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    return YamlSource(path, text, content, lines)


def parse_scalar(text: str) -> Any:  # noqa: ANN401 (whatever was written)
    """The value in `--set key=value`, read as YAML.

    Raises:
        UserError: The text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"cannot read the value {text[:60]!r}") from None


def _collect_lines(file: Path, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key_node.start_mark)
            line = key_node.start_mark.line + 1
            if (*path, key) in lines:
                raise UserError(f"{file}:{line}: key {key!r} is given twice (first on line {lines[*path, key]})")
            lines[*path, key] = line
            _collect_lines(file, value_node, (*path, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*path, index] = item.start_mark.line + 1
            _collect_lines(file, item, (*path, index), lines)
