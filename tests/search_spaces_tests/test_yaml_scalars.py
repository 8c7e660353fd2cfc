"""Numbers and truth values are those of YAML 1.2, in files and in --set, and nothing else is one."""

import math

import pytest

from search_spaces.yaml_source import parse_scalar
from trainable.errors import UserError
from trainable.limited_yaml import dump_yaml, load_limited

YAML_1_2 = {
    "010": 10, "064": 64, "-010": -10, "+12": 12, "0o17": 15, "0x10": 16, "0b11": "0b11", "1:30": "1:30",
    "1_000": "1_000", "0.10": 0.1, ".inf": math.inf, "-.Inf": -math.inf, "1e3": 1000.0, "yes": "yes", "no": "no",
    "on": "on", "Off": "Off", "y": "y", "True": True, "FALSE": False, "2024-01-01": "2024-01-01",
    "2024-13-45": "2024-13-45", "=": "=", "~": None, "!!int 010": 10, "!!float 3": 3.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("3e-4", 0.0003),
        ("1E5", 100_000.0),
        (".5", 0.5),
        ("-1e-3", -0.001),
        ("+2.5e+3", 2500.0),
        ("1.", 1.0),
        ("0.1", 0.1),
    ],
)
def test_floats_are_floats(text: str, value: float) -> None:
    parsed = parse_scalar(text)
    assert isinstance(parsed, float)
    assert parsed == value


@pytest.mark.parametrize("text", ["cosine", "resnet_20", "e3", "1e", "1e5x", "1e-", ".", "1.2.3", "'1e-3'"])
def test_words_stay_words(text: str) -> None:
    assert parse_scalar(text) == text.strip("'")


@pytest.mark.parametrize(("text", "value"), [("128", 128), ("-1", -1), ("true", True), ("false", False)])
def test_whole_numbers_and_truth_values(text: str, value: object) -> None:
    parsed = parse_scalar(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(("text", "value"), YAML_1_2.items())
def test_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    parsed = parse_scalar(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize("value", [*YAML_1_2, *YAML_1_2.values()])
def test_what_we_write_is_read_as_the_same_value(value: object) -> None:
    read = load_limited(dump_yaml([value]))
    assert (read, type(read[0])) == ([value], type(value))


def test_a_list_of_floats() -> None:
    assert parse_scalar("[1e-3, 2, .5]") == [0.001, 2, 0.5]


def test_null() -> None:
    assert parse_scalar("null") is None


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2",
        "*a",
        "%",
        "@",
        "!!python/object/apply:os.getcwd []",
        "!!bool yes",
        "!!int 1_000",
        "9" * 5000,
        "[" * 5000,
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="cannot read the value") as caught:
        parse_scalar(text)
    assert "\n" not in str(caught.value)
