"""That the checks of a search which was killed notice what must not be."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kept_search import (
    confirmation_problems,
    folder_problems,
    log_problems,
    row_problems,
    study_problems,
)
from results.store.search_log import SEARCH_LOG, SearchRecord, best, read_log
from search_spaces.schema import ConfirmSpec
from sweep.search.outcomes import OutcomeState
from tests.sweep_tests.driven_searches import LR, HalfStops, drive, open_search, settings
from trainable.records import Purpose, Status

Rows = list[dict[str, Any]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Of a search that is whole: some stopped, one confirmed twice."""
    confirm = ConfirmSpec(top=1, repeats=2)
    search = open_search(tmp_path, settings("random", (LR,), 12, confirm=confirm), scheduler=HalfStops())
    drive(search)
    search.confirmations()
    return tmp_path / SEARCH_LOG


@pytest.fixture
def record(log: Path) -> SearchRecord:
    return read_log(log)


@pytest.fixture
def rows(record: SearchRecord) -> tuple[Rows, Rows]:
    """Of `trials` and `epochs`, as the log has it."""
    trials: Rows = []
    epochs: Rows = []
    for one in record.proposals:
        assert one.config is not None
        key, num = one.config.trial_key, len(one.reports)
        trials.append(
            {
                "trial_key": key,
                "purpose": "search",
                "proposal": one.number,
                "status": one.status,
                "objective_values": list(one.values or ()),
                "stopped_epoch": num if one.status is Status.STOPPED else None,
                "epochs_done": num,
                "epochs": one.config.epochs,
            }
        )
        epochs += [{"trial_key": key, "holdout_error_percent": report.values[0]} for report in one.reports]
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


def states(record: SearchRecord) -> list[OutcomeState]:
    return [
        OutcomeState.PRUNED if one.status is Status.STOPPED else OutcomeState.COMPLETE for one in record.proposals
    ]


def folders(record: SearchRecord) -> list[str]:
    configs = [*(one.config for one in record.proposals), *(one.config for one in record.confirmations)]
    return [config.trial_key for config in configs if config is not None]


def test_a_whole_search_has_no_problems(log: Path, record: SearchRecord, rows: tuple[Rows, Rows]) -> None:
    assert {one.status for one in record.proposals} == {Status.COMPLETE, Status.STOPPED}
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
    stopped = next(one.number for one in record.proposals if one.status is Status.STOPPED)
    for state in (OutcomeState.RUNNING, OutcomeState.COMPLETE):
        told = states(record)
        told[stopped] = state
        assert len(list(study_problems(record, told))) == 1
    assert len(list(study_problems(record, states(record)[:-1]))) == 1


def test_a_trial_too_many_or_too_few_is_noticed(record: SearchRecord) -> None:
    assert list(folder_problems(record, [*folders(record), "stray"])) == ["stray: nobody asked for it"]
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
    record.confirmations[:] = [dataclasses.replace(one, number=second) for one in record.confirmations]
    assert len(list(confirmation_problems(record, trials))) == 2
