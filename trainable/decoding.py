"""Check JSON values against the annotations of a dataclass, and make an object of it. Standard library only.

A file of the store may hold anything: whoever reads a record gets what its annotations promise, or a ValueError.
"""

import contextlib
import dataclasses
import enum
import functools
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from trainable.errors import UserError

Record = TypeVar("Record")
Check = Callable[[Any], Any]
"""Returns the value as it is annotated, or raises a ValueError."""


@dataclass(frozen=True, slots=True)
class Within:
    """The smallest and the largest value that an annotation allows."""

    least: float
    most: float


ANY_NUMBER = Within(-sys.float_info.max, sys.float_info.max)
"""Every finite number."""


@dataclass(frozen=True, slots=True)
class Parses:
    """A text that this function accepts; it raises a ValueError for others."""

    parse: Callable[[str], object]


Count = Annotated[int, Within(0, 2**63 - 1)]
Ordinal = Annotated[int, Within(1, 2**63 - 1)]
"""A number that is counted from 1."""
Percent = Annotated[float, Within(0, 100)]
Seconds = Annotated[float, Within(0, 1e12)]
Rate = Annotated[float, Within(0, 1e15)]
"""Something per second."""
NotNegative = Annotated[float, Within(0, sys.float_info.max)]
Timestamp = Annotated[str, Parses(datetime.fromisoformat)]
"""A time in ISO 8601."""
HexDigits = Annotated[str, Parses(bytes.fromhex)]


def decode(kind: type[Record], values: object) -> Record:
    """Return the object with these fields, which JSON gave.

    Args:
        kind: a dataclass, or a TypedDict.

    Raises:
        ValueError: a field is missing, unknown, of another type or outside its range.
    """
    check: Check = _check_of(typing.cast(Any, kind))
    made: Record = check(values)
    return made


def range_of(kind: object) -> Within | None:
    """Return the range of a number with this annotation; None if it is no number."""
    parts = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    for part in parts:
        if typing.get_origin(part) is Annotated and isinstance(part.__metadata__[0], Within):
            return part.__metadata__[0]
        if part in (int, float):
            return ANY_NUMBER
    return None


@functools.cache
def _check_of(kind: Any) -> Check:  # noqa: ANN401 (an annotation)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin is Annotated:
        rule = kind.__metadata__[0]
        return _number(arguments[0], rule) if isinstance(rule, Within) else _text(rule)
    if origin in (typing.Union, types.UnionType):
        return _any_of(arguments)
    if origin is typing.NotRequired:
        return _check_of(arguments[0])
    if origin is typing.Literal:
        return _one_of(arguments)
    if origin is tuple:
        return _sequence(_check_of(arguments[0]), tuple)
    if origin is list:
        return _sequence(_check_of(arguments[0]), list)
    if origin in (dict, Mapping):
        return _mapping(_check_of(arguments[1]))
    if typing.is_typeddict(kind):
        return _fields(kind, dict, kind.__annotations__, kind.__required_keys__)
    if hasattr(kind, "from_dict"):
        return _constructed(kind.from_dict)
    if dataclasses.is_dataclass(kind):
        specs = dataclasses.fields(kind)
        required = {spec.name for spec in specs if spec.default is spec.default_factory is dataclasses.MISSING}
        return _fields(kind, typing.cast(Any, kind), [spec.name for spec in specs], required)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind
    return _number(kind, ANY_NUMBER) if kind in (int, float) else _instance(kind)


def _number(kind: type, rule: Within) -> Check:
    """Accept numbers of this type in a range; a whole number is a float, too, but a bool is no number."""
    allowed, least, most = (kind, int), rule.least, rule.most

    def check(value: Any) -> Any:  # noqa: ANN401
        if type(value) not in allowed:
            raise ValueError(f"{_brief(value)} is no {'whole number' if kind is int else 'number'}")
        if not least <= value <= most:
            raise ValueError(f"{_brief(value)} is out of range")
        return value

    return check


def _instance(kind: type) -> Check:
    def check(value: Any) -> Any:  # noqa: ANN401
        if type(value) is not kind:
            raise ValueError(f"{_brief(value)} is no {getattr(kind, '__name__', kind)}")
        return value

    return check


def _text(rule: Parses) -> Check:
    def check(value: Any) -> Any:  # noqa: ANN401
        if type(value) is not str:
            raise ValueError(f"{_brief(value)} is no text")
        rule.parse(value)
        return value

    return check


def _any_of(kinds: tuple[Any, ...]) -> Check:
    *others, last = (_check_of(kind) for kind in kinds if kind is not types.NoneType)
    is_optional = types.NoneType in kinds

    def check(value: Any) -> Any:  # noqa: ANN401
        if value is None and is_optional:
            return None
        for other in others:
            with contextlib.suppress(ValueError):
                return other(value)
        return last(value)

    return check


def _one_of(allowed: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:  # noqa: ANN401
        if value not in allowed:
            raise ValueError(f"{_brief(value)} is none of {', '.join(map(str, allowed))}")
        return value

    return check


def _sequence(item: Check, make: Callable[[list[Any]], Any]) -> Check:
    def check(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            raise ValueError(f"{_brief(value)} is no list")
        return make([item(part) for part in value])

    return check


def _mapping(item: Check) -> Check:
    def check(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise ValueError(f"{_brief(value)} is no object")
        return {key: item(part) for key, part in value.items()}

    return check


def _constructed(make: Callable[[Any], Any]) -> Check:
    """Make an object whose class checks its own fields."""

    def check(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise ValueError(f"{_brief(value)} is no object")
        try:
            return make(value)
        except UserError as error:
            raise ValueError(str(error)) from None

    return check


def _fields(kind: Any, make: Callable[..., Any], names: Iterable[str], required: Set[str]) -> Check:  # noqa: ANN401
    hints = typing.get_type_hints(kind, include_extras=True)
    checks = {name: _check_of(hints[name]) for name in names}

    def check(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise ValueError(f"{_brief(value)} is no object")
        made = {}
        for name, part in value.items():
            if name not in checks:
                raise ValueError(f"unknown key {_brief(name)}")
            try:
                made[name] = checks[name](part)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if len(made) < len(checks) and not made.keys() >= required:
            raise ValueError(f"{min(required - made.keys())} is missing")
        return make(**made)

    return check


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
