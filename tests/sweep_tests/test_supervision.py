"""Trials that stand still: when the user is told, and when their processes are ended."""

import dataclasses
import io
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from results.store.local_store import LocalStore
from results.store.opening import open_store
from results.store.store import Store
from sweep.driver.supervision import GIVE_UP_SECONDS, LOOK_SECONDS, TOLD_SHARE, Supervision
from sweep.observers.live_view import SweepView
from sweep.observers.progress import SweepOutline
from sweep.stalled import STALLED, read_stalled, write_stalled
from sweep.status.status import status_text, sweep_status
from sweep.status.watch import Look, line_of
from tests.results_tests.result_samples import make_config, make_manifest
from tests.s3_server import S3Server
from trainable.heartbeat import PULSE, SLOWEST_FACTOR, Beat, Heartbeat

TOLD_SECONDS = GIVE_UP_SECONDS * TOLD_SHARE
BEAT = Beat(host="host", pid=123, node="abc", moves=1, is_busy=True, allowed_seconds=0.0)


class MadeUpBoard:
    """Holds what the test puts there, and notes what is ended."""

    def __init__(self) -> None:
        self.beats: dict[str, Beat] = {}
        self.ended: list[int] = []

    def read(self, trial_key: str) -> bytes | None:
        return self.beats[trial_key].to_bytes() if trial_key in self.beats else None

    def end_process(self, beat: Beat) -> None:
        self.ended.append(beat.pid)

    def clear(self) -> None:
        self.beats.clear()


class Supervised:
    """One trial, with a clock that the test moves."""

    def __init__(self, store: Store) -> None:
        self.now = 0.0
        self.board = MadeUpBoard()
        self.output = io.StringIO()
        self.manifest = make_manifest([make_config(lr=0.1)])
        self.store = store
        [self.key] = self.manifest.keys
        self.view = SweepView(
            Console(file=self.output, width=200),
            SweepOutline(name="sweep"),
            {self.key: self.manifest.trials[0].config},
        )
        self.supervision = Supervision(self.board, store, self.manifest.name, [self.view], lambda: self.now)
        self.start()

    def start(self) -> None:
        self.view.on_trial_start(self.key)
        self.supervision.on_trial_start(self.key)

    def told(self, seconds: float, beat: Beat | None = None) -> list[str]:
        """Look for so long; return the lines that were said."""
        if beat is not None:
            self.board.beats[self.key] = beat
        before = len(self.output.getvalue())
        end = self.now + seconds
        while self.now < end:
            self.now += LOOK_SECONDS
            self.supervision.look([self.key])
        return self.output.getvalue()[before:].splitlines()

    def table(self) -> str:
        output = io.StringIO()
        Console(file=output, width=120, color_system=None).print(self.view.renderable())
        return output.getvalue()


@pytest.fixture
def supervised(tmp_path: Path) -> Supervised:
    return Supervised(LocalStore(tmp_path / "store"))


def test_a_trial_that_stands_still_is_told_and_in_the_end_ended(supervised: Supervised) -> None:
    assert supervised.told(TOLD_SECONDS - 10, BEAT) == []
    assert "stalled" not in supervised.table()
    [line] = supervised.told(20)
    assert line.endswith(" lr=0.1: has not moved for 5m00s (host, process 123)")
    assert "stalled" in supervised.table()
    assert supervised.told(GIVE_UP_SECONDS - TOLD_SECONDS - 60) == []
    assert supervised.board.ended == []
    [line] = supervised.told(60)
    assert line.endswith("it did not move for 30m, and its process (host, process 123) was ended")
    assert supervised.board.ended == [123]
    assert supervised.supervision.ended[supervised.key] in line
    assert "stalled" not in supervised.table()
    supervised.start()  # what the dead process told does not count against the new one
    assert supervised.told(2 * GIVE_UP_SECONDS) == []
    assert supervised.told(2 * GIVE_UP_SECONDS, dataclasses.replace(BEAT, pid=456))
    assert supervised.board.ended == [123, 456]


def test_a_trial_that_moves_again_is_told(supervised: Supervised) -> None:
    supervised.told(TOLD_SECONDS + 10, BEAT)
    [line] = supervised.told(10, dataclasses.replace(BEAT, moves=2))
    assert line.endswith(": moves again")
    assert "stalled" not in supervised.table()
    assert read_stalled(supervised.store, supervised.manifest.name) == {}


@pytest.mark.parametrize(
    "beat",
    [
        dataclasses.replace(BEAT, is_busy=False),  # it waits for the driver
        dataclasses.replace(BEAT, allowed_seconds=10 * GIVE_UP_SECONDS),
    ],
)
def test_an_honest_pause_is_nobodys_fault(supervised: Supervised, beat: Beat) -> None:
    assert supervised.told(1.5 * GIVE_UP_SECONDS, beat) == []
    assert supervised.board.ended == []


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_status_tells(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    location = str(tmp_path / "store")
    if kind == "bucket":
        s3: S3Server = request.getfixturevalue("s3")
        location = f"s3://{s3.new_bucket()}/store"
    supervised = Supervised(open_store(location))
    note = "has not moved for 5m00s (host, process 123)"
    reader = open_store(location)
    with supervised.store.driving(supervised.manifest):
        supervised.told(TOLD_SECONDS + 10, BEAT)
        status = sweep_status(reader, supervised.manifest)
        assert status.stalled == {supervised.key: note}
        assert f"  stalled {supervised.key}: {note}" in status_text(status).splitlines()
        assert ", 1 stalled, " in line_of(Look(status, None))
    assert sweep_status(reader, supervised.manifest).stalled == {}, "no driver runs"
    supervised.supervision.close()
    assert read_stalled(reader, supervised.manifest.name) == {}
    assert supervised.board.beats == {}


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b'{"a": 1}', b'{"a":'])
def test_a_damaged_file_tells_nothing(tmp_path: Path, content: bytes) -> None:
    store = LocalStore(tmp_path)
    write_stalled(store, "sweep", {})
    assert store.read("sweep", STALLED) is None
    store.write("sweep", STALLED, content)
    assert read_stalled(store, "sweep") == {}


def test_a_process_tells_of_its_trial_only_while_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest pause of a trial is not that of the trial before."""
    clock: list[float] = [0.0]
    told: list[tuple[str, bool, float]] = []
    monkeypatch.setattr("trainable.heartbeat.time.monotonic", lambda: clock[0])

    class OverError(BaseException):
        pass

    def wait(seconds: float) -> None:
        if not moments:
            raise OverError
        moments.pop(0)()

    def at_work() -> None:
        PULSE.beat()
        clock[0] += 50.0
        PULSE.beat()

    monkeypatch.setattr("trainable.heartbeat.threading.Thread.start", lambda thread: None)
    heartbeat = Heartbeat("abc", lambda key, beat: told.append((key, beat.is_busy, beat.allowed_seconds)))
    woken: list[str] = []
    event = SimpleNamespace(wait=wait, clear=lambda: None, set=lambda: woken.append(heartbeat._trial_key))
    monkeypatch.setattr(heartbeat, "_has_begun", event)
    moments: list[Callable[[], None]] = [
        lambda: None,
        lambda: heartbeat.begin("a", 7.0),
        lambda: None,
        at_work,
        lambda: None,
        heartbeat.rest,
        lambda: heartbeat.begin("a", 7.0),
        lambda: heartbeat.begin("b", 7.0),
    ]
    with pytest.raises(OverError):
        heartbeat._run()
    assert told == [
        ("a", True, 7.0),
        ("a", True, SLOWEST_FACTOR * 50.0),
        ("a", False, SLOWEST_FACTOR * 50.0),
        ("a", True, SLOWEST_FACTOR * 50.0),
        ("b", True, 7.0),
    ]
    assert woken == ["a", "b"]


def test_each_thread_counts_the_moves_of_its_own_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainable.heartbeat.threading.Thread.start", lambda thread: None)
    first, second = (Heartbeat("abc", lambda key, beat: None) for _ in range(2))

    def work(heartbeat: Heartbeat) -> None:
        heartbeat.begin("a", 7.0)
        PULSE.beat()

    monkeypatch.undo()
    first.begin("b", 7.0)
    thread = threading.Thread(target=work, args=[second])
    thread.start()
    thread.join()
    for _ in range(3):
        PULSE.beat()
    assert (first.beat().moves, second.beat().moves) == (4, 2)
