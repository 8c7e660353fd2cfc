"""`repeats` trains a configuration with several seeds."""

from pathlib import Path

import pytest

from search_spaces import expansion
from tests.search_spaces_tests.space_samples import expand_text
from trainable.errors import UserError


def seeds_of(folder: Path, text: str, overrides: dict[str, object] | None = None) -> list[tuple[float, int, int]]:
    trials = expand_text(folder, text, overrides).trials
    return [(trial.config.lr, trial.config.seed, trial.repeat) for trial in trials]


def test_one_seed_after_the_other(tmp_path: Path) -> None:
    assert seeds_of(tmp_path, "grid: {lr: [1, 2]}\nrepeats: 3") == [
        (1, 0, 0),
        (1, 1, 1),
        (1, 2, 2),
        (2, 0, 0),
        (2, 1, 1),
        (2, 2, 2),
    ]


def test_from_the_seed_that_is_given(tmp_path: Path) -> None:
    assert seeds_of(tmp_path, "defaults: {seed: 40}\nrows: [{lr: 1}]\nrepeats: 2") == [(1, 40, 0), (1, 41, 1)]


def test_from_the_seed_that_is_set(tmp_path: Path) -> None:
    assert seeds_of(tmp_path, "rows: [{lr: 1}]\nrepeats: 2", {"seed": 7}) == [(1, 7, 0), (1, 8, 1)]


def test_no_repeats_is_one(tmp_path: Path) -> None:
    assert seeds_of(tmp_path, "rows: [{lr: 1}]") == [(1, 0, 0)]


def test_a_space_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MAX_TRIALS", 5)
    assert len(seeds_of(tmp_path, "rows: [{lr: 1}]\nrepeats: 5")) == 5
    with pytest.raises(UserError, match=r"space.yaml:1: grid: 6 trials: at most 5 are possible"):
        seeds_of(tmp_path, "grid: {lr: [1, 2, 3]}\nrepeats: 2")
