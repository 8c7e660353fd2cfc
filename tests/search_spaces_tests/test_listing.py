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
    assert show_text(tmp_path, "rows: [{lr: 0.1}]")[-1] == "1 trials, all as above"


def test_set_is_obeyed(tmp_path: Path) -> None:
    assert "  epochs           3" in show_text(tmp_path, "rows: [{lr: 0.1}]", ["epochs=3"])


def test_notes_are_told(tmp_path: Path) -> None:
    last = show_text(tmp_path, "rows: [{lr: 0.1}, {lr: 0.1}]")[-1]
    assert last == "note: 1 of 2 trials are duplicates of others and are trained once"


def test_milestones_are_readable(tmp_path: Path) -> None:
    lines = show_text(tmp_path, "defaults: {schedule: multistep, epochs: 10}\ngrid: {milestones: [[5], [2, 4]]}")
    assert lines[-2:] == ["         0.5", "     0.2 0.4"]


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(UserError, match="no space 'nothing'"):
        show_space("nothing", [])
