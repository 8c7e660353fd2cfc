"""Superseded trainings stay as rows, and nothing that is shown counts them."""

from pathlib import Path

import pytest

import tune_main
from results.parquet.collect import Collector
from results.parquet.files import export_tables, read_trials, write_tables
from results.parquet.trials import epochs_from_table, epochs_of_trainings, trials_from_table
from results.store.local_store import LocalStore
from sweep.plan.counts import plan_counts
from sweep.status.status import sweep_status
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_end, make_epoch, make_manifest, write_trial
from trainable.errors import UserError
from trainable.ledger.files import LOCK
from trainable.ledger.locks import exclusive_lock
from trainable.records import Status

A, B, C = (make_config(epochs=1, lr=lr) for lr in (0.1, 0.2, 0.3))
MANIFEST = make_manifest([A, B])


def train(store: LocalStore, test_error: float) -> None:
    """Train both trials, which may belong to any sweep."""
    for config in (A, B):
        write_trial(store, config, [make_epoch(1, test_error + config.lr)], make_end(Status.COMPLETE, 1))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store in which both trials were trained three times: 30 %, 20 %, and now 10 %."""
    store = LocalStore(tmp_path / "store")
    for error in (30.0, 20.0):
        train(store, error)
        assert store.supersede(MANIFEST) == 2
    train(store, 10.0)
    return store


def test_every_generation_is_a_row_and_the_newest_is_not_superseded(store: LocalStore) -> None:
    trials, epochs = Collector(store, MANIFEST).tables()
    assert trials["trial_key"].to_pylist() == [A.trial_key] * 3 + [B.trial_key] * 3
    assert trials["generation"].to_pylist() == [1, 2, 3] * 2
    assert trials["superseded"].to_pylist() == [True, True, False] * 2
    assert trials["test_error_percent"].to_pylist() == [30.1, 20.1, 10.1, 30.2, 20.2, 10.2]
    assert epochs["superseded"].to_pylist() == [True, True, False] * 2
    assert epochs["generation"].to_pylist() == [1, 2, 3] * 2


def test_the_readers_of_the_tables_leave_them_out(store: LocalStore) -> None:
    trials, epochs = Collector(store, MANIFEST).tables()
    assert [trial.row.test_error_percent for trial in trials_from_table(trials)] == [10.1, 10.2]
    assert {
        key: [record.test_error_percent for record in records] for key, records in epochs_from_table(epochs).items()
    } == {
        A.trial_key: [10.1],
        B.trial_key: [10.2],
    }


def test_superseded_trainings_are_read_on_request(store: LocalStore) -> None:
    trials, epochs = Collector(store, MANIFEST).tables()
    assert len(trials_from_table(trials, with_superseded=True)) == 6
    assert [records[0].test_error_percent for records in epochs_of_trainings(epochs).values()] == [
        30.1,
        20.1,
        10.1,
        30.2,
        20.2,
        10.2,
    ]


def test_a_sweep_that_shares_a_trial_sees_the_same(store: LocalStore) -> None:
    trials, _ = Collector(store, make_manifest([B, C], "other")).tables()
    assert trials["test_error_percent"].to_pylist() == [30.2, 20.2, 10.2]
    assert trials["superseded"].to_pylist() == [True, True, False]


def test_a_collector_that_has_read_the_old_result_sees_the_new_one(store: LocalStore) -> None:
    collector = Collector(store, make_manifest([B, C], "other"))
    collector.tables()
    store.supersede(MANIFEST)
    between, _ = collector.tables()
    assert between["superseded"].to_pylist() == [True, True, True]
    train(store, 5.0)
    after, _ = collector.tables()
    assert after["test_error_percent"].to_pylist() == [30.2, 20.2, 10.2, 5.2]
    assert after["superseded"].to_pylist() == [True, True, True, False]


def test_what_has_no_end_is_not_put_aside(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, A, [make_epoch(1, 9.0)], make_end(Status.COMPLETE, 1))
    write_trial(store, B, [make_epoch(1, 9.0)], None)
    assert store.supersede(make_manifest([A, B, C])) == 1
    assert store.supersede(make_manifest([A, B, C])) == 0
    assert sweep_status(store, make_manifest([A, B, C])).epochs_done == 1


def test_nothing_is_put_aside_while_one_of_the_trials_is_trained(store: LocalStore) -> None:
    with (
        exclusive_lock(store.trial_folder(B.trial_key) / LOCK),
        pytest.raises(UserError, match=rf"1 of these trials \({B.trial_key}, \.\.\.\) .* trained now"),
    ):
        store.supersede(MANIFEST)
    assert store.supersede(MANIFEST) == 2


def test_status_and_plan_count_the_newest_only(store: LocalStore) -> None:
    assert sweep_status(store, MANIFEST).done == 2
    plain = [make_config(epochs=1, lr=config.lr, dataset_fingerprint="") for config in (A, B)]
    assert plan_counts(store, plain, (1442, 355)).done == 2
    store.supersede(MANIFEST)
    assert sweep_status(store, MANIFEST).done == 0
    assert plan_counts(store, plain, (1442, 355)).left == 2


def test_table_and_report_show_the_newest_only(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    with store.driving(MANIFEST):
        write_tables(*Collector(store, MANIFEST).tables(), store, "sweep")
    for command in (["table", "sweep"], ["report", "sweep"], ["lint", "sweep"], ["export", "sweep"]):
        assert tune_main.main([*command, "--store", str(store.path)]) == 0
    output = capsys.readouterr().out
    assert "10.10" in output
    assert "20.10" not in output
    assert "(median of" not in output  # trained three times, and yet one run
    assert "6 trials (4 of them superseded) and 6 epochs written" in output
    report = (store.sweep_folder("sweep") / "report.md").read_text()
    assert "10.10" in report
    assert "20.10" not in report
    assert "2 planned: 2 complete" in report


def test_a_file_of_an_earlier_version_says_how_to_write_it_again(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.sweep_folder("sweep")
    with store.driving(MANIFEST):
        trials, epochs = Collector(store, MANIFEST).tables()
        write_tables(trials.drop_columns(["superseded", "generation"]), epochs, store, "sweep")
    message = refused(["table", "sweep", "--store", str(store.path)], capsys)
    assert "lacks columns of this version: `python tune_main.py export sweep" in message
    export_tables(trials, epochs, str(folder))
    assert len(read_trials(store, "sweep")) == 6
