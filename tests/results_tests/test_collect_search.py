"""From the log of a search and the ledgers of its trials to rows."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from results.parquet.collect import Collector
from results.parquet.schema import SEARCH_METADATA
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from results.store.search_log import (
    ConfirmEvent,
    EndEvent,
    Event,
    PromoteEvent,
    ProposalEvent,
    ReportEvent,
    SearchEvent,
    SearchLog,
)
from tests.results_tests.result_samples import make_attempt, make_end, make_manifest, write_trial
from tests.results_tests.searched_stores import EPOCHS, SETTINGS, SWEEP, searched_config, searched_epoch
from trainable.ledger.ledger import Ledger
from trainable.records import Status

CONFIG = searched_config(0.1, 32)
CURVE = [searched_epoch(0.1, 32, epoch) for epoch in range(1, EPOCHS + 1)]
PROPOSED = ProposalEvent(0, {"base_lr": 0.1, "batch_size": 32}, CONFIG, {"base_lr": 0.1})


def reports(num: int, *, stop: bool) -> list[Event]:
    return [ReportEvent(0, epoch, (50.0 - epoch,), stop and epoch == num) for epoch in range(1, num + 1)]


STOPPED = [*reports(3, stop=True), EndEvent(0, Status.STOPPED, (47.0,))]


def append(store: LocalStore, *events: Event) -> None:
    SearchLog(store.search_log(SWEEP)).append(events)


def begun(store: LocalStore, *events: Event) -> Collector:
    """Collects a search with one proposal, of which the log holds these events."""
    append(store, SearchEvent(SETTINGS), PROPOSED, *events)
    return Collector(store, make_manifest([], SWEEP))


def only_row(collector: Collector) -> tuple[dict[str, Any], list[int]]:
    """The row of the one trial, and its epochs."""
    trials, epochs = collector.tables()
    (row,) = trials.to_pylist()
    return row, epochs["epoch"].to_pylist()


def test_a_stopped_trial_ends_where_this_search_stopped_it_though_another_sweep_went_on(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with Ledger(store.trial_folder(CONFIG.trial_key), CONFIG.to_dict()) as ledger:
        for number, records in enumerate((CURVE[:5], CURVE[5:]), start=1):
            ledger.begin(make_attempt(number))
            for record in records:
                ledger.append(dataclasses.replace(record, attempt=number))
        ledger.finish(make_end(Status.COMPLETE, EPOCHS, test_correct_bits="ff"))
    row, epochs = only_row(begun(store, *STOPPED))
    assert epochs == [1, 2, 3]
    assert (row["status"], row["epochs_done"], row["stopped_epoch"]) == ("STOPPED", 3, 3)
    assert (row["objective_values"], row["holdout_error_percent"]) == ([47.0], CURVE[2].holdout_error_percent)
    assert (row["end_time"], row["test_correct_bits"], row["attempts"]) == (None, None, 1)
    assert row["total_seconds"] == sum(record.train_seconds + record.eval_seconds for record in CURVE[:3])


def test_a_stopped_trial_whose_epochs_never_reached_the_store_is_a_row(tmp_path: Path) -> None:
    """The machine died after the stop was logged and before the trial's epochs were copied into the bucket."""
    store = LocalStore(tmp_path)
    with Ledger(store.trial_folder(CONFIG.trial_key), CONFIG.to_dict()) as ledger:
        ledger.begin(make_attempt(1))
    row, epochs = only_row(begun(store, *STOPPED))
    assert (row["status"], row["epochs_done"], row["attempts"], epochs) == ("STOPPED", 0, 1, [])


def test_a_paused_trial_is_incomplete_until_the_search_ends_and_again_once_it_is_promoted(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, CURVE[:3])
    collector = begun(store, *reports(3, stop=True))
    assert only_row(collector)[0]["status"] == "INCOMPLETE"
    append(store, EndEvent(0, Status.STOPPED, (47.0,)))
    row, _ = only_row(collector)
    assert (row["status"], row["stopped_epoch"]) == ("STOPPED", 3)
    append(store, PromoteEvent(0))
    row, _ = only_row(collector)
    assert (row["status"], row["stopped_epoch"], row["objective_values"]) == ("INCOMPLETE", None, None)


@pytest.mark.parametrize("is_read_meanwhile", [True, False])
@pytest.mark.parametrize("last", [5, EPOCHS])
def test_a_promoted_trial_has_its_new_row_once_it_has_ended_again(
    tmp_path: Path, last: int, *, is_read_meanwhile: bool
) -> None:
    """One collector reads a search that ended, grew, and promoted what it had stopped."""
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, CURVE[:3])
    collector = begun(store, *STOPPED)
    assert only_row(collector)[1] == [1, 2, 3]
    append(store, PromoteEvent(0))
    if is_read_meanwhile:
        only_row(collector)
    with Ledger(store.trial_folder(CONFIG.trial_key), CONFIG.to_dict()) as ledger:
        for record in CURVE[3:last]:
            ledger.append(record)
        if last == EPOCHS:
            ledger.finish(make_end(Status.COMPLETE, EPOCHS))
    append(
        store, *(ReportEvent(0, epoch, (50.0 - epoch,), 3 < epoch == last < EPOCHS) for epoch in range(4, last + 1))
    )
    status = Status.COMPLETE if last == EPOCHS else Status.STOPPED
    append(store, EndEvent(0, status, (50.0 - last,)))
    row, epochs = only_row(collector)
    assert (row["status"], row["objective_values"], epochs) == (status, [50.0 - last], [*range(1, last + 1)])


def test_rows_say_their_purpose_and_the_objective(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    confirming = searched_config(0.1, 32, holdout=0.0)
    planned = searched_config(0.5, 32)
    complete = [*reports(9, stop=False), EndEvent(0, Status.COMPLETE, (41.0,))]
    append(store, SearchEvent(SETTINGS), PROPOSED, *complete, ConfirmEvent(0, 0, confirming, {"base_lr": 0.1}))
    for config in (CONFIG, confirming, planned):
        write_trial(store, config, CURVE, make_end(Status.COMPLETE, EPOCHS))
    trials, _ = Collector(store, make_manifest([planned, CONFIG], SWEEP)).tables()
    found = [(row["purpose"], row["proposal"], row["objective_values"]) for row in trials.to_pylist()]
    assert found == [("planned", None, None), ("search", 0, [41.0]), ("confirm", 0, None)]
    assert json.loads(trials.schema.metadata[SEARCH_METADATA.encode()]) == SETTINGS
    assert trials.schema.metadata[b"batchscape.num_planned"] == b"3"
    assert [trial.row.objective_values for trial in trials_from_table(trials)] == [None, (41.0,), None]


def test_what_ended_in_its_ledger_is_read_again_until_the_search_has_ended_it(tmp_path: Path) -> None:
    """A replayed trial is complete in the store before the search has decided anything."""
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, CURVE, make_end(Status.COMPLETE, EPOCHS))
    collector = begun(store)
    assert only_row(collector)[0]["status"] == "COMPLETE"
    append(store, *STOPPED)
    row, epochs = only_row(collector)
    assert (row["status"], row["objective_values"], epochs) == ("STOPPED", [47.0], [1, 2, 3])


def test_a_value_that_is_not_finite_is_null_and_a_diverged_trial_has_none(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, CURVE[:1], make_end(Status.DIVERGED, 1))
    row, _ = only_row(begun(store, ReportEvent(0, 1, (None,), False), EndEvent(0, Status.DIVERGED, None)))
    assert (row["status"], row["objective_values"], row["stopped_epoch"]) == ("DIVERGED", None, None)


def test_what_is_the_same_or_impossible_is_no_row(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, CURVE[:1])
    again = dataclasses.replace(PROPOSED, number=1, same_as=0)
    impossible = ProposalEvent(2, {}, None, {}, error="too large")
    assert only_row(begun(store, again, impossible))[0]["proposal"] == 0


def test_a_sweep_without_a_log_is_no_search(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_trial(store, CONFIG, CURVE[:1])
    trials, _ = Collector(store, make_manifest([CONFIG], SWEEP)).tables()
    assert SEARCH_METADATA.encode() not in trials.schema.metadata
    assert trials["purpose"].to_pylist() == ["planned"]
