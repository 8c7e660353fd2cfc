"""A safe YAML loader with the values of YAML 1.2 (its core schema), which no short text can keep busy."""

import re
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

MAX_BYTES = 1_000_000
"""Largest size of a file, in bytes; of a text from elsewhere, in characters."""
MAX_VALUES = 40_000
"""Largest number of keys and values of a file; those below an alias count each time that it is used."""
MAX_DEPTH = 20
"""Largest number of mappings and lists inside each other."""
MAX_TEXT = 10_000
"""Largest number of characters of a text."""
MAX_WORD = 100
"""Largest number of characters of a key."""
MAX_NUMBER = 500
"""Largest number of characters of a number."""

_BOOL, _INT, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_SCHEMA: dict[str, tuple[re.Pattern[str], str]] = {
    _BOOL: (re.compile("(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    _INT: (re.compile("(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    _FLOAT: (
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        "-+.0123456789",
    ),
}
"""How the core schema writes the values of each tag, and the characters with which they can begin."""
_YAML_1_1 = (_BOOL, _INT, _FLOAT, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
"""Tags that PyYAML finds in texts that YAML 1.2 reads in another way: 010, 1:30, 1_000, yes, 2024-01-01, =."""


class LimitError(yaml.MarkedYAMLError):
    """The file is YAML, but too large in some way."""


class LimitedLoader(yaml.SafeLoader):
    """The safe loader with the core schema of YAML 1.2, and with limits.

    PyYAML reads YAML 1.1, where `010` is 8, `1:30` is 90, `yes` is true and `1e-3` is a string. The limits hold while
    the file is read: a few lines of aliases can stand for more values than fit into memory.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.num_values = 0
        self._depth = 0
        self._sizes: dict[int, int] = {}
        """Number of values in each node that is complete, by its id."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 (PyYAML's)
        """Compose one node, and count its values."""
        event, before = self.peek_event(), self.num_values  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise LimitError(None, None, f"more than {MAX_DEPTH} levels inside each other", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self.num_values += 1
            self._sizes[id(node)] = self.num_values - before
        elif id(node) in self._sizes:
            self.num_values += self._sizes[id(node)]
        else:
            raise ComposerError(None, None, f"{event.anchor!r} contains itself", event.start_mark)  # type: ignore[arg-type]
        if self.num_values > MAX_VALUES:
            words = f"more than {MAX_VALUES:,} keys and values (an alias counts as what it stands for)"
            raise LimitError(None, None, words, event.start_mark)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:  # noqa: ANN401 (PyYAML's)
        """Compose a scalar, and check its length."""
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        is_number = node.tag in (_INT, _FLOAT)
        most = MAX_NUMBER if is_number else MAX_TEXT
        if len(node.value) > most:
            words = f"a {'number' if is_number else 'text'} of {len(node.value):,} characters: at most {most:,}"
            raise LimitError(None, None, words, node.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 (PyYAML's)
        """Construct the value of a node; a value that does not fit its tag has a line, as all other errors have."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:  # `!!int ""`, `!!bool 3`
            reason = f" ({error})" if isinstance(error, ValueError) else ""
            words = f"{str(node.value)[:MAX_WORD]!r} is no {node.tag.rpartition(':')[2]}{reason}"
            raise ConstructorError(None, None, words, node.start_mark) from None


def _resolvers(without: tuple[str, ...] = ()) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's resolvers without some tags, then those of the core schema."""
    resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag not in without]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag, (pattern, beginnings) in _SCHEMA.items():
        for first in beginnings:
            resolvers.setdefault(first, []).append((tag, pattern))
    return resolvers


class _Dumper(yaml.SafeDumper):
    """Quotes every text that either YAML 1.1 or YAML 1.2 would read as something else."""

    yaml_implicit_resolvers = _resolvers()


LimitedLoader.yaml_implicit_resolvers = _resolvers(without=_YAML_1_1)


def _construct(loader: LimitedLoader, node: yaml.ScalarNode) -> bool | int | float:
    """Construct a value of the core schema, also where the file gives its tag."""
    text = str(loader.construct_scalar(node))
    if not _SCHEMA[node.tag][0].match(text):
        raise ValueError("not as YAML 1.2 writes it")
    if node.tag == _BOOL:
        return text.lower() == "true"
    if node.tag == _FLOAT:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


for _tag in _SCHEMA:
    LimitedLoader.add_constructor(_tag, _construct)


def load_limited(text: str) -> Any:  # noqa: ANN401 (whatever was written)
    """Return the value of a YAML text.

    Raises:
        yaml.YAMLError: The text is not YAML, or stands for too much.
    """
    if len(text) > MAX_BYTES:
        raise LimitError(problem=f"{len(text):,} characters: at most {MAX_BYTES:,}")
    return yaml.load(text, Loader=LimitedLoader)  # noqa: S506 (a safe loader)


def dump_yaml(value: object) -> str:
    """Return a value as YAML that `load_limited`, and every other reader of YAML, reads as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=118)
