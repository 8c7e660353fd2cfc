"""The three spellings of a grid's axis."""

from pathlib import Path

import pytest

from search_spaces.schema import Space, Values, axis_values
from tests.search_spaces_tests.space_samples import load_text
from trainable.errors import UserError


def axis(folder: Path, text: str) -> list[object]:
    grid = load_text(folder, f"grid:\n  lr: {text}\n").space.grid
    assert grid is not None
    return list(axis_values(grid["lr"]))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[0.1, 0.2]", [0.1, 0.2]),
        ("{values: [0.1, 0.2]}", [0.1, 0.2]),
        ("{value: 0.1}", [0.1]),
        ("{value: [0.5, 0.75]}", [[0.5, 0.75]]),
        ("[[0.5, 0.75], null, multistep]", [[0.5, 0.75], None, "multistep"]),
    ],
)
def test_forms(tmp_path: Path, text: str, values: list[object]) -> None:
    assert axis(tmp_path, text) == values


def test_the_long_form_and_the_short_one_are_the_same() -> None:
    assert axis_values(Values(values=[1, 2])) == axis_values([1, 2])


@pytest.mark.parametrize("text", ["{values: [1], value: 2}", "{}"])
def test_either_values_or_value(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"space.yaml:2: grid.lr: give either values or value"):
        axis(tmp_path, text)


def test_empty_values(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space.yaml:2: grid.lr.values: is empty"):
        axis(tmp_path, "{values: []}")


def test_whole_numbers_are_not_turned_into_truth_values_or_floats() -> None:
    space = Space.model_validate({"grid": {"batch_size": [1, 2], "nesterov": [True]}})
    assert space.grid is not None
    assert [type(value) for axis in space.grid.values() for value in axis_values(axis)] == [int, int, bool]
