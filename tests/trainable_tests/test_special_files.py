"""Links and pipes where our files are expected: nothing is written through them, and nothing waits for them."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainable.data.shards import check_shards
from trainable.errors import UserError
from trainable.ledger.files import EPOCHS, LOCK, RESULT, open_regular, remove_scratch, write_atomically
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import exclusive_lock, is_locked
from trainable.ledger.superseded import supersede

Put = Callable[[Path], None]


@pytest.fixture(autouse=True)
def impatience() -> Iterator[None]:
    """End a test that waits for a pipe."""
    signal.alarm(30)
    yield
    signal.alarm(0)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("mine")
    return tmp_path / "outside"


@pytest.fixture(params=["link", "pipe"])
def put(request: pytest.FixtureRequest, outside: Path) -> Put:
    """Puts a link to `outside`, or a pipe, somewhere."""
    return (lambda path: path.symlink_to(outside)) if request.param == "link" else os.mkfifo


def test_no_lock_is_taken_through_it(tmp_path: Path, put: Put, outside: Path) -> None:
    put(tmp_path / LOCK)
    assert not is_locked(tmp_path / LOCK)
    with pytest.raises(OSError, match=r"lock is (a symbolic link|neither a file)"), exclusive_lock(tmp_path / LOCK):
        pytest.fail("locked")
    with exclusive_lock(outside):
        assert not is_locked(tmp_path / LOCK)


@pytest.mark.parametrize("name", [EPOCHS, LOCK, "log-1.txt", "tensorboard/events.out.tfevents.1"])
def test_a_ledger_that_holds_it_is_refused(tmp_path: Path, put: Put, outside: Path, name: str) -> None:
    path = tmp_path / "trial" / name
    path.parent.mkdir(parents=True)
    put(path)
    with pytest.raises(OSError, match=rf"{path.name} is (a symbolic link|neither a file nor a folder)"):
        Ledger(tmp_path / "trial", {})
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL])
def test_it_is_not_opened_even_if_it_comes_at_the_last_moment(
    tmp_path: Path, put: Put, outside: Path, flags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "file")
    monkeypatch.setattr("trainable.ledger.files.refuse_special", lambda paths: None)
    with pytest.raises(OSError, match=r"file"):
        open_regular(tmp_path / "file", flags)
    assert outside.read_text() == "mine"


def test_scratch_names_cannot_be_foreseen(tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f".{RESULT}.{os.getpid()}").symlink_to(outside)
    write_atomically(tmp_path / RESULT, b"result")
    assert outside.read_text() == "mine"
    assert (tmp_path / RESULT).read_bytes() == b"result"
    monkeypatch.setattr("secrets.token_hex", lambda num_bytes: "0" * 2 * num_bytes)  # even if one could
    (tmp_path / f".{RESULT}.{'0' * 16}").symlink_to(outside)
    with pytest.raises(OSError, match="is a symbolic link"):
        write_atomically(tmp_path / RESULT, b"other")
    assert outside.read_text() == "mine"


def test_an_atomic_write_replaces_it(tmp_path: Path, put: Put, outside: Path) -> None:
    put(tmp_path / RESULT)
    write_atomically(tmp_path / RESULT, b"result")
    assert not (tmp_path / RESULT).is_symlink()
    assert (tmp_path / RESULT).read_bytes() == b"result"
    assert outside.read_text() == "mine"


def test_scratch_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    for name in (".result.json.0123456789abcdef", ".result.json.4711", ".hidden", "result.json", ".a.notes"):
        (tmp_path / name).touch()
    remove_scratch(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.notes", ".hidden", "result.json"]


def test_a_linked_trial_is_not_put_aside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "trial").symlink_to(tmp_path / "outside")
    assert not supersede(tmp_path / "trial", 1)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_pipe_among_the_data_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "test-00000-of-00001.parquet"
    os.mkfifo(path)
    with pytest.raises(UserError, match="not a regular file"):
        check_shards(tmp_path, {"test": [path]})
