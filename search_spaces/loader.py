"""From the name of a shipped space, or the path of a YAML file, to a checked `Space`."""

import dataclasses
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from search_spaces.schema import (
    Algorithm,
    ConfirmSpec,
    ObjectiveSpec,
    Parameter,
    Part,
    Scale,
    ScaledConfirm,
    ScaledScheduler,
    ScaledSearch,
    SchedulerSpec,
    SearchSpec,
    Space,
    Values,
)
from search_spaces.search_checks import check_search
from search_spaces.yaml_source import KeyPath, YamlSource, parse_yaml
from trainable.errors import UserError, nearest

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
        raise UserError(f"{path}: a space is a mapping with rows or grid, this file is not")
    try:
        space = Space.model_validate(source.content)
    except ValidationError as error:
        raise UserError(_one_line(source, error)) from None
    check_search(space, source)
    return LoadedSpace(space.name or path.stem, space, source)


KIND_MESSAGES = {
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "number_type": "must be a number",
    "bool_type": "must be one value or a list of numbers",
    "scalar_type": "must be one number or word",
}
"""By pydantic's type of the error; where a union fails, its first branch (bool, or int) speaks for all."""
PARAMETERS = "parameters"
PARAMETER_FORMS = "{values: [...]} or {min: ..., max: ...}"


def _one_line(source: YamlSource, error: ValidationError) -> str:
    """The first problem, unknown keys before others, as `file:line: key.path: message`."""
    problems = error.errors(include_url=False)
    unknown = [one for one in problems if one["type"] == "extra_forbidden"]
    long_form = [one for one in problems if _is_about_long_form(one["loc"]) and one["type"] != "model_type"]
    problem = [*unknown, *long_form, *problems][0]
    path = _written_path(source, problem["loc"])
    match _kind(problem):
        case "model_type" if path[0] == PARAMETERS:
            message = f"must be {PARAMETER_FORMS}, got {_shorten(problem['input'])}"
        case "missing":
            message = f"is missing: one of {', '.join(get_args(Algorithm))}"
        case "literal_error":
            message = f"{problem['input']!r} is unknown: one of {', '.join(_expected(problem))}"
        case "extra_forbidden":
            message = f"unknown key {path[-1]!r}: {nearest(str(path[-1]), _valid_keys(path))}"
        case "too_short":
            message = "is empty: give at least one entry"
        case "string_pattern_mismatch":
            message = f"{problem['input']!r} is no name: at most 100 letters, digits, '.', '_' or '-'"
        case kind if kind in KIND_MESSAGES:
            message = f"{KIND_MESSAGES[kind]}, got {_shorten(problem['input'])}"
        case "value_error":
            message = problem["msg"].removeprefix("Value error, ")
        case _:
            message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {_shorten(problem['input'])}"
    return f"{source.where(path)}: {message}"


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
