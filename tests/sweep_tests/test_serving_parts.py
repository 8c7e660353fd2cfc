"""What the pages of `serve` share: one reading for all, what changed, and how long the rest takes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.parquet.schema import TRIALS_SCHEMA
from results.report.page_data import page_data
from results.store.local_store import LocalStore
from sweep.estimate.remaining import remaining_seconds
from sweep.serving import reports as serving_reports
from sweep.serving.changes import Changes
from sweep.serving.paced import Paced
from sweep.serving.reports import Reports
from tests.results_tests.result_samples import make_config, make_manifest, make_trial
from tests.results_tests.store_samples import train
from trainable.errors import UserError
from trainable.records import Status

CONFIGS = [make_config(epochs=4, lr=lr) for lr in (0.1, 0.2, 0.4)]
FIRST, SECOND, THIRD = (config.trial_key for config in CONFIGS)


def test_a_trial_that_begins_and_one_that_is_put_aside(tmp_path: Path) -> None:
    store, changes = LocalStore(tmp_path), Changes()
    manifest = make_manifest(CONFIGS)
    collector = Collector(store, manifest)

    def sent(version: str) -> Any:  # noqa: ANN401 (JSON)
        changes.update("", page_data(*collector.tables()))
        return json.loads(changes.since(version) or b"null")

    train(store, CONFIGS[1], 1)
    train(store, CONFIGS[2], 2)
    version = sent("")["live"]["version"]
    train(store, CONFIGS[0], 2)
    began = sent(version)
    assert sorted(began["page"]["trials"]["key"]) == sorted([FIRST, SECOND, THIRD])
    assert began["page"]["only"] == [began["page"]["trials"]["key"].index(FIRST)]
    train(store, CONFIGS[0], 4, Status.COMPLETE)
    store._supersede([(CONFIGS[0], 1)])
    assert set(sent(began["live"]["version"])["page"]["trials"]["key"]) == {SECOND, THIRD}


def test_one_reading_for_all_pages() -> None:
    now, read = [0.0], []

    def look() -> int:
        read.append(now[0])
        now[0] += 0.5
        return len(read)

    shared = Paced(look, 2.0, lambda: now[0], lambda: now[0])
    assert [shared.get() for _ in range(300)] == [1] * 300
    now[0] = 9.9  # a look of half a second is followed by ten of rest
    assert shared.get() == 1
    now[0] = 10.5
    assert shared.get() == 2
    assert read == [0.0, 10.5]


def test_the_rest_of_a_sweep_takes_as_long_as_what_was_trained() -> None:
    small, large = make_config(epochs=10, batch_size=32), make_config(epochs=10, batch_size=64)
    other = make_config(epochs=10, batch_size=128)
    trials = [
        make_trial(small, 10.0, epochs_done=10, total_seconds=20.0),
        make_trial(large, None, epochs_done=5, total_seconds=20.0, status=Status.INCOMPLETE.value),
        make_trial(small, 10.0, epochs_done=10, total_seconds=900.0, superseded=True),
    ]
    rows = [dataclasses.asdict(trial.config) | dataclasses.asdict(trial.row) for trial in trials]
    begun = pa.Table.from_pylist(rows, schema=TRIALS_SCHEMA)
    assert remaining_seconds(begun[:0], [small], 0, 1) is None
    assert remaining_seconds(begun[:1], [], 0, 1) == 0
    assert remaining_seconds(begun, [], 0, 1) == pytest.approx(20.0)
    assert remaining_seconds(begun, [small, large], 0, 1) == pytest.approx(20.0 + 20.0 + 40.0)
    assert remaining_seconds(begun, [small, large], 0, 2) == pytest.approx(40.0)
    assert remaining_seconds(begun, [other], 0, 1) == pytest.approx(20.0 + 30.0)
    assert remaining_seconds(begun, [], 2, 1) == pytest.approx(20.0 + 2 * 20.0)
    assert remaining_seconds(begun, [small], 0, 1, {large.trial_key}) == pytest.approx(20.0), "one waits in vain"


def make_exported(folder: Path) -> LocalStore:
    store = LocalStore(folder)
    store.write_manifest(make_manifest(CONFIGS))
    train(store, CONFIGS[0], 4, Status.COMPLETE)
    write_tables(*Collector(store, store.manifest("sweep")).tables(), store, "sweep")
    return store


def test_a_report_is_made_once_for_all_who_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, made = make_exported(tmp_path), []

    def make(option: str, sweep: str) -> bytes:
        made.append((option, sweep))
        return b"made"

    monkeypatch.setattr(serving_reports, "_made", make)
    reports = Reports()
    assert [reports.page(store, "runs", "sweep") for _ in range(3)] == [b"made"] * 3
    assert made == [("runs", "sweep")]
    train(store, CONFIGS[1], 4, Status.COMPLETE)
    write_tables(*Collector(store, store.manifest("sweep")).tables(), store, "sweep")
    reports.page(store, "runs", "sweep")
    assert len(made) == 2
    assert store.read("sweep", "report.html") is None


@pytest.mark.faults
def test_a_report_is_made_by_the_command(tmp_path: Path) -> None:
    store = make_exported(tmp_path)
    assert b"<svg" in Reports().page(store, store.location(), "sweep")
    with pytest.raises(UserError, match=r"^no sweep 'sweep' in"):
        Reports().page(store, str(tmp_path / "none"), "sweep")
    assert store.read("sweep", "report.html") is None
