"""One writer a trial, on this machine, whatever happens to it."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainable.ledger.files import LOCK
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import LedgerBusyError, exclusive_lock, is_locked

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from trainable.ledger.ledger import Ledger
with Ledger(Path(sys.argv[1]), {}):
    print("held", flush=True)
    time.sleep(60)
"""
Holder = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[Holder]:
    """Starts a process that holds the trial in `tmp_path`, and waits until it does."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path, {}), pytest.raises(LedgerBusyError):
        Ledger(tmp_path, {})


def test_a_closed_ledger_is_free(tmp_path: Path) -> None:
    Ledger(tmp_path, {}).close()
    with Ledger(tmp_path, {}):
        assert is_locked(tmp_path / LOCK)
    assert not is_locked(tmp_path / LOCK)


def test_another_process_is_refused_and_its_death_frees_the_trial(tmp_path: Path, other_process: Holder) -> None:
    holder = other_process()
    assert is_locked(tmp_path / LOCK)
    with pytest.raises(LedgerBusyError):
        Ledger(tmp_path, {})
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert not is_locked(tmp_path / LOCK)
    Ledger(tmp_path, {}).close()


def test_trials_do_not_lock_each_other(tmp_path: Path, other_process: Holder) -> None:
    other_process()
    Ledger(tmp_path / "another", {}).close()


def test_asking_does_not_take_the_lock(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / LOCK)
    (tmp_path / LOCK).touch()
    assert not is_locked(tmp_path / LOCK)
    with exclusive_lock(tmp_path / LOCK):
        assert is_locked(tmp_path / LOCK)


def test_lock_is_freed_by_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive_lock(tmp_path / LOCK):
        raise KeyError
    assert not is_locked(tmp_path / LOCK)


def test_a_ledger_that_cannot_be_opened_holds_no_lock(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        Ledger(tmp_path, {"lr": 0.1})
    assert caught.value.__traceback__ is not None  # whoever holds the traceback holds no lock by it
    assert not is_locked(tmp_path / LOCK)


@pytest.mark.parametrize(("mode", "narrowed"), [(0o644, 0o600), (0o664, 0o660), (0o666, 0o666), (0o640, 0o600)])
def test_who_may_only_read_cannot_lock(tmp_path: Path, mode: int, narrowed: int) -> None:
    lock = tmp_path / LOCK
    lock.touch()
    lock.chmod(mode)  # of an earlier version, or by the umask
    with exclusive_lock(lock):
        assert stat.S_IMODE(lock.stat().st_mode) == narrowed
