"""The README's table of what a search may say holds every key, every choice and every default."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from search_spaces.schema import SEARCH_SECTIONS, Algorithm, Distribution, Metric, Parameter, SchedulerType

README = Path(__file__).resolve().parents[2] / "README.md"
MODELS: dict[str, type[BaseModel]] = {**SEARCH_SECTIONS, "parameters": Parameter}
CHOICES: dict[str, Any] = {
    "search.algorithm": Algorithm,
    "parameters.distribution": Distribution,
    "scheduler.type": SchedulerType,
    "objective.metric": Metric,
}


def rows() -> dict[str, tuple[str, str]]:
    """`section.key` -> what it may be and its default, as the README has them."""
    table = re.findall(
        r"^\| `(\w+)` \| (`.*?`) \| (.*?) \|(.*?)\|$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {
        f"{section}.{key}": (values, default)
        for section, keys, values, default in table
        for key in re.findall(r"`(\w+)`", keys)
    }


def test_every_key_has_its_place() -> None:
    assert set(rows()) == {f"{section}.{key}" for section, model in MODELS.items() for key in model.model_fields}


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_is_named(key: str) -> None:
    choices, _ = rows()[key]
    assert set(re.findall(r"`(\w+)`", choices)) >= set(get_args(CHOICES[key]))


def test_every_default_is_the_schemas() -> None:
    told = rows()
    for section, model in MODELS.items():
        for key, spec in model.model_fields.items():
            if not spec.is_required() and spec.default is not None:
                assert str(spec.default) in told[f"{section}.{key}"][1].replace("`", ""), f"{section}.{key}"
