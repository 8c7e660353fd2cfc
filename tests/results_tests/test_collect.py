"""From ledgers to rows."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from results.parquet import collect
from results.parquet.collect import Collector
from results.parquet.schema import EPOCHS_SCHEMA, TRIALS_SCHEMA
from results.store.local_store import LocalStore
from tests.results_tests.result_samples import (
    END,
    START,
    make_attempt,
    make_config,
    make_end,
    make_epoch,
    make_manifest,
    write_trial,
)
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.files import ATTEMPTS
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial
from trainable.records import EpochRecord, Status, TrialEnd, TrialFiles

CONFIG = make_config(epochs=7)
ERRORS = [50.0, 9.0, 30.0, 12.0, 9.0, 20.0, 14.0]
EPOCHS = [make_epoch(number, error) for number, error in enumerate(ERRORS, start=1)]


def collected(folder: Path, epochs: list[EpochRecord], end: TrialEnd | None) -> dict[str, Any]:
    """The one row of `trials`."""
    store = LocalStore(folder)
    write_trial(store, CONFIG, epochs, end)
    trials, _ = Collector(store, make_manifest([CONFIG])).tables()
    (row,) = trials.to_pylist()
    return dict(row)


def test_a_complete_trial(tmp_path: Path) -> None:
    end = make_end(Status.COMPLETE, 7, peak_memory_bytes=123, test_correct_bits="a5ff00")
    row = collected(tmp_path, EPOCHS, end)
    assert row["status"] == "COMPLETE"
    assert row["epochs_done"] == 7
    assert row["test_error_percent"] == 14.0
    assert row["test_error_percent_last5"] == 14.0  # of 30 12 9 20 14
    assert (row["best_test_error_percent"], row["best_test_epoch"]) == (9.0, 2)
    assert row["train_loss"] == pytest.approx(1 / 7)
    assert (row["train_seconds"], row["eval_seconds"], row["total_seconds"]) == (14.0, 3.5, 17.5)
    assert row["images_per_second"] == 50.0
    assert row["peak_memory_bytes"] == 123
    assert row["test_correct_bits"] == b"\xa5\xff\x00"
    assert row["error"] is None


def test_the_configuration_and_the_machine_are_columns(tmp_path: Path) -> None:
    row = collected(tmp_path, EPOCHS, make_end(Status.COMPLETE, 7))
    assert {name: row[name] for name in CONFIG.to_dict()} == CONFIG.to_dict()
    assert (row["sweep"], row["trial_key"]) == ("sweep", CONFIG.trial_key)
    assert (row["host"], row["device"], row["num_threads"], row["code"]) == ("host-1", "a processor", 1, "c0de")
    assert json.loads(row["versions"]) == {"python": "3.11", "torch": "2.0"}
    assert row["start_time"] == datetime.fromisoformat(START)
    assert row["end_time"] == datetime.fromisoformat(END)


def test_the_median_of_an_even_number_of_epochs(tmp_path: Path) -> None:
    row = collected(tmp_path, EPOCHS[:4], None)
    assert row["test_error_percent_last5"] == 21.0  # of 50 9 30 12: (12 + 30) / 2


def test_speed_is_weighted_by_time(tmp_path: Path) -> None:
    epochs = [
        make_epoch(1, 9.0, train_seconds=1.0, images_per_second=100.0),
        make_epoch(2, 9.0, train_seconds=4.0, images_per_second=25.0),
    ]
    assert collected(tmp_path, epochs, None)["images_per_second"] == 40.0  # 200 images in 5 s


def test_a_trial_that_diverged_has_no_final_error(tmp_path: Path) -> None:
    epochs = [*EPOCHS[:2], make_epoch(3, 90.0, train_loss=None, test_loss=None)]
    row = collected(tmp_path, epochs, make_end(Status.DIVERGED, 3))
    assert (row["status"], row["epochs_done"], row["train_loss"]) == ("DIVERGED", 3, None)
    assert row["test_error_percent"] is None
    assert row["test_error_percent_last5"] is None
    assert (row["best_test_error_percent"], row["best_test_epoch"]) == (9.0, 2)


def test_a_failed_trial_has_its_error(tmp_path: Path) -> None:
    row = collected(tmp_path, [], make_end(Status.FAILED, 0, error="out of memory"))
    assert (row["status"], row["error"], row["epochs_done"]) == ("FAILED", "out of memory", 0)
    assert row["test_error_percent"] is None
    assert row["images_per_second"] is None
    assert row["train_seconds"] == 0.0


def test_a_trial_under_way(tmp_path: Path) -> None:
    row = collected(tmp_path, EPOCHS[:2], None)
    assert (row["status"], row["epochs_done"], row["end_time"]) == ("INCOMPLETE", 2, None)
    assert row["test_error_percent"] == 9.0
    assert row["test_correct_bits"] is None


def test_a_trial_stopped_by_a_scheduler_keeps_its_error(tmp_path: Path) -> None:
    row = collected(tmp_path, EPOCHS[:3], make_end(Status.STOPPED, 3))
    assert (row["status"], row["test_error_percent"]) == ("STOPPED", 30.0)


def test_held_out_errors(tmp_path: Path) -> None:
    epochs = [make_epoch(n, 10.0, holdout_error_percent=error) for n, error in enumerate([8.0, 5.0, 7.0], start=1)]
    row = collected(tmp_path, epochs, make_end(Status.COMPLETE, 3))
    assert row["holdout_error_percent"] == 7.0
    assert row["holdout_error_percent_last5"] == 7.0
    assert (row["best_holdout_error_percent"], row["best_holdout_epoch"]) == (5.0, 2)


def test_attempts_are_counted_and_the_last_one_is_the_host(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, EPOCHS[:3], None)
    with Ledger(store.trial_folder(CONFIG.trial_key), CONFIG.to_dict()) as ledger:
        ledger.begin(make_attempt(2, start_time="2026-02-02T00:00:00+00:00"))
    (row,) = Collector(store, make_manifest([CONFIG])).tables()[0].to_pylist()
    assert (row["attempts"], row["host"], row["epochs_done"]) == (2, "host-2", 3)
    assert row["start_time"] == datetime.fromisoformat(START)


def test_repeat_and_variables_come_from_the_plan(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, EPOCHS, make_end(Status.COMPLETE, 7))
    manifest = make_manifest([], trials=[PlannedTrial(CONFIG, 4, {"base_lr": 0.1, "a": 2})])
    (row,) = Collector(store, manifest).tables()[0].to_pylist()
    assert row["repeat"] == 4
    assert json.loads(row["variables"]) == {"a": 2, "base_lr": 0.1}


def three_trials(store: LocalStore) -> list[TrainConfig]:
    """Write three trials: one complete, one not begun, one under way."""
    done, waiting, running = (make_config(epochs=2, seed=seed) for seed in range(3))
    write_trial(store, done, EPOCHS[:2], make_end(Status.COMPLETE, 2))
    write_trial(store, running, EPOCHS[:1], None)
    return [running, waiting, done]


def test_rows_follow_the_order_of_the_plan_without_trials_not_begun(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    running, _, done = configs = three_trials(store)
    trials, epochs = Collector(store, make_manifest(configs)).tables()
    assert trials["trial_key"].to_pylist() == [running.trial_key, done.trial_key]
    assert epochs["trial_key"].to_pylist() == [running.trial_key, done.trial_key, done.trial_key]
    assert trials.schema.equals(TRIALS_SCHEMA)
    assert epochs.schema.equals(EPOCHS_SCHEMA)


def test_epochs_hold_the_records(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, EPOCHS, None)
    rows = Collector(store, make_manifest([CONFIG])).tables()[1].to_pylist()
    identity = {"sweep": "sweep", "trial_key": CONFIG.trial_key, "superseded": False, "generation": 1}
    assert rows == [identity | dataclasses.asdict(record) for record in EPOCHS]


def test_ended_trials_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    running, waiting, _ = configs = three_trials(store)
    collector = Collector(store, make_manifest(configs))
    before = collector.tables()
    read: list[str] = []

    def reading(folder: Path) -> TrialFiles:
        read.append(folder.name)
        return read_trial(folder)

    monkeypatch.setattr(collect, "read_trial", reading)
    assert collector.tables() == before
    assert read == [running.trial_key, waiting.trial_key]


def test_new_epochs_are_seen(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    collector = Collector(store, make_manifest([CONFIG]))
    assert [len(table) for table in collector.tables()] == [0, 0]
    write_trial(store, CONFIG, EPOCHS[:2], None)
    assert [len(table) for table in collector.tables()] == [1, 2]


def test_metadata(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    manifest = make_manifest(three_trials(store), space="name: x\n", overrides={"lr": 0.1})
    for table in Collector(store, manifest).tables():
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        assert metadata == {
            "batchscape.schema_version": "6",
            "batchscape.sweep": "sweep",
            "batchscape.space": "name: x\n",
            "batchscape.overrides": '{"lr": 0.1}',
            "batchscape.scale": "",
            "batchscape.extends": "[]",
            "batchscape.code": "c0de",
            "batchscape.num_planned": "3",
            "batchscape.versions": '{"python": "3.11", "torch": "2.0"}',
        }


def test_an_ended_trial_whose_attempts_are_damaged_keeps_its_row(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, EPOCHS, make_end(Status.COMPLETE, 7))
    before, _ = Collector(store, make_manifest([CONFIG])).tables()
    (store.trial_folder(CONFIG.trial_key) / ATTEMPTS).write_text("zz\n")
    after, _ = Collector(store, make_manifest([CONFIG])).tables()
    assert after["test_error_percent"].to_pylist() == before["test_error_percent"].to_pylist() == [14.0]
    assert (after["attempts"].to_pylist(), after["host"].to_pylist()) == ([0], [""])


def test_a_trial_that_lost_its_attempts_before_its_end_has_a_row(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, EPOCHS[:2])
    (store.trial_folder(CONFIG.trial_key) / ATTEMPTS).write_bytes(b"damaged\n")
    (row,) = Collector(store, make_manifest([CONFIG])).tables()[0].to_pylist()
    assert (row["status"], row["epochs_done"], row["attempts"]) == ("INCOMPLETE", 2, 0)
    assert row["damage"] == f"{ATTEMPTS}:1"
    assert row["start_time"] == datetime(1970, 1, 1, tzinfo=UTC)
