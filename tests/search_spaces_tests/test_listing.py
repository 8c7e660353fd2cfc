"""What `spaces` prints."""

from pathlib import Path

import pytest

from search_spaces.listing import list_spaces, show_space
from search_spaces.loader import load_space, shipped_spaces
from trainable.errors import UserError


def test_a_line_for_every_space_with_its_trials_and_description() -> None:
    lines = list_spaces().splitlines()
    assert [line.split()[0] for line in lines] == shipped_spaces()
    (quickstart,) = [line for line in lines if line.startswith("quickstart ")]
    assert "   9 trials  " in quickstart
    assert quickstart.endswith(load_space("quickstart").space.description)


def show_text(folder: Path, text: str, settings: list[str] | None = None) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(text)
    return show_space(str(path), settings or []).splitlines()


def test_what_is_common_and_what_varies(tmp_path: Path) -> None:
    lines = show_text(tmp_path, "description: of two\ndefaults: {epochs: 7}\ngrid: {batch_size: [8, 128], lr: [0.1]}")
    assert lines[0] == "mine: of two"
    assert "  epochs           7" in lines
    assert "  lr               0.1" in lines
    assert lines[lines.index("2 trials") + 1 :] == ["  batch_size", "           8", "         128"]


def test_no_trial_differs(tmp_path: Path) -> None:
    assert show_text(tmp_path, "rows: [{lr: 0.1}]")[-1] == "1 trial, with the values above"


def test_set_is_obeyed(tmp_path: Path) -> None:
    assert "  epochs           3" in show_text(tmp_path, "rows: [{lr: 0.1}]", ["epochs=3"])


def test_notes_are_printed(tmp_path: Path) -> None:
    last = show_text(tmp_path, "rows: [{lr: 0.1}, {lr: 0.1}]")[-1]
    assert last == "note: 1 of 2 trials left out: same configuration as another trial"


def test_milestones_are_readable(tmp_path: Path) -> None:
    lines = show_text(tmp_path, "defaults: {schedule: multistep, epochs: 10}\ngrid: {milestones: [[5], [2, 4]]}")
    assert lines[-2:] == ["         0.5", "     0.2 0.4"]


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(UserError, match="no space 'nothing'"):
        show_space("nothing", [])


SEARCH = """description: a search
defaults: {epochs: 9}
search: {algorithm: tpe, num_trials: 12, warm_start: published}
parameters:
  base_lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}
  batch_size: {min: 8, max: 64}
  momentum: {values: [0.8, 0.9], when: batch_size > 8}
derive: {lr: base_lr * batch_size / 128}
scheduler: {type: median, min_trials: 4}
objective: {metric: holdout_loss}
confirm: {top: 3, repeats: 2}
"""


def test_a_search_shows_how_it_searches(tmp_path: Path) -> None:
    lines = show_text(tmp_path, SEARCH)
    assert "  epochs           9" in lines
    assert "  holdout          0.1" in lines
    assert lines[lines.index("search: up to 12 trials of 9 epochs, proposed one by one") + 1 :] == [
        "  base_lr          0.01 to 1, log",
        "  batch_size       8 to 64, whole",
        "  momentum         0.8, 0.9; when batch_size > 8",
        "  lr =             base_lr * batch_size / 128",
        "",
        "  algorithm        tpe, seed 0, warm start from published",
        "  scheduler        median, grace_epochs 1, min_trials 4",
        "  objective        minimize holdout_loss",
        "  confirm          the best 3, 2 seeds each, on all training images",
    ]


def test_a_search_that_is_shipped_is_listed_with_its_trials() -> None:
    (line,) = [line for line in list_spaces().splitlines() if line.startswith("lr_batch_mfgp ")]
    assert "  120 trials  " in line
