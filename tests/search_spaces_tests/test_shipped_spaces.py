"""Every space that ships can be run as it is, and says what that costs."""

import pytest

from search_spaces.expansion import dataset_name, expand
from search_spaces.loader import SHIPPED, load_space, shipped_spaces

SPACES = shipped_spaces()


def test_the_first_space_of_the_readme_ships() -> None:
    assert "quickstart" in SPACES


@pytest.mark.parametrize("name", SPACES)
def test_loads_and_expands_to_one_data_set(name: str) -> None:
    expansion = expand(load_space(name), {})
    trials = expansion.trials if expansion.search is None else expansion.search.corners
    assert trials
    assert expansion.notes == []
    assert dataset_name(trials)


@pytest.mark.parametrize("name", SPACES)
def test_is_called_like_its_file_and_described(name: str) -> None:
    loaded = load_space(name)
    assert loaded.name == name
    assert loaded.space.description
    assert "\n" not in loaded.space.description


@pytest.mark.parametrize("name", SPACES)
def test_opens_with_command_cost_and_outcome(name: str) -> None:
    lines = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert lines[: len(header)] == header
    assert f"tune_main.py run {name}" in header[0]
    for start in ("# Run:", "# Costs:", "# Outcome:"):
        assert sum(line.startswith(start) and len(line) > len(start) + 5 for line in header) == 1, start
