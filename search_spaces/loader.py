"""From the name of a shipped space, or the path of a YAML file, to a checked `Space`."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from search_spaces.schema import (
    EXAMPLES,
    Algorithm,
    ConfirmSpec,
    Metric,
    ObjectiveSpec,
    Parameter,
    Part,
    ResourceSpec,
    Scale,
    ScaledConfirm,
    ScaledScheduler,
    ScaledSearch,
    SchedulerSpec,
    SchedulerType,
    SearchSpec,
    Space,
    Values,
)
from search_spaces.search_checks import COST, check_search
from search_spaces.yaml_source import KeyPath, YamlSource, parse_yaml
from trainable.errors import UserError
from trainable.sweep_name import SWEEP_NAME_RULE
from trainable.wording import nearest

SHIPPED = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedSpace:
    """A space with the file that it came from."""

    name: str
    space: Space
    source: YamlSource


def shipped_spaces() -> list[str]:
    """Names of the spaces that ship."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_space(name_or_path: str) -> LoadedSpace:
    """Load a shipped space by its name, or any file that ends in .yaml or .yml.

    Raises:
        UserError: no such space or file, no YAML, an unknown key or a wrong value: with file, line and key.
    """
    path = Path(name_or_path)
    if name_or_path in shipped_spaces():
        path = SHIPPED / f"{name_or_path}.yaml"
    elif path.suffix not in (".yaml", ".yml"):
        raise UserError(
            f"no space {name_or_path!r}: {nearest(name_or_path, shipped_spaces())} (or give the path of a .yaml file)"
        )
    source = parse_yaml(path)
    if not isinstance(source.content, dict):
        raise UserError(
            f"{path}:1: a space is a mapping with rows or grid, or search and parameters: this file is not"
        )
    try:
        space = Space.model_validate(source.content)
    except ValidationError as error:
        raise UserError(_one_line(source, error)) from None
    for empty in _empty_keys(source.content):
        raise UserError(f"{source.where(empty)}: {_is_empty(empty)}")
    check_search(space, source)
    return LoadedSpace(space.name or path.stem, space, source)


KIND_MESSAGES = {
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "number_type": "must be a number",
    "bool_type": "must be one value or a list of numbers",
    "scalar_type": "must be one number or word",
}
"""By pydantic's type of the error; where a union fails, its first branch (bool, or int) speaks for all."""
BOUND_MESSAGES = {
    "greater_than_equal": ("must be at least", "ge"),
    "greater_than": ("must be above", "gt"),
    "less_than_equal": ("must be at most", "le"),
    "less_than": ("must be below", "lt"),
}
"""By pydantic's type of the error, with the key of the bound in its context."""
PARAMETERS = "parameters"
PARAMETER_FORMS = "{values: [...]} or {min: ..., max: ...}"
CHOICES: dict[KeyPath, Any] = {("search", "algorithm"): Algorithm, ("scheduler", "type"): SchedulerType}
"""The keys that must be there."""
SETTINGS = ("defaults", "set")
"""Sections in which a key may be given nothing: `train_subset: null` is all images."""
EMPTY_SECTIONS = (("scheduler",), ("objective",), ("confirm",), ("resources",))
"""Sections that say nothing where they hold nothing."""
DEFAULT_METRIC: Metric = "holdout_error_percent"


def _one_line(source: YamlSource, error: ValidationError) -> str:
    """The first problem, unknown keys before others, as `file:line: key.path: message`."""
    problems = error.errors(include_url=False)
    unknown = [one for one in problems if one["type"] == "extra_forbidden"]
    long_form = [one for one in problems if _is_about_long_form(one["loc"]) and one["type"] != "model_type"]
    if not unknown:
        for empty in _empty_keys(source.content):
            return f"{source.where(empty)}: {_is_empty(empty)}"
    problem = [*unknown, *long_form, *problems][0]
    path = _written_path(source, problem["loc"])
    return f"{source.where(path)}: {_of_section(problem, path) or _of_value(problem)}"


def _of_section(problem: ErrorDetails, path: KeyPath) -> str | None:
    """What is wrong with a section or a key; None where it is a value."""
    got = f"got {_shorten(problem['input'])}"
    match problem["type"]:
        case "model_type" | "list_type" if path[0] == "objective":
            is_metric = problem["input"] in get_args(Metric) and problem["input"] != COST
            metric = problem["input"] if is_metric else DEFAULT_METRIC
            return f"must be {{metric: {metric}, goal: minimize}}, {got}"
        case "model_type" if path[0] == PARAMETERS:
            return f"must be {PARAMETER_FORMS}, {got}"
        case "model_type" | "dict_type" if len(path) == 1 and path[0] in EXAMPLES:
            return f"must be a mapping, for example {EXAMPLES[str(path[0])]}, {got}"
        case "missing":
            return f"is missing: one of {', '.join(get_args(CHOICES[path]))}"
        case "extra_forbidden":
            return f"unknown key {path[-1]!r}: {nearest(str(path[-1]), _valid_keys(path))}"
        case "string_type" | "invalid_key" if problem["type"] == "invalid_key" or problem["loc"][-1] == "[key]":
            return f"the key {problem['input']!r} must be a word"
        case "too_short":
            return "is empty: give at least one entry"
        case "too_long":
            return f"has {problem['ctx']['actual_length']} entries: give at most {problem['ctx']['max_length']}"
    return None


def _of_value(problem: ErrorDetails) -> str:
    """What is wrong with the value of a key."""
    got = f"got {_shorten(problem['input'])}"
    match _kind(problem):
        case "literal_error":
            expected = _expected(problem)
            if len(expected) == 1:
                return f"must be {expected[0]}, {got}"
            return f"{problem['input']!r} is unknown: one of {', '.join(expected)}"
        case "string_pattern_mismatch":
            return f"{problem['input']!r} is no name: use {SWEEP_NAME_RULE}"
        case kind if kind in BOUND_MESSAGES:
            words, bound = BOUND_MESSAGES[kind]
            return f"{words} {problem['ctx'][bound]:.7g}, {got}"
        case kind if kind in KIND_MESSAGES:
            return f"{KIND_MESSAGES[kind]}, {got}"
        case "value_error":
            return problem["msg"].removeprefix("Value error, ")
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}, {got}"


def _empty_keys(section: Mapping[Any, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Keys of a file that were given nothing, where that says nothing; in its order."""
    for key, value in section.items():
        here = (*path, key)
        if value is None or (value == {} and here in EMPTY_SECTIONS) or (value == "" and key in EXAMPLES):
            yield here
        elif isinstance(value, dict) and key not in SETTINGS:
            yield from _empty_keys(value, here)
        elif isinstance(value, list) and key in ("parts", "objective"):
            for index, item in enumerate(value):
                if item == {}:
                    yield (*here, index)
                elif isinstance(item, dict):
                    yield from _empty_keys(item, (*here, index))


def _is_empty(path: KeyPath) -> str:
    """What is to be said of a key that was given nothing."""
    if path in CHOICES:
        return f"is empty: one of {', '.join(get_args(CHOICES[path]))}"
    if path[:1] == (PARAMETERS,) and len(path) == 2:
        return f"is empty: must be {PARAMETER_FORMS}"
    if isinstance(path[-1], int):
        return "is empty: leave it out"
    example = EXAMPLES.get(str(path[-1]))
    what = "give it a value" if example is None else f"for example {path[-1]}: {example}"
    return f"is empty: {what}, or leave it out"


def _kind(problem: ErrorDetails) -> str:
    """The type of the error; of a union's the branch that failed first says what would have been right."""
    kind, place = problem["type"], problem["loc"]
    if kind == "int_type" and place[-1] == "int":
        return "number_type"
    if kind == "bool_type" and place[0] == PARAMETERS:
        return "scalar_type"
    return kind


def _expected(problem: ErrorDetails) -> list[str]:
    """The words that would have been right."""
    return re.findall(r"'([^']*)'", problem["ctx"]["expected"])


def _written_path(source: YamlSource, place: tuple[str | int, ...]) -> KeyPath:
    """Pydantic's path without what the file does not have: branches of unions, the list around one objective."""
    path = tuple(part for part in place if not _is_union_tag(part))
    if path[:1] == ("objective",) and not isinstance(source.content["objective"], list):
        return (path[0], *path[2:])
    return path


SECTIONS: dict[str, type[BaseModel]] = {
    "search": SearchSpec,
    "scheduler": SchedulerSpec,
    "objective": ObjectiveSpec,
    "confirm": ConfirmSpec,
}
SCALED_SECTIONS: dict[str, type[BaseModel]] = {
    "search": ScaledSearch,
    "scheduler": ScaledScheduler,
    "confirm": ScaledConfirm,
}


def _valid_keys(path: KeyPath) -> list[str]:
    """What could have stood in place of the last key of the path."""
    model: type[BaseModel] = Values
    match path:
        case [_]:
            model = Space
        case ["parts", _, _]:
            model = Part
        case ["scales", _, _]:
            model = Scale
        case ["scales", _, str() as section, _] if section in SCALED_SECTIONS:
            model = SCALED_SECTIONS[section]
        case ["parameters", _, _]:
            model = Parameter
        case [str() as section, *_] if section in SECTIONS:
            model = SECTIONS[section]
        case ["resources", *_]:
            model = ResourceSpec
    return list(model.model_fields)


def _is_about_long_form(path: KeyPath) -> bool:
    """Of the two forms of an axis pydantic tried the one with `values`, and got further than its type."""
    return any("Values" in str(part) for part in path)


def _is_union_tag(part: str | int) -> bool:
    """Pydantic names the branch of a union inside the path: `list[...]`, `Values`."""
    return isinstance(part, str) and (part in ("Values", "int", "float", "str", "bool") or "[" in part)


def _shorten(value: Any) -> str:  # noqa: ANN401 (whatever the file holds)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
