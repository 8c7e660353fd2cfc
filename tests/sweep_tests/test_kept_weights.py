"""`keep_weights`: which trials keep their weights, whatever a killed driver left and other sweeps keep."""

import dataclasses
from pathlib import Path

import pytest

import tune_main
from results.store.local_store import LocalStore
from results.store.manifest import Manifest, manifest_from_json, manifest_to_json
from results.store.opening import open_store
from results.store.search_log import (
    ConfirmEvent,
    EndEvent,
    ProposalEvent,
    ReportEvent,
    SearchEvent,
    SearchLog,
    SearchRecord,
)
from results.store.search_progress import search_record
from results.store.store import Store
from search_spaces.expansion import expand
from search_spaces.loader import load_space
from sweep import kept_weights
from sweep.kept_weights import WeightsKeeper, drop_unkept, weights_lines, writes_weights
from sweep.plan.changes import with_earlier_trials
from sweep.search.opening import search_settings
from sweep.trial_weights import copy_weights, find_weights
from tests.refusals import refused
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_epoch, make_manifest
from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import WEIGHTS
from trainable.ledger.remote_ledger import open_ledger
from trainable.ledger.safetensors import StoredTensor, StoredWeights, parse_weights
from trainable.records import Progress, Status

STORED = StoredWeights({"bias": StoredTensor("F32", (2,), bytes(8))}, {})
CONFIGS = [make_config(lr=lr) for lr in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
ERRORS = (20.0, 10.0, 40.0, 30.0, 20.0)
"""Test errors of the first trials; the last one is unfinished."""
KEYS = [config.trial_key for config in CONFIGS]


def train(store: Store, config: TrainConfig, error: float | None, holdout: float | None = None) -> None:
    """Leave what a process leaves that has ended the trial, or was killed just before that (without an error)."""
    with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
        ledger.begin(make_attempt())
        ledger.append(make_epoch(1, error or 5.0, holdout_error_percent=holdout))
        ledger.save_weights(STORED)
        if error is not None:
            ledger.finish(make_end(Status.COMPLETE, 1))


def fill(store: Store) -> Manifest:
    for config, error in zip(CONFIGS, (*ERRORS, None), strict=True):
        train(store, config, error)
    manifest = make_manifest(CONFIGS, "mine")
    store.write_manifest(manifest)
    return manifest


def kept(store: Store) -> list[int]:
    """Return the numbers of the trials that have weights."""
    return [number for number, key in enumerate(KEYS) if key in store.holding(WEIGHTS, KEYS)]


@pytest.fixture(params=["folder", pytest.param("bucket")])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return LocalStore(tmp_path / "store")
    s3: S3Server = request.getfixturevalue("s3")
    return open_store(f"s3://{s3.new_bucket()}/store")


def test_the_three_best_are_kept_and_unfinished_trials_keep_what_they_have(store: Store, tmp_path: Path) -> None:
    manifest = fill(store)
    tied = min(KEYS[0], KEYS[4])
    for _ in range(2):  # the second time there is nothing to do
        drop_unkept(store, manifest, SearchRecord())
        assert kept(store) == sorted({1, 0, 4, 5})
    drop_unkept(store, dataclasses.replace(manifest, keep_weights="all"), SearchRecord())
    assert len(kept(store)) == 4
    assert kept_weights.ranked_keys(store, manifest, SearchRecord())[:2] == [KEYS[1], tied]
    assert copy_weights(store, find_weights(store, "mine"), tmp_path / "copy").startswith(f"weights of {KEYS[1]} (")
    assert parse_weights((tmp_path / "copy").read_bytes(), KEYS[1]).tensors == STORED.tensors
    with pytest.raises(UserError, match="is INCOMPLETE, and only completed trials have weights"):
        find_weights(store, "mine", KEYS[5])
    drop_unkept(store, dataclasses.replace(manifest, keep_weights="none"), SearchRecord())
    assert kept(store) == [5]


def test_held_out_images_decide_where_there_are_some(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for config, holdout in zip(CONFIGS[:4], (4.0, 3.0, 2.0, 1.0), strict=True):
        train(store, config, 50.0 - holdout, holdout)
    drop_unkept(store, make_manifest(CONFIGS[:4], "mine"), SearchRecord())
    assert kept(store) == [1, 2, 3]


def test_what_another_sweep_keeps_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    manifest = fill(store)
    store.write_manifest(dataclasses.replace(make_manifest(CONFIGS[2:4], "other"), keep_weights="best"))
    drop_unkept(store, dataclasses.replace(manifest, keep_weights="none"), SearchRecord())
    assert kept(store) == [2, 3, 5]
    (store.sweep_folder("other") / "sweep.json").write_text("{")
    drop_unkept(store, dataclasses.replace(manifest, keep_weights="none"), SearchRecord())
    assert kept(store) == [2, 3, 5]


def test_a_driver_deletes_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    monkeypatch.setattr(kept_weights, "MIN_INTERVAL_SECONDS", 0.0)
    keeper = WeightsKeeper(store, fill(store))
    keeper.on_tick()
    keeper.on_progress(KEYS[0], Progress(make_epoch(1, 1.0), Status.INCOMPLETE, replayed=False))
    keeper.on_tick()
    assert len(kept(store)) == 6
    keeper.on_progress(KEYS[0], Progress(make_epoch(1, 1.0), Status.COMPLETE, replayed=False))
    keeper.on_tick()
    assert kept(store) == [0, 1, 4, 5]


def test_the_setting_is_of_the_sweep_and_of_no_trial(tmp_path: Path) -> None:
    text = "name: mine\nrows: [{lr: 0.1}, {lr: 0.2}]\n"
    keys = set()
    for keep in ("", "keep_weights: all\n", "keep_weights: none\n"):
        (tmp_path / "mine.yaml").write_text(text + keep)
        loaded = load_space(str(tmp_path / "mine.yaml"))
        keys.add(tuple(trial.config.trial_key for trial in expand(loaded, {}).trials))
        manifest = dataclasses.replace(make_manifest(CONFIGS, "mine"), keep_weights=loaded.space.keep_weights)
        content = manifest_to_json(manifest)
        assert manifest_from_json(content, "mine", "") == manifest
        assert (b"keep_weights" in content) == bool(keep)
    assert len(keys) == 1
    old = dataclasses.replace(make_manifest(CONFIGS, "mine"), extends=[{}])
    LocalStore(tmp_path / "store").write_manifest(old)
    new = dataclasses.replace(make_manifest(CONFIGS[:2], "mine"), keep_weights="none")
    assert with_earlier_trials(LocalStore(tmp_path / "store"), new, extend=False) == dataclasses.replace(
        old, keep_weights="none"
    )


def test_a_wrong_value_is_refused_and_plan_tells_the_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, store = tmp_path / "mine.yaml", str(tmp_path / "store")
    path.write_text("rows: [{lr: 0.1}, {lr: 0.2}]\nkeep_weights: some\n")
    error = refused(["plan", str(path), "--store", store], capsys)
    assert "mine.yaml:2: keep_weights: " in error
    assert "none, best" in error
    for keep, is_told in (("all", True), ("best", False)):
        path.write_text(f"rows: [{{lr: 0.1}}, {{lr: 0.2}}]\nkeep_weights: {keep}\n")
        assert tune_main.main(["plan", str(path), "--store", store, "--slots", "1"]) == 0
        assert ("the weights of all trials, up to 2" in capsys.readouterr().out) == is_told


def test_plan_tells_of_finished_trials_without_weights_and_guesses_no_size(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    fill(store)
    assert len(list(weights_lines(store, "all", CONFIGS))) == 1
    store.drop_files(WEIGHTS, KEYS[1:])
    _, line = weights_lines(store, "all", CONFIGS)
    assert line.startswith("  keep   4 finished trials of these have no weights: `")
    own = dataclasses.replace(CONFIGS[0], model="my_net.py:SmallCNN")
    assert next(weights_lines(store, "all", [own])) == "  keep   the weights of all trials (keep_weights: all)"
    assert list(weights_lines(store, "best", CONFIGS)) == []


SEARCH = """\
defaults: {dataset: digits, epochs: 1, holdout: 0.1}
search: {algorithm: random, num_trials: 5}
parameters: {lr: {min: 0.01, max: 1.0}}
"""


@pytest.mark.parametrize("confirm", [True, False])
def test_a_search_keeps_its_confirmations_or_else_its_best(tmp_path: Path, *, confirm: bool) -> None:
    (tmp_path / "mine.yaml").write_text(SEARCH + "confirm: {top: 1, repeats: 1}\n" * confirm)
    maker = expand(load_space(str(tmp_path / "mine.yaml")), {}).search
    assert maker is not None
    settings = search_settings("mine", maker, dataset="digits", fingerprint="")
    assert writes_weights("best", None)
    assert [writes_weights(keep, settings) for keep in ("none", "best", "all")] == [False, not confirm, True]
    store, manifest = LocalStore(tmp_path / "store"), make_manifest([], "mine", is_search=True)
    store.write_manifest(manifest)
    log = SearchLog(store.search_log("mine"))
    log.append([SearchEvent(settings.canonical())])
    for number, error in enumerate(ERRORS):
        train(store, CONFIGS[number], 9.0, error)
        log.append([ProposalEvent(number, {"lr": CONFIGS[number].lr}, CONFIGS[number], {})])
        log.append([ReportEvent(number, 1, (error,), stop=False)])
        if number != 1:  # the driver was killed before it noted the best one's end
            log.append([EndEvent(number, Status.COMPLETE, (error,))])
    drop_unkept(store, manifest, search_record(store, manifest))
    assert kept(store) == ([1] if confirm else [0, 1, 3, 4])
    if confirm:
        log.append([EndEvent(1, Status.COMPLETE, (10.0,)), ConfirmEvent(1, 0, CONFIGS[5], {})])
        train(store, CONFIGS[5], 60.0)
        drop_unkept(store, manifest, search_record(store, manifest))
        assert kept(store) == [5]
