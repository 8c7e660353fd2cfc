"""docs/space-reference.md is made from the code, is complete, and its examples work."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from search_spaces.expansion import expand
from search_spaces.expressions import FUNCTIONS, MAX_EXPONENT, MAX_LENGTH, Expression
from search_spaces.proposals import DEFAULT_HOLDOUT
from search_spaces.reference import MODELS, message_of, refresh
from search_spaces.schema import Algorithm, Distribution, Metric, SchedulerType
from search_spaces.search_checks import SAME_IN_POPULATION
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import FIELD_NAMES, SETTABLE_FIELDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "space-reference.md"
TEXT = PAGE.read_text(encoding="utf-8")
CHOICES: dict[str, Any] = {
    "algorithm": Algorithm,
    "distribution": Distribution,
    "type": SchedulerType,
    "metric": Metric,
}
EXPRESSIONS = re.findall(r"^- `(.+)`$", TEXT.partition("\nExamples:\n")[2], re.MULTILINE)


def chapter(table: str) -> str:
    """The part of the page from this table to the next one or the end of its section."""
    return re.split(r"<!-- made: |\n## ", TEXT.partition(f"<!-- made: {table} -->")[2])[0]


def rows() -> list[tuple[str, str, str]]:
    """Key, type and default of every row of the tables of keys."""
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| .+ \|$", TEXT, re.MULTILINE)


def test_the_page_is_what_the_code_makes() -> None:
    assert refresh(TEXT) == TEXT, "run `python docs/generate.py`"


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


@pytest.mark.parametrize("table", MODELS)
def test_every_key_has_a_wrong_value_with_its_error(table: str) -> None:
    wrong = re.findall(r"^\| `.+` \| `my.yaml:\d+: .+` \|$", chapter(table), re.MULTILINE)
    assert len(wrong) == len(MODELS[table].model_fields)


def test_every_field_has_a_wrong_value_with_its_error() -> None:
    wrong = re.findall(r"^\| `defaults: .*` \| `my.yaml:1: defaults\.(\w+): .+` \|$", chapter("fields"), re.MULTILINE)
    assert tuple(wrong) == tuple(SETTABLE_FIELDS)


@pytest.mark.parametrize(
    "fact",
    [
        f"the exponent is at most {MAX_EXPONENT} in size",
        f"at most {MAX_LENGTH} characters",
        f"`holdout` is {DEFAULT_HOLDOUT:g} by default",
        ", ".join(f"`{name}(...)`" for name in FUNCTIONS),
        f"The fields {', '.join(f'`{name}`' for name in SAME_IN_POPULATION)} must be equal",
    ],
)
def test_what_the_text_says_is_what_the_code_does(fact: str) -> None:
    assert fact in TEXT


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
    assert len(EXPRESSIONS) == 5
    values: dict[str, float | str] = {"base_lr": 0.1, "batch_size": 64, "epochs": 200, "schedule": "cosine"}
    assert Expression(text).compute(values) > 0
