"""One-line messages for what pydantic finds wrong with a space file."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from search_spaces.repeats import ADAPTIVE, FIXED
from search_spaces.schema import (
    EXAMPLES,
    SECTIONS,
    Algorithm,
    Metric,
    Parameter,
    Part,
    Scale,
    ScaledConfirm,
    ScaledScheduler,
    ScaledSearch,
    SchedulerType,
    Space,
    Values,
)
from search_spaces.search_checks import COST
from search_spaces.translations import TRANSLATIONS, misplaced
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.sweep_name import SWEEP_NAME_RULE
from trainable.wording import format_value, nearest, quoted

KIND_MESSAGES = {
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "number_type": "must be a number",
    "bool_type": "must be one value or a list of numbers (grid takes several)",
    "scalar_type": "must be one number or word",
    "repeats_type": "must be a whole number or a mapping such as {max: 10}",
    "finite_number": "must be a finite number",
}
"""Messages by pydantic's type of error. In a union, the error of the first branch (bool, or int) stands for all."""
BOUND_MESSAGES = {
    "greater_than_equal": ("must be at least", "ge"),
    "greater_than": ("must be above", "gt"),
    "less_than_equal": ("must be at most", "le"),
    "less_than": ("must be below", "lt"),
}
"""Messages by pydantic's type of error, and the key of the bound in the error's context."""
UNION_TAGS = ("Values", "int", "float", "str", "bool", FIXED, ADAPTIVE)
PARAMETERS = "parameters"
PARAMETER_FORMS = "{values: [...]} or {min: ..., max: ...}"
CHOICES: dict[KeyPath, Any] = {("search", "algorithm"): Algorithm, ("scheduler", "type"): SchedulerType}
"""The required keys."""
SETTINGS = ("defaults", "set")
"""Sections in which a key may be null: `train_subset: null` means all images."""
EMPTY_SECTIONS = (("scheduler",), ("objective",), ("confirm",), ("resources",))
"""Sections that must not be an empty mapping."""
DEFAULT_METRIC: Metric = "holdout_error_percent"
SCALED_SECTIONS: dict[str, type[BaseModel]] = {
    "search": ScaledSearch,
    "scheduler": ScaledScheduler,
    "confirm": ScaledConfirm,
}


def validation_message(source: YamlSource, error: ValidationError) -> str:
    """The first problem as `file:line: key.path: message`. Unknown keys come before other problems."""
    problems = error.errors(include_url=False)
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    long_form = [
        problem for problem in problems if _is_about_long_form(problem["loc"]) and problem["type"] != "model_type"
    ]
    if not unknown:
        for empty in empty_keys(source.content):
            return f"{source.where(empty)}: {empty_key_message(empty)}"
    problem = [*unknown, *long_form, *problems][0]
    path = _written_path(source, problem["loc"])
    return f"{source.where(path)}: {_key_message(problem, path) or _value_message(problem)}"


def empty_keys(section: Mapping[Any, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Keys without a value that need one, in the order of the file. A point of `first` may hold null."""
    for key, value in section.items():
        here = (*path, key)
        is_null = value is None and path[:1] != ("first",)
        if is_null or (value == {} and here in EMPTY_SECTIONS) or (value == "" and key in EXAMPLES):
            yield here
        elif isinstance(value, dict) and key not in SETTINGS:
            yield from empty_keys(value, here)
        elif isinstance(value, list) and key in ("parts", "objective", "first"):
            for index, item in enumerate(value):
                if item == {}:
                    yield (*here, index)
                elif isinstance(item, dict):
                    yield from empty_keys(item, (*here, index))


def empty_key_message(path: KeyPath) -> str:
    """The message for a key without a value."""
    if path in CHOICES:
        return f"is empty: one of {', '.join(get_args(CHOICES[path]))}"
    if path[:1] == (PARAMETERS,) and len(path) == 2:
        return f"is empty: must be {PARAMETER_FORMS}"
    if isinstance(path[-1], int):
        return "is empty: leave it out"
    example = EXAMPLES.get(str(path[-1]))
    what = "give it a value" if example is None else f"for example {path[-1]}: {example}"
    return f"is empty: {what}, or leave it out"


def _key_message(problem: ErrorDetails, path: KeyPath) -> str | None:
    """The message if a section or a key is wrong, or None if it is a value."""
    got = f"got {quoted(problem['input'])}"
    if hint := misplaced(path, is_unknown=problem["type"] == "extra_forbidden"):
        return hint
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
            return f"unknown key {path[-1]!r}: {nearest(str(path[-1]), _valid_keys(path), TRANSLATIONS)}"
        case "string_type" if path[-2:-1] == ("derive",):
            section = "set" if path[0] == "scales" else "defaults"
            return f"must be an expression, {got}: put a fixed value into {section}"
        case "string_type" | "invalid_key" if problem["type"] == "invalid_key" or problem["loc"][-1] == "[key]":
            return f"the key {quoted(problem['input'])} must be a word"
        case "too_short":
            return "is empty: give at least one entry"
        case "too_long":
            count = problem["ctx"]["actual_length"] or "too many"
            return f"has {count} entries: give at most {problem['ctx']['max_length']}"
    return None


def _value_message(problem: ErrorDetails) -> str:
    """The message for a wrong value."""
    got = f"got {quoted(problem['input'])}"
    match _kind(problem):
        case "literal_error":
            expected = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
            if len(expected) == 1:
                return f"must be {expected[0]}, {got}"
            word = problem["input"]
            hint = nearest(word, expected, TRANSLATIONS) if isinstance(word, str) else f"valid: {', '.join(expected)}"
            return f"{quoted(word)} is unknown: {hint}"
        case "string_pattern_mismatch":
            return f"{quoted(problem['input'])} is not a valid name: use {SWEEP_NAME_RULE}"
        case kind if kind in BOUND_MESSAGES:
            words, bound = BOUND_MESSAGES[kind]
            return f"{words} {format_value(problem['ctx'][bound], digits=None)}, {got}"
        case kind if kind in KIND_MESSAGES:
            return f"{KIND_MESSAGES[kind]}, {got}"
        case "value_error":
            return problem["msg"].removeprefix("Value error, ")
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}, {got}"


def _kind(problem: ErrorDetails) -> str:
    """The type of error. In a union, the branch that failed first decides what is expected."""
    kind, path = problem["type"], problem["loc"]
    if kind == "int_type" and path[-1] == "int":
        return "number_type"
    if kind == "int_type" and path[0] == "repeats" and len(path) == 2:
        return "repeats_type"
    if kind == "bool_type" and path[0] in (PARAMETERS, "first"):
        return "scalar_type"
    return kind


def _written_path(source: YamlSource, pydantic_path: tuple[str | int, ...]) -> KeyPath:
    """Pydantic's path without what the file lacks: branches of unions, and the list around a single objective."""
    path = tuple(part for part in pydantic_path if not _is_union_tag(part))
    if path[:1] == ("objective",) and not isinstance(source.content["objective"], list):
        return (path[0], *path[2:])
    return path


def _valid_keys(path: KeyPath) -> list[str]:
    """Keys that could stand in place of the last key of the path."""
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
    """Whether pydantic read an axis of a grid as a mapping with `values`."""
    return any("Values" in str(part) for part in path)


def _is_union_tag(part: str | int) -> bool:
    """Whether a part of pydantic's path names the branch of a union: `list[...]`, `Values`."""
    return isinstance(part, str) and (
        part in ("Values", "int", "float", "str", "bool", FIXED, ADAPTIVE) or "[" in part
    )
