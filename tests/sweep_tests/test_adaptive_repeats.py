"""Seeds that the errors decide: which trials a sweep has, from its space and its store."""

import dataclasses
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from results.store.manifest import Manifest, manifest_from_json, manifest_to_json
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from sweep.adaptive_repeats import further_repeats, limits_of, repeats_notes, separation_text, with_decided_repeats
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.config import PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.records import Status

LIMITS = {"max": 6, "budget": 1.0}
MEANS = {0.1: 8.0, 0.2: 8.1, 0.4: 14.0}


def first_manifest() -> Manifest:
    trials = [PlannedTrial(make_config(lr=lr, epochs=1, seed=seed), seed, {}) for lr in MEANS for seed in range(2)]
    return dataclasses.replace(make_manifest([]), trials=trials, repeats=LIMITS)


def train(store: LocalStore, config: TrainConfig) -> None:
    error = MEANS[config.lr] + [0.0, 0.3, 0.1, 0.2, 0.15, 0.05][config.seed]
    write_trial(store, config, [make_epoch(1, error)], make_end(Status.COMPLETE, 1))


def run(store: LocalStore, manifest: Manifest, num_trials: int = 100) -> Manifest:
    """Do what a driver does, until `num_trials` were trained."""
    while True:
        store.write_manifest(manifest)
        done = {folder.name for folder in store.all_trials()}
        for config in (trial.config for trial in manifest.trials if trial.config.trial_key not in done):
            if not num_trials:
                return manifest
            train(store, config)
            num_trials -= 1
        further = further_repeats(store, manifest)
        if further is None:
            return manifest
        manifest = further


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs")


def test_the_best_and_its_rival_get_more_seeds(store: LocalStore) -> None:
    assert repeats_notes(first_manifest()) == [
        "the errors decide on up to 12 further trials, 18 in all; times are without them"
    ]
    manifest = run(store, first_manifest())
    seeds = {lr: sum(trial.config.lr == lr for trial in manifest.trials) for lr in MEANS}
    assert seeds == {0.1: 6, 0.2: 6, 0.4: 2}
    assert [trial.repeat for trial in manifest.trials] == [*range(6), *range(6), 0, 1]
    assert (
        separation_text(store, manifest)
        == "open: lr=0.1 has 1 rival within 0.1 points, and all of them have max seeds"
    )


def test_the_end_says_that_the_budget_is_spent(store: LocalStore) -> None:
    manifest = run(store, dataclasses.replace(first_manifest(), repeats={"max": 6, "budget": 0.5}))
    assert len(manifest.trials) == 9
    assert str(separation_text(store, manifest)).endswith("points, and the budget is spent")


@pytest.mark.parametrize("num_trials", range(0, 15, 2))
def test_killed_at_any_trial_it_decides_the_same(store: LocalStore, tmp_path: Path, num_trials: int) -> None:
    whole = run(LocalStore(tmp_path / "whole"), first_manifest())
    run(store, first_manifest(), num_trials)
    resumed = with_decided_repeats(store, first_manifest())
    assert set(resumed.keys) <= set(whole.keys)
    assert run(store, resumed).keys == whole.keys


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.FAILED])
def test_what_diverged_or_failed_is_out(store: LocalStore, status: Status) -> None:
    for trial in first_manifest().trials:
        if trial.config.lr == 0.4:
            write_trial(store, trial.config, [make_epoch(1, 1.0)], make_end(status, 1))
    manifest = run(store, first_manifest())
    assert sum(trial.config.lr == 0.4 for trial in manifest.trials) == 2
    assert str(separation_text(store, manifest)).startswith("open: lr=0.1 has 1 rival")


def test_a_seed_that_was_decided_stays(store: LocalStore) -> None:
    manifest = run(store, first_manifest())
    write_trial(store, manifest.trials[1].config, [make_epoch(1, 50.0)], make_end(Status.COMPLETE, 1))
    assert set(with_decided_repeats(store, first_manifest()).keys) >= set(manifest.keys)


def test_the_manifest_keeps_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("grid: {lr: [0.1, 0.2]}\nrepeats: {max: 6, budget: 0.5}\n", encoding="utf-8")
    expansion = expand(load_space(str(path)), {})
    assert len(expansion.trials) == 4
    manifest = dataclasses.replace(first_manifest(), repeats=limits_of(expansion))
    assert manifest_from_json(manifest_to_json(manifest), manifest.name, "").repeats == {"max": 6, "budget": 0.5}


def test_a_budget_below_two_seeds_each_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("grid: {lr: [0.1, 0.2]}\nrepeats: {max: 5, budget: 0.3}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"my.yaml:2: repeats.budget: 3 trials are fewer than two seeds for each of"):
        expand(load_space(str(path)), {})


def test_seeds_of_ones_own_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("grid: {lr: [0.1], seed: [0, 1]}\nrepeats: {max: 6}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"my.yaml:2: repeats: max decides the seeds: leave seed out"):
        expand(load_space(str(path)), {})
