"""The history of a sweep's runs: STORE/SWEEP/runs.jsonl, a line at the start and one at the end of each run."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.estimate.speeds import RunOverhead
from sweep.estimate.wall_time import Interval

Record = TypeVar("Record")
RUNS = "runs.jsonl"
MAX_RUNS = 50
"""Number of latest runs that tell of the overhead."""


@dataclass(frozen=True, slots=True)
class ExpectedTime(Interval):
    """The estimate of a run's wall time, made at its start."""

    level: float
    """Probability that the interval contains the true time."""
    basis: str
    """Measurements on which the estimate rests, in words."""


@dataclass(frozen=True, slots=True)
class RunStart:
    """The line of `runs.jsonl` that is written when a run begins."""

    run_id: str
    start_time: str
    """UTC, ISO 8601."""

    @property
    def when(self) -> str:
        return f"{datetime.fromisoformat(self.start_time):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The line of `runs.jsonl` that is written when a run ends."""

    run_id: str
    start_time: str
    """UTC, ISO 8601."""
    num_slots: int
    """Number of trials that ran at the same time."""
    num_trials: int
    """Number of trials that the run was to train."""
    trials_ended: int
    """Number of trials that became COMPLETE, STOPPED, DIVERGED or FAILED."""
    epochs_trained: int
    """Number of epochs trained; replayed epochs are not counted."""
    wall_seconds: float
    """Seconds until the last trial ended, or until the interruption, with Ray's start and without its end."""
    start_up_seconds: float | None
    """Seconds until the first epoch began; None if no epoch ended."""
    between_seconds: float | None
    """Seconds that a trial took beside its epochs; None if the run was interrupted."""
    interrupted: bool
    estimate: ExpectedTime | None = None
    """The estimate made at the start; None if nothing was known then."""

    @classmethod
    def from_line(cls, line: str) -> "RunRecord":
        """Parse a line of `runs.jsonl`.

        Raises:
            ValueError, TypeError, KeyError: the line is no such record.
        """
        values = json.loads(line)
        if values["estimate"] is not None:  # a RunStart has no such key
            values["estimate"] = ExpectedTime(**values["estimate"])
        return cls(**values)


def append_run(store: Store, sweep: str, record: RunRecord | RunStart) -> None:
    """Add a line to the history of a sweep.

    Raises:
        OSError: the store cannot be written.
    """
    line = json.dumps(dataclasses.asdict(record), allow_nan=False) + "\n"
    store.journal(sweep, RUNS).append(line.encode())


def read_runs(store: Store, sweep: str) -> list[RunRecord]:
    """Return the runs in the order in which they ended; damaged lines are skipped."""
    return _read_lines(store.journal(sweep, RUNS).read(), RunRecord.from_line)


def last_run_text(store: Store, sweep: str, *, is_running: bool) -> str | None:
    """Say in one line how the last run went; None if there was none."""
    content = store.journal(sweep, RUNS).read()
    records = _read_lines(content, RunRecord.from_line)
    starts = _read_lines(content, lambda line: RunStart(**json.loads(line)))
    if starts and starts[-1].run_id not in {record.run_id for record in records}:
        if is_running:
            return f"began {starts[-1].when}"
        return f"was interrupted (killed, or ended by an error); it began {starts[-1].when}"
    return run_text(records[-1]) if records else None


def read_overheads(store: Store) -> list[RunOverhead]:
    """Return the overheads of the store's latest runs, of all sweeps, that were not interrupted."""
    runs = [run for content in store.read_all(RUNS).values() for run in _read_lines(content, RunRecord.from_line)]
    runs.sort(key=lambda run: run.start_time)
    return [
        RunOverhead(run.start_up_seconds, run.between_seconds)
        for run in runs[-MAX_RUNS:]
        if run.start_up_seconds is not None and run.between_seconds is not None
    ]


def run_text(record: RunRecord) -> str:
    """Say what a run took: `took 1m32s; the estimate was 1m20s (1m05s to 1m50s)`."""
    seconds = format_seconds(record.wall_seconds)
    text = f"interrupted after {seconds}" if record.interrupted else f"took {seconds}"
    if record.estimate is None:
        return text
    whole = " for the whole run" if record.interrupted else ""
    return f"{text}; the estimate was {record.estimate}{whole}"


def _read_lines(content: bytes, parse: Callable[[str], Record]) -> list[Record]:
    """Return the records in those lines of a file that can be parsed."""
    records = []
    for line in content.decode(errors="replace").splitlines():
        try:
            records.append(parse(line))
        except (ValueError, TypeError, KeyError):
            continue
    return records
