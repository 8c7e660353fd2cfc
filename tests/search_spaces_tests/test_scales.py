"""`--scale`: the same space at another size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tune_main
from benchmarks.finished_sweep import write_finished_trials
from results.store.local_store import LocalStore
from search_spaces.expansion import expand
from search_spaces.listing import show_space
from tests.search_spaces_tests.space_samples import load_text
from trainable.config import PlannedTrial
from trainable.sweep_name import sweep_name

SPACE = """
    defaults: {schedule: multistep, milestones: [80, 120], epochs: 160, dataset: cifar10}
    grid: {batch_size: [4096, 8], base_lr: [0.1]}
    derive: {lr: base_lr * batch_size / 128}
    scales:
      smoke:
        set: {dataset: digits, model: resnet_preact_8}
        derive: {epochs: "max(1, round(epochs / 100))", batch_size: "max(2, batch_size // 8)"}
      half: {derive: {epochs: epochs / 2}}
"""


def scaled(folder: Path, scale: str | None, overrides: Mapping[str, Any] | None = None) -> list[PlannedTrial]:
    return expand(load_text(folder, SPACE), overrides or {}, scale).trials


def test_set_and_derive_replace_the_full_values(tmp_path: Path) -> None:
    configs = [trial.config for trial in scaled(tmp_path, "smoke")]
    assert [config.batch_size for config in configs] == [512, 2]
    assert {(config.epochs, config.dataset, config.model) for config in configs} == {(2, "digits", "resnet_preact_8")}


def test_the_space_is_computed_at_its_full_size(tmp_path: Path) -> None:
    assert [trial.config.lr for trial in scaled(tmp_path, "smoke")] == [3.2, 0.00625]


def test_milestones_in_epochs_stay_at_their_place_in_the_training(tmp_path: Path) -> None:
    assert {trial.config.milestones for trial in scaled(tmp_path, "smoke")} == {(0.5, 0.75)}


def test_the_full_size_is_always_recorded(tmp_path: Path) -> None:
    stands_for = {"published_model": "resnet_preact_20", "published_epochs": 160}
    for scale in ("smoke", "half"):
        assert [trial.variables for trial in scaled(tmp_path, scale)] == [
            {"base_lr": 0.1, **stands_for, "published_batch_size": 4096},
            {"base_lr": 0.1, **stands_for, "published_batch_size": 8},
        ]


def test_without_a_scale_nothing_changes(tmp_path: Path) -> None:
    trials = scaled(tmp_path, None)
    assert [trial.config.batch_size for trial in trials] == [4096, 8]
    assert {trial.config.epochs for trial in trials} == {160}
    assert [trial.variables for trial in trials] == [{"base_lr": 0.1}] * 2


def test_what_the_scale_does_not_name_stays(tmp_path: Path) -> None:
    trials = scaled(tmp_path, "half")
    assert [trial.config.batch_size for trial in trials] == [4096, 8]
    assert {(trial.config.epochs, trial.config.dataset) for trial in trials} == {(80, "cifar10")}


def test_set_on_the_command_line_comes_after_the_scale(tmp_path: Path) -> None:
    trials = scaled(tmp_path, "smoke", {"epochs": 7, "dataset": "cifar10", "batch_size": 64})
    assert {(trial.config.epochs, trial.config.dataset) for trial in trials} == {(7, "cifar10")}
    assert [trial.config.lr for trial in trials] == [3.2, 0.00625]
    assert [trial.variables["published_batch_size"] for trial in trials] == [4096, 8]
    assert {trial.variables["published_epochs"] for trial in trials} == {160}


def test_set_on_a_derived_field_comes_after_the_scale(tmp_path: Path) -> None:
    assert {trial.config.lr for trial in scaled(tmp_path, "smoke", {"lr": 0.3})} == {0.3}


def test_set_on_a_variable_comes_before(tmp_path: Path) -> None:
    trials = scaled(tmp_path, "smoke", {"base_lr": 0.2})
    assert [trial.config.lr for trial in trials] == [6.4, 0.0125]
    assert {trial.variables["base_lr"] for trial in trials} == {0.2}


def test_derive_may_use_variables_and_always_sees_full_values(tmp_path: Path) -> None:
    text = """
        rows: [{base_lr: 0.5, batch_size: 64, epochs: 10}]
        derive: {lr: base_lr}
        scales: {s: {derive: {epochs: batch_size, batch_size: epochs, lr: lr * base_lr}}}
    """
    (trial,) = expand(load_text(tmp_path, text), {}, "s").trials
    assert (trial.config.epochs, trial.config.batch_size, trial.config.lr) == (64, 10, 0.25)


def test_repeats_keep_their_seeds(tmp_path: Path) -> None:
    text = "rows: [{seed: 3}]\nrepeats: 2\nscales: {s: {set: {epochs: 1}}}"
    trials = expand(load_text(tmp_path, text), {}, "s").trials
    assert [(trial.config.seed, trial.repeat) for trial in trials] == [(3, 0), (4, 1)]


def test_trials_that_a_scale_makes_equal_collapse_and_are_reported(tmp_path: Path) -> None:
    text = "grid: {epochs: [10, 20]}\nscales: {s: {set: {epochs: 1}}}"
    expansion = expand(load_text(tmp_path, text), {}, "s")
    assert len(expansion.trials) == 1
    assert expansion.notes == ["1 of 2 trials left out: same configuration as another trial"]


def test_a_scaled_sweep_has_a_name_of_its_own(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, SPACE)
    assert sweep_name(loaded.name, None) == "space"
    assert sweep_name(loaded.name, "smoke") == "space-smoke"


def test_spaces_shows_the_scaled_trials(tmp_path: Path) -> None:
    load_text(tmp_path, SPACE)
    lines = show_space(str(tmp_path / "space.yaml"), [], "smoke").splitlines()
    assert lines[0].startswith("space-smoke: ")
    assert "  epochs           2" in lines
    assert lines[-2:] == ["         512      3.2", "           2  0.00625"]


def test_spaces_names_the_scales_there_are(tmp_path: Path) -> None:
    load_text(tmp_path, SPACE)
    assert "scales: smoke, half" in show_space(str(tmp_path / "space.yaml"), []).splitlines()


def test_run_takes_the_scaled_trials_under_their_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "rows: [{epochs: 90, batch_size: 1024}, {epochs: 90, batch_size: 512}]\n"
        "defaults: {model: resnet_preact_8, dataset: digits}\n"
        "reference: [main]\n"
        "scales:\n  smoke:\n    set: {train_subset: 64, test_subset: 32}\n"
        "    derive: {epochs: epochs // 90, batch_size: '32'}\n"
    )
    store = tmp_path / "store"
    write_finished_trials(path, store, "smoke")
    assert tune_main.main(["run", str(path), "--scale", "smoke", "--store", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "note: 1 of 2 trials left out: same configuration as another trial"
    assert lines[1] == "mine-smoke: 1 trial on digits, 1 done, 0 to train"
    assert LocalStore(store).sweeps() == ["mine-smoke"]
    manifest = LocalStore(store).manifest("mine-smoke")
    assert manifest.scale == "smoke"
    stands_for = {"published_model": "resnet_preact_8", "published_epochs": 90, "published_batch_size": 1024}
    assert [trial.variables for trial in manifest.trials] == [stands_for]
    assert [(trial.config.epochs, trial.config.batch_size) for trial in manifest.trials] == [(1, 32)]
