"""An ended trial is put aside whole, under its lock; nothing else is."""

import fcntl
from pathlib import Path

import pytest

from trainable.config import TrainConfig
from trainable.ledger.files import LOCK
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import LedgerBusyError, exclusive_lock
from trainable.ledger.reading import read_trial
from trainable.ledger.superseded import supersede, superseded_trials
from trainable.records import Status, TrialEnd

CONFIGURATION = {"lr": 0.1}
KEY = TrainConfig.from_dict(CONFIGURATION).trial_key


def write(folder: Path, status: Status | None = Status.COMPLETE) -> None:
    with Ledger(folder, CONFIGURATION) as trial:
        if status is not None:
            trial.finish(TrialEnd(status, 0, "2026-01-01T00:00:00+00:00", "run"))


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.STOPPED, Status.DIVERGED])
def test_what_has_ended_is_moved_whole(tmp_path: Path, status: Status) -> None:
    folder = tmp_path / KEY
    write(folder, status)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert supersede(folder, 1)
    assert not folder.exists()
    (moved,) = tmp_path.iterdir()
    assert moved.name == f"{KEY}.superseded-1"
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == before


@pytest.mark.parametrize("status", [Status.FAILED, None])
def test_what_has_not_ended_stays(tmp_path: Path, status: Status | None) -> None:
    folder = tmp_path / KEY
    write(folder, status)
    before = read_trial(folder)
    assert not supersede(folder, 1)
    assert read_trial(folder) == before


def test_what_was_never_begun_makes_no_folder(tmp_path: Path) -> None:
    assert not supersede(tmp_path / KEY, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_that_somebody_works_on_is_refused(tmp_path: Path) -> None:
    write(tmp_path / KEY)
    with exclusive_lock(tmp_path / KEY / LOCK), pytest.raises(LedgerBusyError):
        supersede(tmp_path / KEY, 1)
    assert (tmp_path / KEY).exists()


def test_generations_are_found_by_number_oldest_first(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write(tmp_path / KEY)
        supersede(tmp_path / KEY, number)
    write(tmp_path / KEY, Status.STOPPED)
    (tmp_path / f"{KEY}.superseded-x").mkdir()
    folders = {number: tmp_path / f"{KEY}.superseded-{number}" for number in (1, 2, 10)}
    assert superseded_trials(tmp_path) == {KEY: folders}
    assert list(superseded_trials(tmp_path)[KEY]) == [1, 2, 10]
    assert superseded_trials(tmp_path / "missing") == {}


def test_a_lock_whose_folder_is_moved_away_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that opened the lock file just before the move must not write beside the new training."""
    folder = tmp_path / KEY
    write(folder)
    lock = fcntl.flock

    def move_first(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        assert supersede(folder, 1)
        write(folder, None)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", move_first)
    with pytest.raises(LedgerBusyError):
        Ledger(folder, CONFIGURATION)
    with Ledger(folder, CONFIGURATION) as trial:
        assert trial.end is None
