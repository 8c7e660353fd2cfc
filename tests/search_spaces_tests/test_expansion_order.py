"""Which trials a space holds, and in which order."""

from pathlib import Path

import pytest

from tests.search_spaces_tests.space_samples import configs_of, expand_text

ROWS_AND_GRID = """
    defaults: {epochs: 3}
    grid:
      batch_size: [32, 64, 128]
      lr: [0.1, 0.2]
    rows:
      - {batch_size: 8, lr: 0.5}
      - {lr: 0.3}
"""


def test_rows_come_before_the_grid_whose_last_axis_runs_fastest(tmp_path: Path) -> None:
    configs = configs_of(tmp_path, ROWS_AND_GRID)
    assert [(config.batch_size, config.lr) for config in configs] == [
        (8, 0.5),
        (128, 0.3),
        (32, 0.1),
        (32, 0.2),
        (64, 0.1),
        (64, 0.2),
        (128, 0.1),
        (128, 0.2),
    ]


def test_the_grid_is_the_product_of_its_axes(tmp_path: Path) -> None:
    text = "grid: {batch_size: [2, 4, 8], lr: [0.1, 0.2], weight_decay: {values: [0, 1e-4]}, epochs: {value: 7}}"
    configs = configs_of(tmp_path, text)
    assert len(set(configs)) == 3 * 2 * 2
    assert {config.epochs for config in configs} == {7}


def test_an_axis_of_lists(tmp_path: Path) -> None:
    configs = configs_of(tmp_path, "defaults: {schedule: multistep}\ngrid: {milestones: [[0.3, 0.6], [100]]}")
    assert [config.milestones for config in configs] == [(0.3, 0.6), (0.5,)]


def test_rows_go_over_defaults_and_set_goes_over_both(tmp_path: Path) -> None:
    text = "defaults: {lr: 0.1, batch_size: 8, epochs: 5}\nrows: [{lr: 0.2, batch_size: 16}]"
    (plain,) = configs_of(tmp_path, text)
    assert (plain.lr, plain.batch_size, plain.epochs) == (0.2, 16, 5)
    (changed,) = configs_of(tmp_path, text, {"lr": 0.4, "epochs": 1})
    assert (changed.lr, changed.batch_size, changed.epochs) == (0.4, 16, 1)


def test_the_grid_goes_over_defaults(tmp_path: Path) -> None:
    assert [config.lr for config in configs_of(tmp_path, "defaults: {lr: 9}\ngrid: {lr: [1, 2]}")] == [1, 2]


def test_a_key_nobody_gives_has_the_default_of_the_training(tmp_path: Path) -> None:
    (config,) = configs_of(tmp_path, "rows: [{lr: 0.2}]")
    assert (config.model, config.momentum, config.weight_decay) == ("resnet_preact_20", 0.9, 1e-4)


def test_duplicates_collapse_into_the_first_with_a_note(tmp_path: Path) -> None:
    expansion = expand_text(tmp_path, "rows: [{lr: 0.2}, {lr: 0.1}]\ngrid: {lr: [0.1, 0.3, 0.2]}")
    assert [trial.config.lr for trial in expansion.trials] == [0.2, 0.1, 0.3]
    assert expansion.notes == ["2 of 5 trials left out: same configuration as another trial"]


def test_set_over_an_axis_collapses_it(tmp_path: Path) -> None:
    expansion = expand_text(tmp_path, "grid: {lr: [0.1, 0.2], batch_size: [2, 4]}", {"lr": 0.5})
    assert [trial.config.batch_size for trial in expansion.trials] == [2, 4]
    assert expansion.notes == ["2 of 4 trials left out: same configuration as another trial"]


def test_no_duplicates_no_note(tmp_path: Path) -> None:
    assert expand_text(tmp_path, "grid: {lr: [0.1, 0.2]}").notes == []


@pytest.mark.parametrize(
    ("holdouts", "subsets", "noted"),
    [("0.1", "100, 200", True), ("0.1, 0.2", "100", True), ("0.0", "100, 200", False)],
)
def test_different_held_out_images_are_noted(tmp_path: Path, holdouts: str, subsets: str, *, noted: bool) -> None:
    notes = expand_text(tmp_path, f"grid: {{holdout: [{holdouts}], train_subset: [{subsets}]}}").notes
    assert [note.startswith("held-out errors are on different images") for note in notes] == [True] * noted
