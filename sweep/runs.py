"""What each run of a sweep was expected to take and what it took: STORE/SWEEP/runs.jsonl, a line a run."""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.estimate.estimate import LEVEL, Interval, Overhead, makespans
from sweep.observers.observer import Observer
from trainable.records import Progress

Line = TypeVar("Line")
RUNS = "runs.jsonl"
MAX_RUNS = 50
"""The latest so many tell of the overhead."""


@dataclass(frozen=True, slots=True)
class ExpectedTime:
    """The estimate at the start of a run."""

    median_seconds: float
    low_seconds: float
    high_seconds: float
    level: float
    """Probability that the interval contains the truth."""
    basis: str
    """What it rests on."""

    @classmethod
    def of(cls, interval: Interval, basis: str) -> "ExpectedTime":
        return cls(interval.median, interval.low, interval.high, LEVEL, basis)

    @property
    def interval(self) -> Interval:
        return Interval(self.median_seconds, self.low_seconds, self.high_seconds)

    @property
    def text(self) -> str:
        """`1m20s (1m05s to 1m50s), from 9 trials of 1 run in the store on ...`."""
        return f"{format_interval(self.interval)}, from {self.basis}"


@dataclass(frozen=True, slots=True)
class RunStart:
    """That a run of the driver has begun; a line of `runs.jsonl` before that of its RunRecord."""

    run_id: str
    start_time: str
    """UTC, ISO 8601."""

    @property
    def when(self) -> str:
        return f"{datetime.fromisoformat(self.start_time):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of the driver, written at its end; a line of `runs.jsonl`."""

    run_id: str
    start_time: str
    """UTC, ISO 8601."""
    num_slots: int
    """Trials at a time."""
    num_trials: int
    """That it was to train."""
    trials_ended: int
    """COMPLETE, STOPPED, DIVERGED or FAILED."""
    epochs_trained: int
    """Replayed ones apart."""
    wall_seconds: float
    """Until the last trial had ended, or the interruption; Ray's start is in it, its end is not."""
    start_up_seconds: float | None
    """Until the first epoch began; None where none has ended."""
    between_seconds: float | None
    """What a trial took beside its epochs; None where the run was interrupted."""
    interrupted: bool
    estimate: ExpectedTime | None = None
    """None where nothing was known."""

    @classmethod
    def from_line(cls, line: str) -> "RunRecord":
        """
        Raises:
            ValueError, TypeError: no such record.
        """
        values = json.loads(line)
        if values["estimate"] is not None:  # a RunStart has none
            values["estimate"] = ExpectedTime(**values["estimate"])
        return cls(**values)


class RunClock(Observer):
    """Takes the time of a run; it starts when it is made."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._start_time = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = time.monotonic()
        self._start_up_seconds: float | None = None
        self._seconds: dict[str, float] = {}
        self._epochs_trained = 0
        self.trials_ended = 0

    def start(self) -> RunStart:
        return RunStart(self._run_id, self._start_time)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        self.trials_ended += progress.ended
        record = progress.record
        if record is None or progress.replayed:
            return
        seconds = record.train_seconds + record.eval_seconds
        if self._start_up_seconds is None:
            self._start_up_seconds = max(0.0, time.monotonic() - self._started - seconds)
        self._seconds[trial_key] = self._seconds.get(trial_key, 0.0) + seconds
        self._epochs_trained += 1

    def stop(self, *, num_trials: int, num_slots: int, interrupted: bool, expected: ExpectedTime | None) -> RunRecord:
        """The run as it was, up to now."""
        wall_seconds = time.monotonic() - self._started
        return RunRecord(
            run_id=self._run_id,
            start_time=self._start_time,
            num_slots=num_slots,
            num_trials=num_trials,
            trials_ended=self.trials_ended,
            epochs_trained=self._epochs_trained,
            wall_seconds=wall_seconds,
            start_up_seconds=self._start_up_seconds,
            between_seconds=None if interrupted else self._between(wall_seconds, num_slots),
            interrupted=interrupted,
            estimate=expected,
        )

    def _between(self, wall_seconds: float, num_slots: int) -> float | None:
        """The time that neither the start nor the epochs, in their slots, account for, spread over the trials."""
        if self._start_up_seconds is None:
            return None
        epochs = float(makespans(np.array([list(self._seconds.values())]), num_slots)[0])
        num_a_slot = max(1.0, len(self._seconds) / num_slots)
        return max(0.0, wall_seconds - self._start_up_seconds - epochs) / num_a_slot


def append_run(store: Store, sweep: str, record: RunRecord | RunStart) -> None:
    """
    Raises:
        OSError: the store cannot be written.
    """
    path = _path(store, sweep)
    store.refresh(path)
    with path.open("a") as file:
        file.write(json.dumps(dataclasses.asdict(record), allow_nan=False) + "\n")
    store.publish(path)


def read_runs(store: Store, sweep: str) -> list[RunRecord]:
    """In the order in which they ended; damaged lines are passed over."""
    path = _path(store, sweep)
    store.refresh(path)
    return _records(path)


def _records(path: Path) -> list[RunRecord]:
    return _lines(path, RunRecord.from_line)


def _lines(path: Path, parse: Callable[[str], Line]) -> list[Line]:
    """Those lines of a file that this can parse."""
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    parsed = []
    for line in lines:
        try:
            parsed.append(parse(line))
        except (ValueError, TypeError, KeyError):
            continue
    return parsed


def last_run_text(store: Store, sweep: str, *, is_running: bool) -> str | None:
    """What came of the last run, in a line; None where there was none.

    Args:
        is_running: whether a living driver works on the sweep.
    """
    records = read_runs(store, sweep)
    starts = _lines(_path(store, sweep), lambda line: RunStart(**json.loads(line)))
    if starts and starts[-1].run_id not in {record.run_id for record in records}:
        if is_running:
            return f"began {starts[-1].when}"
        return f"was interrupted (killed, or ended by an error); it began {starts[-1].when}"
    return run_text(records[-1]) if records else None


def read_overheads(store: Store) -> list[Overhead]:
    """Of the latest runs of all sweeps that were not interrupted."""
    paths = [_path(store, sweep) for sweep in store.sweeps(RUNS)]
    store.refresh(*paths)
    runs = sorted((run for path in paths for run in _records(path)), key=lambda run: run.start_time)
    return [
        Overhead(run.start_up_seconds, run.between_seconds)
        for run in runs[-MAX_RUNS:]
        if run.start_up_seconds is not None and run.between_seconds is not None
    ]


def run_text(record: RunRecord) -> str:
    """`took 1m32s; the estimate was 1m20s (1m05s to 1m50s)`."""
    seconds = format_seconds(record.wall_seconds)
    text = f"interrupted after {seconds}" if record.interrupted else f"took {seconds}"
    if record.estimate is None:
        return text
    return (
        f"{text}; the estimate was {format_interval(record.estimate.interval)}"
        + " for all of it" * record.interrupted
    )


def format_interval(interval: Interval) -> str:
    """`1m20s (1m05s to 1m50s)`."""
    low, high = format_seconds(interval.low), format_seconds(interval.high)
    return f"{format_seconds(interval.median)} ({low} to {high})"


def _path(store: Store, sweep: str) -> Path:
    return store.sweep_folder(sweep) / RUNS
