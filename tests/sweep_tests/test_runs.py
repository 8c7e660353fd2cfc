"""What a run was expected to take and what it took."""

import dataclasses
from pathlib import Path

import pytest

from results.store.local_store import LocalStore
from sweep.estimate.speeds import RunOverhead
from sweep.estimate.wall_time import LEVEL
from sweep.observers import run_clock
from sweep.observers.run_clock import RunClock
from sweep.runs import (
    ExpectedTime,
    RunRecord,
    RunStart,
    append_run,
    damaged_runs_text,
    last_run_text,
    read_overheads,
    read_runs,
    run_text,
)
from tests.results_tests.result_samples import make_config, make_epoch, make_manifest
from trainable.records import Progress, Status

EXPECTED = ExpectedTime(80.0, 65.0, 110.0, LEVEL, "9 trials of 1 run in the store on a processor, 1 thread")
RECORD = RunRecord(
    run_id="run",
    start_time="2026-01-02T03:04:05+00:00",
    num_slots=2,
    num_trials=9,
    trials_ended=9,
    epochs_trained=90,
    wall_seconds=92.0,
    start_up_seconds=6.0,
    between_seconds=0.1,
    interrupted=False,
    estimate=EXPECTED,
)
STOPPED = dataclasses.replace(RECORD, wall_seconds=12.0, interrupted=True, between_seconds=None)


def stopped_by(cause: str) -> RunRecord:
    return dataclasses.replace(STOPPED, stopped_by=cause, estimate=None)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    with store.driving(make_manifest([make_config()])):
        return store


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (RECORD, "took 1m32s; the estimate was 1m20s (1m05s to 1m50s)"),
        (dataclasses.replace(RECORD, estimate=None), "took 1m32s"),
        (STOPPED, "stopped after 12s; the estimate was 1m20s (1m05s to 1m50s) for the whole run"),
        (stopped_by("SIGINT"), "stopped after 12s, by Ctrl-C"),
        (stopped_by("SIGTERM"), "stopped after 12s, by SIGTERM"),
        (stopped_by("TIME_LIMIT"), "stopped after 12s, at the time limit"),
        (stopped_by("FAILURE"), "stopped after 12s, at the first failed trial"),
    ],
)
def test_in_a_line(record: RunRecord, text: str) -> None:
    assert run_text(record) == text


def test_they_come_back_in_order_without_what_is_damaged(store: LocalStore) -> None:
    append_run(store, "sweep", RECORD)
    with (store.path / "sweep" / "runs.jsonl").open("a") as file:
        file.write('{"run_id": "of another version"}\n[1]\ntorn\n')
    append_run(store, "sweep", dataclasses.replace(STOPPED, estimate=None))
    assert read_runs(store, "sweep") == [RECORD, dataclasses.replace(STOPPED, estimate=None)]
    assert read_runs(store, "other") == []


def test_the_last_run_is_the_one_that_began_last_whether_it_came_to_an_end_or_not(store: LocalStore) -> None:
    def told(present: str | None = None) -> str | None:
        return last_run_text(store, "sweep", present)

    assert told() is None
    append_run(store, "sweep", RECORD)  # as before runs had a line at their beginning
    assert told() == run_text(RECORD)
    append_run(store, "sweep", RunStart("second", "2026-01-02T05:06:07+00:00"))
    assert told("second") == run_text(RECORD)
    assert told() == "was interrupted (killed, or ended by an error); it began 2026-01-02 05:06 UTC"
    assert told("third") == told()  # it has not yet written that it began
    append_run(store, "sweep", RunClock("third").start())
    assert told("third") == "was interrupted (killed, or ended by an error); it began 2026-01-02 05:06 UTC"
    append_run(store, "sweep", dataclasses.replace(STOPPED, run_id="third"))
    assert told() == told("fourth") == run_text(STOPPED)
    assert read_runs(store, "sweep") == [RECORD, dataclasses.replace(STOPPED, run_id="third")]


def test_overheads_are_those_of_whole_runs(store: LocalStore) -> None:
    for record in (RECORD, STOPPED, dataclasses.replace(RECORD, start_up_seconds=7.0)):
        append_run(store, "sweep", record)
    assert read_overheads(store) == [RunOverhead(6.0, 0.1), RunOverhead(7.0, 0.1)]


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_the_clock_tells_work_from_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slots: 5 s of start, then an epoch of 2.5 s, replays, and trials of 5 s and 2.5 s side by side."""
    time = Clock()
    monkeypatch.setattr(run_clock, "time", time)
    clock = RunClock("run")
    clock.on_trial_start("a")
    clock.on_progress("a", Progress(make_epoch(1, 50.0), Status.INCOMPLETE, replayed=True))
    time.now += 7.5
    clock.on_progress("a", Progress(make_epoch(2, 50.0), Status.INCOMPLETE, replayed=False))
    clock.on_progress("b", Progress(make_epoch(1, 50.0), Status.COMPLETE, replayed=False))
    time.now += 2.75
    clock.on_tick()
    clock.on_progress("a", Progress(make_epoch(3, 50.0), Status.COMPLETE, replayed=False))
    clock.on_progress("c", Progress(None, Status.FAILED, replayed=False, error="died"))
    time.now += 0.25
    record = clock.stop(num_trials=3, num_slots=2, interrupted=False, expected=None)
    assert (record.wall_seconds, record.start_up_seconds, record.between_seconds) == (10.5, 5.0, 0.5)
    assert (record.num_trials, record.trials_ended, record.epochs_trained, record.interrupted) == (3, 3, 3, False)
    stopped = clock.stop(num_trials=3, num_slots=2, interrupted=True, expected=EXPECTED)
    assert (stopped.interrupted, stopped.between_seconds, stopped.estimate) == (True, None, EXPECTED)


def test_a_run_that_trained_nothing() -> None:
    record = RunClock("run").stop(num_trials=1, num_slots=1, interrupted=False, expected=None)
    assert (record.start_up_seconds, record.between_seconds, record.epochs_trained) == (None, None, 0)


def test_a_damaged_line_is_named_and_the_others_count(store: LocalStore) -> None:
    for _ in range(3):
        append_run(store, "sweep", RECORD)
    assert damaged_runs_text(store, "sweep") is None
    path = store.sweep_folder("sweep") / "runs.jsonl"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    for damaged in (b"\0\n", b"[]\n", second.replace(b"T03", b"Tp3"), second.replace(b"92.0", b'"92"')):
        path.write_bytes(first + damaged + third)
        assert read_runs(store, "sweep") == [RECORD, RECORD]
        assert last_run_text(store, "sweep") == run_text(RECORD)
        assert damaged_runs_text(store, "sweep") == f"{path}:2 is damaged: 1 line left out of the runs"
    assert len(read_overheads(store)) == 2


def test_a_torn_line_does_not_swallow_the_next(store: LocalStore) -> None:
    append_run(store, "sweep", RECORD)
    path = store.sweep_folder("sweep") / "runs.jsonl"
    path.write_bytes(path.read_bytes() + b'{"run_id": "x')
    assert damaged_runs_text(store, "sweep") is None
    append_run(store, "sweep", RECORD)
    assert len(read_runs(store, "sweep")) == 2
    assert damaged_runs_text(store, "sweep") is None
