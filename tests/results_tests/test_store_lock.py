"""One driver a sweep; a dead one is no obstacle."""

import errno
import fcntl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tune_main
from results.store.local_store import LocalStore
from tests.other_process import locked
from tests.refusals import refused
from tests.results_tests.result_samples import make_config, make_manifest
from trainable.errors import UserError
from trainable.ledger.locks import CannotLockError

MANIFEST = make_manifest([make_config()])


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "sweep").mkdir()
    return LocalStore(tmp_path)


@pytest.fixture
def other_driver(store: LocalStore) -> Iterator[subprocess.Popen[str]]:
    """A living process that holds the sweep's lock."""
    with locked(store.path / "sweep" / "lock") as process:
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
    assert (store.path / "sweep" / "lock").exists()
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
