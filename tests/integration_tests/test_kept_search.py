"""The checks of a killed search notice what must not be."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from results.store.configurations import best
from results.store.journal import LocalJournal
from results.store.search_log import SEARCH_LOG, SearchRecord, read_log
from search_spaces.schema import ConfirmSpec
from tests.integration_tests.kept_search import (
    confirmation_problems,
    folder_problems,
    log_problems,
    row_problems,
    study_problems,
)
from tests.sweep_tests.driven_searches import LR, HalfStops, drive, open_search, settings
from trainable.records import Purpose, Status

Rows = list[dict[str, Any]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a whole search: some proposals were stopped early, one is confirmed twice."""
    confirm = ConfirmSpec(top=1, repeats=2)
    search = open_search(tmp_path, settings("random", (LR,), 12, confirm=confirm), scheduler=HalfStops())
    drive(search)
    search.confirmations()
    return tmp_path / SEARCH_LOG


@pytest.fixture
def record(log: Path) -> SearchRecord:
    return read_log(LocalJournal(log))


@pytest.fixture
def rows(record: SearchRecord) -> tuple[Rows, Rows]:
    """The rows of `trials` and `epochs` that agree with the log."""
    trials: Rows = []
    epochs: Rows = []
    for proposal in record.proposals:
        assert proposal.config is not None
        key, num = proposal.config.trial_key, len(proposal.reports)
        trials.append(
            {
                "trial_key": key,
                "purpose": "search",
                "proposal": proposal.number,
                "status": proposal.status,
                "objective_values": list(proposal.values or ()),
                "stopped_epoch": num if proposal.status is Status.STOPPED else None,
                "epochs_done": num,
                "epochs": proposal.config.epochs,
            }
        )
        epochs += [{"trial_key": key, "holdout_error_percent": report.values[0]} for report in proposal.reports]
    for done in record.confirmations:
        trials.append(
            {
                "trial_key": done.config.trial_key,
                "purpose": Purpose.CONFIRM.value,
                "proposal": done.number,
                "repeat": done.repeat,
                "status": "COMPLETE",
                "holdout": 0.0,
                "epochs_done": done.config.epochs,
                "epochs": done.config.epochs,
            }
        )
    return trials, epochs


def states(record: SearchRecord) -> list[TrialState]:
    return [
        TrialState.PRUNED if proposal.status is Status.STOPPED else TrialState.COMPLETE
        for proposal in record.proposals
    ]


def folders(record: SearchRecord) -> list[str]:
    configs = [*(found.config for found in record.proposals), *(found.config for found in record.confirmations)]
    return [config.trial_key for config in configs if config is not None]


def test_a_whole_search_has_no_problems(log: Path, record: SearchRecord, rows: tuple[Rows, Rows]) -> None:
    assert {proposal.status for proposal in record.proposals} == {Status.COMPLETE, Status.STOPPED}
    assert list(log_problems(log.read_bytes().splitlines())) == []
    assert list(study_problems(record, states(record))) == []
    assert list(folder_problems(record, folders(record))) == []
    assert list(row_problems(record, *rows)) == []
    assert list(confirmation_problems(record, rows[0])) == []


def test_a_log_with_a_hole_or_a_second_end_is_noticed(log: Path) -> None:
    lines = log.read_bytes().splitlines()
    of = {kind: [line for line in lines if json.loads(line)["event"] == kind] for kind in ("proposal", "end")}
    assert len(list(log_problems([line for line in lines if line != of["proposal"][3]]))) == 1
    assert [*log_problems([line for line in lines if line != of["end"][3]])] == ["proposal 3 ended 0 times"]
    assert [*log_problems([*lines, of["end"][3]])] == ["proposal 3 ended 2 times"]


def test_a_study_that_knows_something_else_is_noticed(record: SearchRecord) -> None:
    stopped = next(found.number for found in record.proposals if found.status is Status.STOPPED)
    for state in (TrialState.RUNNING, TrialState.COMPLETE):
        told = states(record)
        told[stopped] = state
        assert len(list(study_problems(record, told))) == 1
    assert len(list(study_problems(record, states(record)[:-1]))) == 1


def test_a_trial_too_many_or_too_few_is_noticed(record: SearchRecord) -> None:
    assert list(folder_problems(record, [*folders(record), "stray"])) == ["stray: was not asked for"]
    assert len(list(folder_problems(record, folders(record)[1:]))) == 1


@pytest.mark.parametrize(
    "change",
    [{"status": "FAILED"}, {"objective_values": [1.0]}, {"stopped_epoch": 9}, {"epochs_done": 9}, {"proposal": 99}],
    ids=str,
)
def test_a_row_that_says_something_else_is_noticed(
    record: SearchRecord, rows: tuple[Rows, Rows], change: dict[str, Any]
) -> None:
    trials, epochs = rows
    trials[0] |= change
    assert len(list(row_problems(record, trials, epochs))) >= 1


def test_an_epoch_that_is_missing_twice_or_other_is_noticed(record: SearchRecord, rows: tuple[Rows, Rows]) -> None:
    trials, epochs = rows
    other = [{**epochs[0], "holdout_error_percent": epochs[0]["holdout_error_percent"] + 1e-12}, *epochs[1:]]
    for changed in (epochs[1:], [epochs[0], *epochs], other):
        assert len(list(row_problems(record, trials, changed))) == 1


def test_a_confirmation_of_another_or_made_twice_or_not_to_the_end_is_noticed(
    record: SearchRecord, rows: tuple[Rows, Rows]
) -> None:
    trials = rows[0]
    confirmed = [row for row in trials if row["purpose"] == Purpose.CONFIRM]
    assert len(list(confirmation_problems(record, trials[:-1]))) == 1
    assert len(list(confirmation_problems(record, [*trials, confirmed[0]]))) == 1
    confirmed[0]["status"] = "INCOMPLETE"
    assert len(list(confirmation_problems(record, trials))) == 1
    second = best(record)[1].number
    record.confirmations[:] = [
        dataclasses.replace(confirmation, number=second) for confirmation in record.confirmations
    ]
    assert len(list(confirmation_problems(record, trials))) == 2
