"""One driver a sweep; a dead one is no obstacle."""

import dataclasses
import errno
import fcntl
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import tune_main
from results.store.holder import holder_from_json, holder_to_json, this_process
from results.store.local_store import LocalStore
from sweep.deletion import deletion_of
from sweep.status.listing import summaries
from sweep.status.status import status_page, sweep_status
from tests.other_process import driven, locked
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_epoch, make_manifest, write_trial
from trainable.errors import UserError
from trainable.ledger.locks import CannotLockError

MANIFEST = make_manifest([make_config()])


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "sweep").mkdir()
    return LocalStore(tmp_path)


@pytest.fixture
def other_driver(store: LocalStore) -> Iterator[subprocess.Popen[str]]:
    """A living process that drives the sweep."""
    with driven(store.path / "sweep") as process:
        yield process


def test_a_second_driver_is_refused(store: LocalStore, other_driver: subprocess.Popen[str]) -> None:
    assert store.is_running("sweep")
    with pytest.raises(UserError, match=r"another process is running the sweep 'sweep'"), store.driving(MANIFEST):
        pytest.fail("two drivers at a time")
    assert store.find_manifest("sweep") is None


def test_another_sweep_is_not_touched_by_the_lock(store: LocalStore, other_driver: subprocess.Popen[str]) -> None:
    assert not store.is_running("other")
    with store.driving(make_manifest([make_config()], "other")):
        assert store.is_running("other")


def test_a_killed_driver_leaves_no_lock(store: LocalStore, other_driver: subprocess.Popen[str]) -> None:
    other_driver.kill()
    other_driver.wait()
    assert (store.path / "sweep" / "lock.json").exists()
    assert not store.is_running("sweep")
    with store.driving(MANIFEST):
        assert store.manifest("sweep") == MANIFEST


def test_the_lock_is_free_after_the_drive_and_after_an_error(store: LocalStore) -> None:
    with pytest.raises(RuntimeError, match="broke"), store.driving(MANIFEST):
        assert store.is_running("sweep")
        raise RuntimeError("broke")
    assert not store.is_running("sweep")


def test_a_sweep_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep").write_text("a file in the way")
    with pytest.raises(UserError), LocalStore(tmp_path).driving(MANIFEST):
        pytest.fail("drove into a file")


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path)
    with store.driving(MANIFEST):
        pass

    def cannot(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", cannot)
    assert tune_main.main(["status", "sweep", "--store", str(tmp_path)]) == 0
    assert "0 of 1" in capsys.readouterr().out
    for arguments in (["run", "quickstart"], ["run", "quickstart", "--name", "sweep"], ["train", "resnet_preact_8"]):
        message = refused([*arguments, "--store", str(tmp_path)], capsys)
        assert f"cannot lock files in {tmp_path} (No locks available)" in message
    with pytest.raises(CannotLockError), store.driving(MANIFEST):
        pytest.fail("drove without a lock")


def test_looking_is_in_no_drivers_way(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.store.local_store.LOCK_SECONDS", 0.0)
    over, flock = threading.Event(), fcntl.flock

    def interrupted_flock(file: IO[bytes], operation: int) -> None:
        flock(file, operation)
        if operation & fcntl.LOCK_SH:
            time.sleep(0.05)

    def look() -> None:
        while not over.is_set():
            store.is_running("sweep")

    monkeypatch.setattr("fcntl.flock", interrupted_flock)
    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(20):
            with store.driving(MANIFEST):
                assert store.is_running("sweep")
    finally:
        over.set()
        looker.join()


def test_looking_takes_no_lock(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_trial(store, MANIFEST.trials[0].config, [make_epoch(1, 10.0)], None)
    with store.driving(MANIFEST):
        monkeypatch.setattr("fcntl.flock", lambda *arguments: pytest.fail("locked"))
        assert status_page(store, sweep_status(store, MANIFEST)).startswith("sweep: running now (since 20")
        assert [summary.state for summary in summaries(store)] == ["running"]
        with pytest.raises(UserError, match="a process is running the sweep"):
            deletion_of(store, "sweep")


def test_a_process_that_lets_go_at_once_is_waited_for(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.store.local_store.LOCK_SECONDS", 30.0)
    with locked(store.path / "sweep" / "lock") as process:
        assert not store.is_running("sweep")
        timer = threading.Timer(0.1, process.kill)
        timer.start()
        with store.driving(MANIFEST):
            assert store.is_running("sweep")
        timer.join()


def test_a_stranger_that_holds_the_lock_is_named(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.store.local_store.LOCK_SECONDS", 0.0)
    lock = store.path / "sweep" / "lock"
    lock.touch()
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # flock -s
        words = f"another process ({os.getpid()}) holds {lock}, but no driver is known to run the sweep 'sweep': "
        with pytest.raises(UserError, match=re.escape(words)), store.driving(MANIFEST):
            pytest.fail("drove without the lock")
        store.check_no_driver("sweep")


def test_a_driver_that_died_in_another_container_does_not_hold_the_sweep(store: LocalStore) -> None:
    record = holder_to_json(dataclasses.replace(this_process("theirs", since=""), machine="another"))
    (store.path / "sweep" / "lock.json").write_bytes(record)
    assert store.is_running("sweep")
    store.check_no_driver("sweep")
    with store.driving(MANIFEST):
        with pytest.raises(UserError, match="another process is running"):
            store.check_no_driver("sweep")
        assert store.driver("sweep") != holder_from_json(record)
