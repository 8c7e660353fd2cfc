"""Spaces are loaded by name or path, and wrong ones are refused."""

from pathlib import Path

import pytest

from search_spaces.loader import load_space
from tests.search_spaces_tests.space_samples import load_text
from trainable.errors import UserError


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        load_text(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder / "space.yaml"), "FILE")


def test_a_file_gives_its_content_and_the_sweep_its_name(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "grid: {lr: [0.1]}")
    assert loaded.name == "space"
    assert loaded.space.grid == {"lr": [0.1]}


def test_a_name_in_the_file_goes_before_the_file_name(tmp_path: Path) -> None:
    assert load_text(tmp_path, "name: my-sweep.1\ngrid: {lr: [0.1]}").name == "my-sweep.1"


def test_yml_is_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("grid: {lr: [0.1]}")
    assert load_space(str(tmp_path / "other.yml")).name == "other"


def test_an_unknown_space_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no space 'quickstat': did you mean 'quickstart'\?"):
        load_space("quickstat")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*missing\.yaml"):
        load_space(str(tmp_path / "missing.yaml"))


@pytest.mark.parametrize("text", ["", "- 1\n", "just words\n", "# nothing\n"])
def test_what_is_no_mapping_is_no_space(tmp_path: Path, text: str) -> None:
    assert "a space is a mapping" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\ngrids: {lr: [0.1]}\n", "FILE:2: grids: unknown key 'grids': did you mean 'grid'?"),
        ("grid: {lr: [1]}\nrepeat: 2\n", "FILE:2: repeat: unknown key 'repeat': did you mean 'repeats'?"),
        (
            "grid:\n  lr:\n    vals: [0.1]\n",
            "FILE:3: grid.lr.vals: unknown key 'vals': did you mean 'values'?",
        ),
        ("grid: {lr: []}\n", "FILE:1: grid.lr: is empty: give at least one entry"),
        ("grid: {}\n", "FILE:1: grid: is empty: give at least one entry"),
        ("name: a\nrows: []\n", "FILE:2: rows: is empty: give at least one entry"),
        ("grid:\n  lr: 0.1\n", "FILE:2: grid.lr: must be a list, got 0.1"),
        ("defaults: 3\ngrid: {lr: [1]}\n", "FILE:1: defaults: must be a mapping of keys to values, got 3"),
        (
            "derive:\n  lr: 0.1\ngrid: {seed: [1]}\n",
            "FILE:2: derive.lr: must be an expression, got 0.1: put a fixed value into defaults",
        ),
        (
            "repeats: two\ngrid: {lr: [1]}\n",
            "FILE:1: repeats: must be a whole number or a mapping such as {max: 10}, got 'two'",
        ),
        (
            "repeats: 2.0\ngrid: {lr: [1]}\n",
            "FILE:1: repeats: must be a whole number or a mapping such as {max: 10}, got 2.0",
        ),
        (
            "defaults:\n  lr: {a: 1}\ngrid: {seed: [1]}\n",
            "FILE:2: defaults.lr: must be one value or a list of numbers (grid takes several), got {'a': 1}",
        ),
    ],
)
def test_a_wrong_entry_is_named_with_file_line_and_path(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text) == message


@pytest.mark.parametrize("text", ["name: a\n", "defaults: {lr: 0.1}\nrepeats: 3\n"])
def test_a_space_without_trials(tmp_path: Path, text: str) -> None:
    assert "needs rows or grid" in refusal(tmp_path, text)


@pytest.mark.parametrize("repeats", [0, -1, 1001])
def test_repeats_outside_their_bounds(tmp_path: Path, repeats: int) -> None:
    message = refusal(tmp_path, f"grid: {{lr: [1]}}\nrepeats: {repeats}\n")
    assert message.startswith("FILE:2: repeats:")
    assert message.endswith(f"got {repeats}")


@pytest.mark.parametrize("repeats", [1, 1000])
def test_repeats_at_their_bounds(tmp_path: Path, repeats: int) -> None:
    assert load_text(tmp_path, f"grid: {{lr: [1]}}\nrepeats: {repeats}\n").space.repeats == repeats


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", ".hidden", "..", "-x", "ä", "a b", "x" * 101, "''", '"a\\n"'])
def test_a_name_that_cannot_be_a_folder(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, f"grid: {{lr: [1]}}\nname: {name}\n")
    assert message.startswith("FILE:2: name:")
    assert "is not a valid name" in message


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "x" * 100, "'0'"])
def test_a_name_that_can(tmp_path: Path, name: str) -> None:
    assert load_text(tmp_path, f"grid: {{lr: [1]}}\nname: {name}\n").name == name.strip("'")


def test_unknown_keys_are_reported_before_other_mistakes(tmp_path: Path) -> None:
    assert "unknown key 'repeets'" in refusal(tmp_path, "grid: {lr: 3}\nrepeets: 2\n")
