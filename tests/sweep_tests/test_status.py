"""The progress of a sweep."""

import dataclasses
import json
from pathlib import Path

import pytest

from results.parquet.collect import Collector
from results.parquet.files import read_trials
from results.store.local_store import LocalStore
from results.store.manifest import Manifest
from sweep.status.best import best_configuration, best_text
from sweep.status.status import status_json, status_text, sweep_status
from tests.other_process import driven
from tests.results_tests.result_samples import (
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from trainable.errors import UserError
from trainable.ledger.remote_ledger import open_ledger
from trainable.records import Status

CONFIGS = {status: make_config(epochs=3, seed=seed) for seed, status in enumerate(Status)}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A trial of every status, with two epochs each."""
    store = LocalStore(tmp_path)
    epochs = [make_epoch(1, 10.0), make_epoch(2, 9.0)]
    for status, config in CONFIGS.items():
        error = "out of memory" if status is Status.FAILED else None
        write_trial(store, config, epochs, None if status is Status.INCOMPLETE else make_end(status, 2, error=error))
    return store


@pytest.fixture
def manifest(store: LocalStore) -> Manifest:
    """A sweep of those trials and one that is not begun."""
    manifest = make_manifest([*CONFIGS.values(), make_config(epochs=3, seed=99)])
    with store.driving(manifest):
        return manifest


def test_counts(store: LocalStore, manifest: Manifest) -> None:
    status = sweep_status(store, manifest)
    assert (status.sweep, status.planned, status.done, status.diverged) == ("sweep", 6, 3, 1)
    assert (status.failed, status.left, status.running, status.driver_running) == (1, 3, 0, False)
    assert status.errors == {CONFIGS[Status.FAILED].trial_key: "out of memory"}
    assert status.epochs_done == 10
    assert status.epochs_planned == 3 * 2 + 3 * 3


def test_nothing_begun(tmp_path: Path) -> None:
    status = sweep_status(LocalStore(tmp_path), make_manifest([make_config(epochs=3)]))
    assert (status.planned, status.done, status.left, status.epochs_done, status.epochs_planned) == (1, 0, 1, 0, 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sweep", ["sweep", "other"])
def test_a_trial_of_a_driver_that_is_killed_is_interrupted(store: LocalStore, manifest: Manifest, sweep: str) -> None:
    folder = store.sweep_folder(sweep)
    folder.mkdir(exist_ok=True)
    with driven(folder) as driver:
        config = CONFIGS[Status.INCOMPLETE]
        with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
            ledger.begin(dataclasses.replace(make_attempt(2, run_id="theirs"), sweep=sweep))
        status = sweep_status(store, manifest)
        assert (status.running, status.interrupted) == (1, 0)
        driver.kill()
        driver.wait()
        status = sweep_status(store, manifest)
        assert (status.running, status.interrupted) == (0, int(sweep == "sweep"))
        assert ("  left     3 (1 interrupted)\n" in status_text(status)) == (sweep == "sweep")


def test_a_driver_is_seen_through_its_record(store: LocalStore, manifest: Manifest) -> None:
    with driven(store.sweep_folder("sweep")):
        status = sweep_status(store, manifest)
    assert status.driver_running
    assert status.run_id == "theirs"
    assert f"sweep: running now (since {status.running_since})\n" in status_text(status)
    assert "sweep: running now" in status_text(status)
    assert "with the same space trains" not in status_text(status)


def test_json_has_every_figure(store: LocalStore, manifest: Manifest) -> None:
    values = json.loads(status_json(sweep_status(store, manifest)))
    assert values == {
        "sweep": "sweep",
        "driver_running": False,
        "planned": 6,
        "done": 3,
        "stopped": 1,
        "diverged": 1,
        "running": 0,
        "failed": 1,
        "left": 3,
        "epochs_done": 10,
        "epochs_planned": 15,
        "errors": {CONFIGS[Status.FAILED].trial_key: "out of memory"},
        "best": "model=resnet_preact_20 batch_size=128 lr=0.1: test error 9.00 % (lowest of 1 trial)",
        "front": [],
        "stalled": {},
        "notes": [],
        "interrupted": 0,
        "paused": 0,
        "separation": None,
        "run_id": None,
        "running_since": None,
    }


def test_text_for_people(store: LocalStore, manifest: Manifest) -> None:
    lines = status_text(sweep_status(store, manifest)).splitlines()
    assert lines[0] == "sweep: not running"
    assert lines[1].split() == ["done", "3", "of", "6", "trials", "(1", "stopped", "early,", "1", "diverged)"]
    assert lines[5].split() == ["epochs", "10", "of", "15"]
    assert (
        lines[6] == "  best     model=resnet_preact_20 batch_size=128 lr=0.1: test error 9.00 % (lowest of 1 trial)"
    )
    assert lines[7] == f"  failed {CONFIGS[Status.FAILED].trial_key}: out of memory"
    assert lines[8].endswith("with the same space trains the 3 trials that are left")


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ((Status.DIVERGED, Status.DIVERGED), "all 2 trials diverged, the smallest lr was 0.5: "),
        ((Status.DIVERGED,), "the only trial diverged, the smallest lr was 0.5: "),
        ((Status.DIVERGED, Status.FAILED), "every trial that did not fail diverged, the smallest lr was 0.5: "),
        ((Status.DIVERGED, Status.COMPLETE), None),
        ((Status.DIVERGED, Status.STOPPED), None),
        ((Status.DIVERGED, Status.INCOMPLETE), None),
        ((Status.FAILED,), None),
    ],
)
def test_where_all_diverged_it_says_so(tmp_path: Path, statuses: tuple[Status, ...], told: str | None) -> None:
    store = LocalStore(tmp_path)
    configs = [make_config(epochs=3, lr=0.5 * number) for number, _ in enumerate(statuses, start=1)]
    for config, status in zip(configs, statuses, strict=True):
        write_trial(store, config, [], None if status is Status.INCOMPLETE else make_end(status, 0))
    found = sweep_status(store, make_manifest(configs))
    assert found.notes == ([] if told is None else [told + "lower the learning rates of the space"])
    assert status_text(found).count("  note     ") == len(found.notes)


def test_the_best_of_a_grid_is_the_lowest_test_error(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    configs = [make_config(lr=lr, epochs=1) for lr in (0.1, 0.2, 0.4)]
    for config, error in zip(configs, (9.0, 7.5, None), strict=True):
        status = Status.COMPLETE if error else Status.DIVERGED
        write_trial(store, config, [make_epoch(1, error)], make_end(status, 1))
    assert sweep_status(store, make_manifest(configs)).best == "lr=0.2: test error 7.50 % (lowest of 2 trials)"


def test_the_best_of_repeats_is_the_lowest_mean(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    errors = {(0.1, 0): 9.0, (0.1, 1): 8.0, (0.2, 0): 7.5, (0.2, 1): 9.9}
    configs = [make_config(lr=lr, seed=seed, epochs=1) for lr, seed in errors]
    for config, error in zip(configs, errors.values(), strict=True):
        write_trial(store, config, [make_epoch(1, error)], make_end(Status.COMPLETE, 1))
    best = "lr=0.1: test error 8.50 +- 0.71 % (n = 2, lowest of 2 configurations)"
    assert sweep_status(store, make_manifest(configs)).best == best


def test_the_best_names_all_that_the_sweep_varied_also_if_the_other_values_diverged(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    configs = [make_config(epochs=1, lr=lr, momentum=momentum) for lr in (0.1, 100.0) for momentum in (0.5, 0.9)]
    for config, error in zip(configs, (9.0, 8.0, None, None), strict=True):
        epochs = [] if error is None else [make_epoch(1, error)]
        write_trial(
            store, config, epochs, make_end(Status.DIVERGED if error is None else Status.COMPLETE, len(epochs))
        )
    best = best_configuration("sweep", Collector(store, make_manifest(configs)).tables()[0])
    assert best_text(best).splitlines()[0] == "sweep: lr=0.1 momentum=0.9"
    assert "among       2 finished configurations" in best_text(best)


def test_a_table_before_the_first_result_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    config = make_config()
    store.sweep_folder("sweep").mkdir(parents=True)
    store.write_manifest(make_manifest([config]))
    write_trial(store, config, [make_epoch(1, 50.0)])
    with pytest.raises(UserError, match=r"^sweep: no trial has ended yet: `.* status sweep --store .*` shows"):
        read_trials(store, "sweep")
    write_trial(store, config, [], make_end(Status.COMPLETE, 1))
    with pytest.raises(UserError, match=r"trials.parquet is missing: `.* export sweep --store .*` writes it again"):
        read_trials(store, "sweep")
