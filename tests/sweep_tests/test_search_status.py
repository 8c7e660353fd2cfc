"""What is told of a search from its log."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from results.store.configurations import best
from results.store.local_store import LocalStore
from results.store.search_log import (
    EndEvent,
    Event,
    OverEvent,
    ProposalEvent,
    ReportEvent,
    SearchEvent,
    SearchLog,
    SearchRecord,
    read_log,
)
from results.store.search_progress import num_to_come
from results.store.search_settings import Scalar, trained_params
from sweep.status.search_words import best_words, end_notes, front_words, lower_lr_words, search_heading
from sweep.status.status import front_lines, status_text, sweep_status
from sweep.status.watch import Look, line_of
from sweep.trial_label import describe
from tests.results_tests.result_samples import make_manifest, write_trial
from tests.results_tests.searched_stores import SETTINGS, SWEEP, searched_config, searched_epoch, write_search
from tests.search_spaces_tests.search_samples import maker_of
from trainable.records import Status

OVER = "10 proposals gave 1 different configuration, 24 asked for"


def searched(*events: Event, **changes: Any) -> SearchRecord:  # noqa: ANN401 (plain JSON)
    record = SearchRecord()
    for event in (SearchEvent({**SETTINGS, **changes}), *events):
        record.apply(event)
    return record


def proposal(number: int, base_lr: float = 0.1, *, error: str | None = None) -> ProposalEvent:
    config = None if error else searched_config(base_lr, 32, seed=number)
    return ProposalEvent(number, {"base_lr": base_lr, "batch_size": 32}, config, {}, error=error)


def test_a_search_that_has_ended_early_wants_no_more() -> None:
    record = searched(proposal(0))
    assert search_heading("wide", "digits", record) == (
        "wide: a search of 24 trials on digits, 0 done, 1 to resume, 23 to propose"
    )
    assert num_to_come(record) == 23 + 2 * 3
    record.apply(OverEvent(OVER))
    assert search_heading("wide", "digits", record) == (
        "wide: a search of 1 trial on digits, 0 done, 1 to resume, 0 to propose"
    )
    assert num_to_come(record) == 1 * 3  # however many are asked for
    record.apply(EndEvent(0, Status.COMPLETE, (5.0,)))
    assert num_to_come(record) == 1 * 3
    record.apply(SearchEvent({**SETTINGS, "num_trials": 30}))
    assert num_to_come(record) == 29 + 2 * 3


def test_the_reason_of_the_end_and_of_what_was_impossible() -> None:
    assert end_notes(searched(proposal(0))) == []
    record = searched(proposal(0), proposal(1, error="first"), proposal(2, error="too large"))
    assert end_notes(record) == ["2 of 3 proposals were impossible, the last: too large"]
    assert end_notes(searched(proposal(0, error="no"), OverEvent(OVER))) == [
        OVER,
        "1 of 1 proposal was impossible, the last: no",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "lower lr in defaults"),
        ({"trial": {"derive": {"lr": "base_lr * batch_size / 128"}}}, "lower the range of base_lr (0.01 to 3.2)"),
        (
            {"trial": {"derive": {"lr": "1"}, "scale": {"derive": {"lr": "0.1 * batch_size"}}}},
            "lower the range of batch_size (32 to 128)",
        ),
        ({"trial": {"derive": {"lr": "base_lr"}, "set": {"lr": 4}}}, "lower --set lr"),
        ({"parameters": {"lr": {"kind": "categorical", "choices": [0.5, 4, 2]}}}, "lower the range of lr (0.5 to 4)"),
        ({"parameters": {"schedule": {"kind": "categorical", "choices": ["cosine"]}}}, "lower lr in defaults"),
    ],
)
def test_which_range_is_to_be_lowered_where_all_diverged(changes: dict[str, Any], words: str) -> None:
    assert lower_lr_words(searched(**changes)) == f"{words}, under another --name"


def test_a_search_without_a_log_has_not_failed_to_train_anything(tmp_path: Path) -> None:
    """The driver was killed before the search had begun."""
    status = sweep_status(LocalStore(tmp_path), dataclasses.replace(make_manifest([], SWEEP), is_search=True))
    assert (status.planned, status.notes, status.nothing_trained) == (0, [], False)


def test_the_front_is_reported_briefly(tmp_path: Path) -> None:
    store = write_search(tmp_path, two_objectives=True)
    record = read_log(store.search_log(SWEEP))
    told = front_words(record)
    assert best_words(record) is None
    assert len(told) == len(best(record)) > 1
    first = best(record)[0]
    assert first.values is not None
    assert told[0].startswith(f"#{first.number}: holdout error {first.values[0]:.4g} %, training time ")
    assert told[0].endswith(f" (base_lr={first.params['base_lr']:.4g} batch_size={first.params['batch_size']})")
    status = sweep_status(store, dataclasses.replace(make_manifest([], SWEEP), is_search=True))
    assert status.front == told
    assert f"  front    {told[1]}" in status_text(status)
    assert front_lines([str(number) for number in range(7)]) == ["0", "1", "2", "3", "4", "and 2 more"]
    assert front_lines(["0"] * 5) == ["0"] * 5


def test_with_one_objective_there_is_a_best_and_no_front(tmp_path: Path) -> None:
    record = read_log(write_search(tmp_path).search_log(SWEEP))
    first = best(record)[0]
    assert first.values is not None
    assert first.values[0] is not None
    params = f"base_lr={first.params['base_lr']:.4g} batch_size={first.params['batch_size']}"
    assert best_words(record) == f"{params}: holdout error {first.values[0]:.4g} %"
    record.settings = {**record.settings, "trial": {"scale": {"set": {"epochs": 2}, "derive": {}}}}
    assert best_words(record) == f"{params} (full size): holdout error {first.values[0]:.4g} %"
    assert front_words(record) == []


def test_the_best_is_told_with_the_values_that_it_was_trained_with(tmp_path: Path) -> None:
    """The trial's own line, the table and the figures have the same; the log keeps what the sampler proposed."""
    text = """
        search: {algorithm: random, num_trials: 4}
        defaults: {model: resnet_8, dataset: digits, epochs: 4, batch_size: 30}
        parameters:
          flavour: {rows: [{lr: 0.1}, {lr: 0.2}]}
          optimizer: {values: [sgd, adamw]}
          momentum: {min: 0.8, max: 0.95}
          ghost_batch_size: {values: [10, 30]}
          label_smoothing: {values: [0.0, 0.1]}
        """
    given: dict[str, Scalar] = {
        "flavour": "lr=0.2",
        "optimizer": "adamw",
        "momentum": 0.9,
        "ghost_batch_size": 30,
        "label_smoothing": 0.0,
    }
    maker = maker_of(tmp_path, text)
    trial = maker.trial(given)
    record = searched(
        ProposalEvent(0, given, trial.config, trial.variables),
        EndEvent(0, Status.COMPLETE, (5.0,)),
        parameters={name: {} for name in given},
    )
    assert record.proposals[0].params == given
    line = describe(trial.config, [parameter.name for parameter in maker.parameters], trial.variables)
    assert line == "flavour=lr=0.2 optimizer=adamw momentum=0 label_smoothing=0"
    assert best_words(record) == f"{line}: holdout error 5 %"
    assert trained_params(given, trial.config, trial.variables) == {
        **given,
        "momentum": 0.0,
        "ghost_batch_size": None,
        "label_smoothing": None,
    }


def test_paused_trials_are_counted_by_themselves(tmp_path: Path) -> None:
    paused: list[Event] = [proposal(0), ReportEvent(0, 1, (50.0,), stop=True)]
    record = searched(*paused, proposal(1))
    assert search_heading("wide", "digits", record) == (
        "wide: a search of 24 trials on digits, 0 done, 1 to resume, 1 paused, 22 to propose"
    )
    store = LocalStore(tmp_path)
    SearchLog(store.search_log(SWEEP)).append([SearchEvent(SETTINGS), *paused])
    config = searched_config(0.1, 32, seed=0)
    write_trial(store, config, [searched_epoch(0.1, 32, 1)], None, SWEEP)
    status = sweep_status(store, make_manifest([], SWEEP))
    assert (status.paused, status.interrupted, status.epochs_done, status.epochs_planned) == (1, 0, 1, 1)
    assert f"  left     {status.left} (1 paused)\n" in status_text(status)
    assert ", 1 paused, 1 epoch" in line_of(Look(status, None))
    assert "  epochs   1\n" in status_text(status)


def test_a_paused_trial_of_a_running_sweep_is_not_counted_as_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = LocalStore(tmp_path), [searched_config(base_lr, 32, seed=0).trial_key for base_lr in (0.1, 0.2)]
    paused: list[Event] = [proposal(0), ReportEvent(0, 1, (50.0,), stop=True), proposal(1, 0.2)]
    SearchLog(store.search_log(SWEEP)).append([SearchEvent(SETTINGS), *paused])
    for base_lr in (0.1, 0.2):
        write_trial(store, searched_config(base_lr, 32, seed=0), [searched_epoch(base_lr, 32, 1)], None, SWEEP)
    monkeypatch.setattr(LocalStore, "at_work", lambda *_: {*keys})
    status = sweep_status(store, make_manifest([], SWEEP))
    assert (status.running, status.paused, status.at_work) == (1, 1, frozenset(keys[1:]))


def test_epochs_that_another_sweep_trained_after_the_stop_are_not_counted(tmp_path: Path) -> None:
    store, config = LocalStore(tmp_path), searched_config(0.1, 32, seed=0)
    stopped: list[Event] = [ReportEvent(0, 1, (50.0,), stop=True), EndEvent(0, Status.STOPPED, (50.0,))]
    SearchLog(store.search_log(SWEEP)).append([SearchEvent(SETTINGS), proposal(0), *stopped])
    write_trial(store, config, [searched_epoch(0.1, 32, epoch) for epoch in (1, 2, 3)], None, "another")
    status = sweep_status(store, make_manifest([], SWEEP))
    assert (status.stopped, status.epochs_done, status.epochs_planned) == (1, 1, 1)
