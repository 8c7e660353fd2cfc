"""docs/space-reference.md is made from the code, is complete, and its examples work."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from search_spaces.expansion import expand
from search_spaces.expressions import Expression
from search_spaces.reference import MODELS, markdown, message_of
from search_spaces.reference_examples import EXPRESSIONS
from search_spaces.schema import Algorithm, Distribution, Metric, SchedulerType
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import FIELD_NAMES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "space-reference.md"
TEXT = PAGE.read_text(encoding="utf-8")
CHOICES: dict[str, Any] = {
    "algorithm": Algorithm,
    "distribution": Distribution,
    "type": SchedulerType,
    "metric": Metric,
}


def rows() -> list[tuple[str, str, str]]:
    """Key, type and default of every row of the tables of keys."""
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| .+ \|$", TEXT, re.MULTILINE)


def test_the_page_is_what_the_code_makes() -> None:
    assert markdown() == TEXT, "run `python docs/generate.py`"


@pytest.mark.parametrize("section", MODELS)
def test_every_key_of_the_schema_has_a_row_with_its_default(section: str) -> None:
    defaults = {(key, default.strip("`")) for key, _, default in rows()}
    for key, spec in MODELS[section].model_fields.items():
        is_none = spec.default in (None, "", {}, [])
        default = "required" if spec.is_required() else "" if is_none else str(spec.default)
        assert (key, default) in defaults, f"{section}.{key}"


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_every_training_field_has_a_row(field: str) -> None:
    assert f"\n| `{field}` |" in TEXT.partition("## Training fields")[2]


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_is_named(key: str) -> None:
    (choices,) = [set(re.findall(r"`(\w+)`", kind)) for name, kind, _ in rows() if name == key]
    assert choices == set(get_args(CHOICES[key]))


def test_every_row_has_a_meaning() -> None:
    assert not re.search(r"\| +\|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
def test_every_example_is_a_space(tmp_path: Path, text: str) -> None:
    assert message_of(text) == ""
    loaded = load_text(tmp_path, text)
    assert expand(loaded, {}).trials or loaded.space.search


def test_the_first_example_has_the_trials_that_it_says(tmp_path: Path) -> None:
    text = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[0]
    assert len(expand(load_text(tmp_path, text), {}).trials) == 30


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_every_example_of_an_expression_can_be_computed(text: str) -> None:
    values: dict[str, float | str] = {"base_lr": 0.1, "batch_size": 64, "epochs": 200, "schedule": "cosine"}
    assert Expression(text).compute(values) > 0
