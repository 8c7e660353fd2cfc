"""The identity of a store in a folder: one that goes away while it is used is not made again."""

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.driver.callbacks import ObserverCallback
from sweep.driver.stop_request import StopRequest
from sweep.observers.observer import Observer
from tests.results_tests.result_samples import make_config, make_manifest
from trainable.errors import UserError
from trainable.ledger.identity import IDENTITY, make_identity, read_identity
from trainable.ledger.remote_ledger import open_ledger
from trainable.records import Progress, Status
from trainable.session import RunInfo, record_failure
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import TRIAL_KEY, report

CONFIG = make_config()
MANIFEST = make_manifest([CONFIG])
RUN = RunInfo("run", 1, "")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_the_first_driver_makes_it_and_it_stays(store: LocalStore, tmp_path: Path) -> None:
    assert read_identity(store.path) is None
    with store.driving(MANIFEST):
        store_id = store.store_id
        assert store_id is not None
        assert read_identity(store.path) == store_id
    shutil.move(store.path, tmp_path / "moved")
    moved = LocalStore(tmp_path / "moved")
    (moved.path / f".{IDENTITY}.0123456789abcdef").touch()  # of a process that was killed
    with moved.driving(MANIFEST):
        assert moved.store_id == store_id
    assert list(moved.path.glob(".*")) == []


def test_no_two_stores_have_the_same(tmp_path: Path) -> None:
    assert make_identity(tmp_path) == make_identity(tmp_path)
    (tmp_path / "other").mkdir()
    assert make_identity(tmp_path / "other") != make_identity(tmp_path)


def test_first_drivers_that_start_together_agree(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(make_identity, [folder] * 8))) == 1
        assert [path.name for path in folder.iterdir()] == [IDENTITY]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"store_id": 1}', b"\xff"])
def test_a_damaged_one_is_made_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / IDENTITY).write_bytes(content)
    assert read_identity(tmp_path) is None
    assert make_identity(tmp_path) == read_identity(tmp_path)


def test_a_file_system_without_hard_links_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", no_links)
    assert make_identity(tmp_path) == read_identity(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [IDENTITY]


@pytest.mark.parametrize("another_came", [False, True])
def test_a_store_that_goes_away_is_not_made_again(store: LocalStore, tmp_path: Path, another_came: bool) -> None:
    with store.driving(MANIFEST):
        run = dataclasses.replace(RUN, store_id=store.store_id)
        shutil.move(store.path, tmp_path / "moved")
        if another_came:
            with LocalStore(store.path).driving(make_manifest([CONFIG], "other")):
                pass
        before = sorted(tmp_path.rglob("*"))
        gone = rf"the store has gone: it was moved, unmounted or deleted \({store.path}\)"
        with pytest.raises(UserError, match=gone):
            store.check_present()
        with pytest.raises(UserError, match=gone):
            store.write("sweep", "metrics.prom", b"")
        with pytest.raises(UserError, match=gone):
            store.journal("sweep", "runs.jsonl").append(b"{}\n")
        with pytest.raises(OSError, match="the store has gone: it was moved, unmounted or deleted"):
            open_ledger(store.ledgers / CONFIG.trial_key, CONFIG.to_dict(), store.store_id)
        assert not record_failure(store.ledgers / CONFIG.trial_key, CONFIG, run, "it failed")
        assert sorted(tmp_path.rglob("*")) == before


def test_a_store_that_goes_just_after_the_check_is_not_made_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.driving(MANIFEST):
        shutil.move(store.path, tmp_path / "moved")
        monkeypatch.setattr("trainable.ledger.ledger.check_identity", lambda folder, store_id: None)
        monkeypatch.setattr(LocalStore, "check_present", lambda self: None)
        with pytest.raises(FileNotFoundError):
            open_ledger(store.ledgers / CONFIG.trial_key, CONFIG.to_dict(), store.store_id)
        with pytest.raises(FileNotFoundError):
            store.write("sweep", "metrics.prom", b"")
        assert not store.path.exists()


def test_a_trial_of_a_driven_store_can_be_opened(store: LocalStore) -> None:
    with store.driving(MANIFEST):
        open_ledger(store.ledgers / CONFIG.trial_key, CONFIG.to_dict(), store.store_id).close()
    assert store.trial_names() == [CONFIG.trial_key]


def test_the_run_ends_and_no_trial_is_said_to_have_failed(store: LocalStore, tmp_path: Path) -> None:
    seen: list[Status] = []

    class Watcher(Observer):
        def on_progress(self, trial_key: str, progress: Progress) -> None:
            seen.append(progress.status)

    class Told:
        config = {TRIAL_KEY: CONFIG.trial_key}  # noqa: RUF012 (Tune's trials have it as an attribute)

    failed = report(Progress(None, Status.FAILED, replayed=False, error="the store has gone"))
    with store.driving(MANIFEST):
        callback = ObserverCallback(
            [Watcher()], TrialSetup({}, store.ledgers, RUN, ""), store, StopRequest(), steps=None
        )
        callback.on_trial_result(0, [], Told(), failed)
        callback.on_step_end(0, [])
        assert seen == [Status.FAILED]
        shutil.move(store.path, tmp_path / "moved")
        callback.on_trial_result(1, [], Told(), failed)
        assert seen == [Status.FAILED]
        with pytest.raises(UserError, match="the store has gone"):
            callback.on_step_end(1, [])
