"""Mistakes in `scales:`, `parts:` and `reference:`, and with `--scale`: one line with file, line and key."""

from pathlib import Path

import pytest

import tune_main
from tests.search_spaces_tests.space_samples import load_text, refusal

ROWS = "rows: [{lr: 1, batch_size: 8}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scales:\n  smoke:\n    sets: {epochs: 1}\n",
            "FILE:4: scales.smoke.sets: unknown key 'sets': did you mean 'set'?",
        ),
        (
            "scales:\n  smoke: {}\n",
            "FILE:3: scales.smoke: a scale needs set or derive: without them it changes nothing",
        ),
        ("scales:\n  smoke: 3\n", "FILE:3: scales.smoke: "),
        ("scales: 3\n", "FILE:2: scales: must be a mapping of keys to values, got 3"),
        ("scales:\n  'a b': {set: {epochs: 1}}\n", "'a b' is not a valid name"),
        (
            "scales:\n  smoke:\n    set: {epoch: 1}\n",
            "FILE:4: scales.smoke.set.epoch: unknown key 'epoch': did you mean 'epochs'?",
        ),
        (
            "scales:\n  smoke:\n    derive:\n      epoch: '1'\n",
            "FILE:5: scales.smoke.derive.epoch: unknown key 'epoch': did you mean 'epochs'?",
        ),
        (
            "scales: {smoke: {set: {recipe_version: 2}}}\n",
            "'recipe_version' is computed by the program and cannot be set",
        ),
        (
            "scales:\n  smoke:\n    derive:\n      epochs: epochs /\n",
            "FILE:5: scales.smoke.derive.epochs: cannot read the expression 'epochs /'",
        ),
        (
            "scales:\n  smoke:\n    derive: {epochs: ma(1)}\n",
            "FILE:4: scales.smoke.derive.epochs: no function 'ma' in 'ma(1)': did you mean 'max'?",
        ),
        (
            "scales:\n  smoke:\n    derive: {epochs: epoch / 2}\n",
            "FILE:4: scales.smoke.derive.epochs: unknown name 'epoch' in 'epoch / 2': did you mean 'epochs'?",
        ),
        (
            "scales:\n  smoke:\n    derive: {epochs: 1}\n",
            "FILE:4: scales.smoke.derive.epochs: must be an expression, got 1: put a fixed value into set",
        ),
        (
            "scales:\n  smoke: {set: {lr: 1}, derive: {lr: lr}}\n",
            "FILE:3: scales.smoke: 'lr' is derived too: give it in set or in derive, not in both",
        ),
        (
            "parts:\n  - defualts: {lr: 1}\n",
            "FILE:3: parts[0].defualts: unknown key 'defualts': did you mean 'defaults'?",
        ),
        ("parts:\n  - defaults: {lr: 1}\n", "FILE:3: parts[0]: a part needs rows or grid"),
        ("parts: []\n", "FILE:2: parts: is empty: give at least one entry"),
        (
            "parts:\n  - rows: [{lr: 1}]\n    defaults: {lrr: 1}\n",
            "FILE:4: parts[0].defaults.lrr: unknown key 'lrr': did you mean 'lr'?",
        ),
        (
            "parts:\n  - rows: [{epochs: 1}]\n    defaults:\n      lr: -1\n",
            "FILE:5: parts[0].defaults.lr: lr must be greater than 0, got -1",
        ),
        ("parts:\n  - rows: [{lr: -1}]\n", "FILE:3: parts[0].rows[0].lr: lr must be greater than 0, got -1"),
        ("parts:\n  - grid:\n      lr: [-1]\n", "FILE:4: parts[0].grid.lr: lr must be greater than 0, got -1"),
        ("parts:\n  - grid:\n      lr: {vals: [1]}\n", "unknown key 'vals': did you mean 'values'?"),
        ("reference: main\n", "FILE:2: reference: must be a list, got 'main'"),
        ("scale: {smoke: {set: {epochs: 1}}}\n", "FILE:2: scale: unknown key 'scale': did you mean 'scales'?"),
    ],
)
def test_a_wrong_section_is_refused_even_where_no_scale_is_asked_for(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, ROWS + text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scales:\n  smoke:\n    set: {lr: -1}\n",
            "FILE:4: scales.smoke.set.lr: lr must be greater than 0, got -1",
        ),
        (
            "scales:\n  smoke:\n    derive:\n      batch_size: batch_size / 16\n",
            "FILE:5: scales.smoke.derive.batch_size: batch_size must be a whole number, got 0.5",
        ),
        (
            "scales:\n  smoke:\n    derive: {epochs: epochs / 0}\n",
            "FILE:4: scales.smoke.derive.epochs: 'epochs / 0' cannot be computed",
        ),
        (
            "scales:\n  smoke:\n    derive: {epochs: train_subset / 2}\n",
            "FILE:4: scales.smoke.derive.epochs: 'train_subset' has no number",
        ),
    ],
)
def test_a_scale_that_gives_an_impossible_trial(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, ROWS + text, scale="smoke").startswith(message)


def test_a_wrong_full_value_is_named_where_it_is_written_not_at_the_scale(tmp_path: Path) -> None:
    text = "rows: [{lr: -1}]\nscales: {smoke: {set: {lr: 1}}}\n"
    assert refusal(tmp_path, text, scale="smoke") == "FILE:1: rows[0].lr: lr must be greater than 0, got -1"


def test_a_wrong_set_over_a_scale_is_the_command_lines(tmp_path: Path) -> None:
    text = ROWS + "scales: {smoke: {set: {lr: 1}}}\n"
    assert refusal(tmp_path, text, {"lr": -1}, "smoke") == "--set: lr must be greater than 0, got -1"


@pytest.mark.parametrize("command", ["run", "plan", "spaces"])
@pytest.mark.parametrize(
    ("scales", "scale", "message"),
    [
        (
            "scales: {smoke: {set: {epochs: 1}}}\n",
            "smok",
            "--scale smok: no such scale in the space 'space': did you mean 'smoke'?",
        ),
        (
            "scales: {smoke: {set: {epochs: 1}}, b: {set: {epochs: 2}}}\n",
            "x",
            "--scale x: no such scale in the space 'space': valid: smoke, b",
        ),
        ("", "smoke", "--scale smoke: the space 'space' has no scales (no `scales:` in its file)"),
    ],
)
def test_an_unknown_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, scales: str, scale: str, message: str
) -> None:
    load_text(tmp_path, ROWS + scales)
    store = [] if command == "spaces" else ["--store", str(tmp_path / "store")]
    assert tune_main.main([command, str(tmp_path / "space.yaml"), "--scale", scale, *store]) == 2
    assert capsys.readouterr().err == f"batchscape: {message}\n"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_reference_to_a_table_that_was_never_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    loaded = load_text(tmp_path, ROWS + "reference:\n  - main\n  - linear_scaling_cosin\n")
    assert tune_main.main([command, str(loaded.source.path), "--store", str(tmp_path / "store")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"batchscape: {loaded.source.path}:4: reference[1]: no published table 'linear_scaling_cosin': "
    )
    assert "did you mean 'linear_scaling_cosine'" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()
