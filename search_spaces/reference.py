"""Refresh docs/space-reference.md, the page about the space file.

The text, the examples and the wrong lines are written in the page itself. The tables are made from the docstrings and
types of the schema and of TrainConfig. The errors beside the wrong lines come from loading a space with such a line.
"""

import dataclasses
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from search_spaces.expansion import expand
from search_spaces.loader import load_space
from search_spaces.resources import ResourceRule
from search_spaces.schema import SEARCH_SECTIONS, SECTIONS, Parameter, Part, Scale, Space, Values
from search_spaces.search_checks import NO_PARAMETERS
from trainable.config import FIELD_NAMES, SETTABLE_FIELDS, TrainConfig, field_kind
from trainable.errors import UserError
from trainable.reference_pages import field_docstrings, markdown_table, refreshed
from trainable.sweep_name import SWEEP_NAME_RULE

FILE_NAME = "my.yaml"
MODELS: dict[str, type[BaseModel]] = {
    "space": Space,
    "grid": Values,
    "parts": Part,
    "scales": Scale,
    **SECTIONS,
    "parameters": Parameter,
}
"""Name in the page -> the model whose keys are described there."""
WRONG_LINE = re.compile(r"^\| `(\w+)(: .*)` \| `.*` \|$", re.MULTILINE)
"""A row with a wrong line, split after its key, and the error."""

FIELDS_SPACE = {"rows": "rows: [{}]"}
PLAIN_SPACE = {"rows": "rows: [{base_lr: 0.1}]", "derive": "derive: {lr: base_lr}"}
SEARCH_SPACE = {
    "search": "search: {algorithm: tpe, num_trials: 20}",
    "parameters": "parameters: {lr: {min: 0.01, max: 1.0}}",
}
"""Valid spaces, a line for each top-level key. A wrong line replaces the one with its key."""
SPACES = {"defaults": FIELDS_SPACE, **dict.fromkeys(["parameters", "first", *SEARCH_SECTIONS], SEARCH_SPACE)}
"""Key of a wrong line -> the space that it is put into; PLAIN_SPACE for other keys."""

PLAIN_WORDS = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text"}
KIND_WORDS = {
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "str": "word",
    "tuple[float, ...]": "list of numbers",
}
"""Types of training fields in words."""
BOUND_WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
"""Keys of JSON schema in words."""


def refresh(page: str) -> str:
    """Return the page with its tables and errors as the code gives them now."""
    made = {name: _keys(model) for name, model in MODELS.items()}
    meanings = field_docstrings(TrainConfig)
    defaults = {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}
    made["fields"] = markdown_table(
        ("field", "type", "default", "meaning"),
        [
            (f"`{name}`", KIND_WORDS[str(field_kind(name))], _default(defaults[name]), meanings[name])
            for name in SETTABLE_FIELDS
        ],
    )
    automatic = [(f"`{name}`", meanings[name]) for name in FIELD_NAMES if name not in SETTABLE_FIELDS]
    made["automatic_fields"] = markdown_table(("field", "meaning"), automatic)
    refused = [(f"`{name}`", reason) for name, reason in NO_PARAMETERS.items()]
    made["no_parameters"] = markdown_table(("field", "reason"), refused)
    return WRONG_LINE.sub(
        lambda found: f"| `{found[1]}{found[2]}` | `{_error(found[1], found[2])}` |", refreshed(page, made)
    )


def message_of(text: str) -> str:
    """The error of a wrong space, or an empty text if the space is valid. The file is called my.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        path.write_text(text, encoding="utf-8")
        try:
            loaded = load_space(str(path))
            for trial in expand(loaded, {}).trials:
                ResourceRule(loaded).share(trial, default_gpus=1.0)
        except UserError as error:
            return str(error).replace(str(path), FILE_NAME)
    return ""


def _error(key: str, value: str) -> str:
    """The error of a valid space with one wrong line, which comes first."""
    valid = {**SPACES.get(key, PLAIN_SPACE)}
    valid.pop(key, None)
    return message_of("\n".join([f"{key}{value}", *valid.values(), ""])).replace("|", r"\|")


def _keys(model: type[BaseModel]) -> str:
    """The docstring of a model, and the table of its keys."""
    meanings = field_docstrings(model)
    properties: Mapping[str, Any] = model.model_json_schema()["properties"]
    rows = []
    for key, spec in model.model_fields.items():
        value = spec.get_default()
        default = "required" if value is PydanticUndefined else _default(value)
        rows.append((f"`{key}`", _type_words(properties[key]), default, meanings[key]))
    introduction = " ".join(str(model.__doc__).split())
    return f"{introduction}\n\n{markdown_table(('key', 'type', 'default', 'meaning'), rows)}"


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value in (None, "", {}, []) else f"`{value}`"


def _type_words(schema: Mapping[str, Any], plural: str = "") -> str:
    """A JSON schema in words, or in the plural if `plural` is "s"."""
    branches = [branch for branch in (schema.get("anyOf") or schema.get("oneOf", ())) if branch.get("type") != "null"]
    kinds = [branch.get("type") for branch in branches]
    if {*kinds} >= {*PLAIN_WORDS}:
        return f"value{plural}" if "array" in kinds else f"number{plural}, word{plural}, true or false"
    if branches:
        branches = [branch for branch in branches if branch.get("type") != "integer" or "number" not in kinds]
        return " or ".join(_type_words(branch, plural) for branch in branches)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{choice}`" for choice in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list{plural} of {_type_words(schema['items'], 's')}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping{plural} of keys to {_type_words(schema['additionalProperties'], 's')}"
    if "pattern" in schema:
        return f"name ({SWEEP_NAME_RULE})"
    if "$ref" in schema or schema.get("type") == "object":
        return f"mapping{plural}"
    bounds = [f", {words} {schema[key]}" for key, words in BOUND_WORDS.items() if key in schema]
    return f"{PLAIN_WORDS[schema['type']]}{plural}{''.join(bounds)}"
