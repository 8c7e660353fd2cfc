"""Whether a driver lives, as its record tells."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results.store.driver_record import living_driver, recorded
from results.store.holder import RECORD, STALE_SECONDS, Holder, _process, holder_to_json, this_process
from tests.other_process import driven

MINE = this_process("mine", since="2026-01-02 03:04:05 UTC")
ELSEWHERE = dataclasses.replace(MINE, machine="another kernel")


def put(folder: Path, holder: Holder, age_seconds: float = 0.0) -> None:
    (folder / RECORD).write_bytes(holder_to_json(holder))
    set_age(folder, age_seconds)


def set_age(folder: Path, seconds: float) -> None:
    now = time.time()
    os.utime(folder / RECORD, (now - seconds, now - seconds))


def test_a_record_lasts_as_long_as_the_drive(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broke"), recorded(tmp_path, "mine"):
        driver = living_driver(tmp_path)
        assert driver is not None
        assert (driver.run_id, driver.process) == ("mine", MINE.process)
        raise RuntimeError("broke")
    assert list(tmp_path.iterdir()) == []


def test_it_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.store.driver_record.RENEW_SECONDS", 0.01)
    with recorded(tmp_path, "mine"):
        set_age(tmp_path, 1e6)
        deadline = time.monotonic() + 10
        while time.time() - (tmp_path / RECORD).stat().st_mtime > 1e5:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_record_of_another_store_in_the_same_place_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.store.driver_record.RENEW_SECONDS", 0.01)
    folder = tmp_path / "sweep"
    folder.mkdir()
    with recorded(folder, "mine"):
        folder.rename(tmp_path / "moved")
        folder.mkdir()
        put(folder, ELSEWHERE, 1e6)
        time.sleep(0.1)
    assert time.time() - (folder / RECORD).stat().st_mtime > 1e5


def test_a_stopped_driver_lives_and_a_killed_one_does_not(tmp_path: Path) -> None:
    with driven(tmp_path) as driver:
        driver.send_signal(signal.SIGSTOP)
        set_age(tmp_path, 1e6)
        assert living_driver(tmp_path) is not None
        driver.kill()
        driver.wait()
        set_age(tmp_path, 0.0)
        assert living_driver(tmp_path) is None


def test_a_number_that_another_process_has_now_is_not_the_driver(tmp_path: Path) -> None:
    put(tmp_path, dataclasses.replace(MINE, process=f"{os.getpid()} 1"))
    assert living_driver(tmp_path) is None


@pytest.mark.parametrize(
    ("age_seconds", "lives"),
    [(0.0, True), (STALE_SECONDS / 2, True), (-STALE_SECONDS / 2, True), (STALE_SECONDS + 1, False), (-1e5, False)],
)
def test_of_a_driver_elsewhere_the_age_of_its_record_tells(tmp_path: Path, age_seconds: float, lives: bool) -> None:
    put(tmp_path, ELSEWHERE, age_seconds)
    assert (living_driver(tmp_path) is not None) == lives
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]


def test_another_container_of_this_machine_is_elsewhere(tmp_path: Path) -> None:
    boot, _ = MINE.machine.split()
    put(tmp_path, dataclasses.replace(MINE, machine=f"{boot} pid:[1]", process="999999999 1"))
    assert living_driver(tmp_path) is not None


def test_a_driver_that_does_not_know_itself_is_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, dataclasses.replace(MINE, process=""))
    assert living_driver(tmp_path) is not None

    def refuse(path: Path) -> None:  # a system without /proc
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        nobody = this_process("mine", since="")
        assert (nobody.machine, nobody.process) == ("", "")
        put(tmp_path, dataclasses.replace(nobody, process=f"{os.getpid()} 1"))
        assert living_driver(tmp_path) is not None


def test_a_process_that_has_ended_and_is_not_reaped_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        number, _, start = _process(process.pid).partition(" ")
        assert int(number) == process.pid
        assert int(start) >= int(MINE.process.partition(" ")[2]) > 0
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert _process(process.pid) == ""


def test_a_clock_that_is_wrong_does_not_matter_unless_the_folder_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, ELSEWHERE)
    tomorrow = time.time_ns() + 86400 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: tomorrow)
    assert living_driver(tmp_path) is not None
    monkeypatch.setattr("results.store.driver_record.create_scratch", raise_permission_error)
    assert living_driver(tmp_path) is None


def raise_permission_error(path: Path) -> None:
    raise PermissionError


def test_a_process_that_is_hidden_from_us_may_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    put(tmp_path, dataclasses.replace(MINE, process="999999999 1"))
    assert living_driver(tmp_path) is None
    monkeypatch.setattr("os.kill", refuse)
    assert living_driver(tmp_path) is not None
    set_age(tmp_path, STALE_SECONDS + 1)
    assert living_driver(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run_id": 1}', b"\xff"])
def test_a_damaged_record_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    assert living_driver(tmp_path) is None


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / RECORD)
    assert living_driver(tmp_path) is None
