"""The history of a sweep's runs: STORE/SWEEP/runs.jsonl, a line at the start and one at the end of each run."""

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime

from results.store.journal import RUNS
from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.estimate.speeds import RunOverhead
from sweep.estimate.wall_time import Interval
from trainable.decoding import Count, Seconds, Timestamp, decode
from trainable.ledger.checksums import is_torn, sealed, stripped_lines, unsealed
from trainable.ledger.filesystems import cannot_write, trouble_text
from trainable.ledger.noticed import notice
from trainable.wording import counted, printable_line

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
    start_time: Timestamp
    """UTC, ISO 8601."""

    @property
    def when(self) -> str:
        return f"{datetime.fromisoformat(self.start_time):%Y-%m-%d %H:%M} UTC"


START_KEYS = {spec.name for spec in dataclasses.fields(RunStart)}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The line of `runs.jsonl` that is written when a run ends."""

    run_id: str
    start_time: Timestamp
    """UTC, ISO 8601."""
    num_slots: Count
    """Number of trials that ran at the same time."""
    num_trials: Count
    """Number of trials that the run was to train."""
    trials_ended: Count
    """Number of trials that became COMPLETE, STOPPED, DIVERGED or FAILED."""
    epochs_trained: Count
    """Number of epochs trained; replayed epochs are not counted."""
    wall_seconds: Seconds
    """Seconds until the last trial ended, or until the interruption, with Ray's start and without its end."""
    start_up_seconds: Seconds | None
    """Seconds until the first epoch began; None if no epoch ended."""
    between_seconds: Seconds | None
    """Seconds that a trial took beside its epochs; None if the run was interrupted."""
    interrupted: bool
    estimate: ExpectedTime | None = None
    """The estimate made at the start; None if nothing was known then."""
    stopped_by: str | None = None
    """What stopped an interrupted run: `TIME_LIMIT`, `FAILURE`, or the name of a signal; None if unknown."""


def append_run(store: Store, sweep: str, record: RunRecord | RunStart) -> None:
    """Add a line to the history of a sweep.

    Raises:
        RunEndedError: the store cannot be written.
    """
    journal = store.journal(sweep, RUNS)
    try:
        journal.truncate(journal.read().rfind(b"\n") + 1)  # cut off the torn line of a killed driver
        journal.append(sealed(dataclasses.asdict(record)))
    except OSError as error:
        raise cannot_write(store.location(), trouble_text(error, store.trials_folder)) from None


def read_runs(store: Store, sweep: str) -> list[RunRecord]:
    """Return the runs in the order in which they ended; damaged lines are skipped."""
    return _parse(store.journal(sweep, RUNS).read()).ends


def ended_runs(store: Store, sweep: str) -> tuple[set[str], bool]:
    """Return the ids of the runs that ended, not killed, and whether the last one did."""
    history = _parse(store.journal(sweep, RUNS).read())
    ended = {record.run_id for record in history.ends}
    return ended, not history.starts or history.starts[-1].run_id in ended


def last_run_text(store: Store, sweep: str, present: str | None = None) -> str | None:
    """Say in one line how the last run went, before the present one, if its id is given; None if there was none."""
    history = _parse(store.journal(sweep, RUNS).read())
    starts = [start for start in history.starts if start.run_id != present]
    if starts and starts[-1].run_id not in {record.run_id for record in history.ends}:
        return f"was interrupted (killed, or ended by an error); it began {starts[-1].when}"
    return run_text(history.ends[-1]) if history.ends else None


def damaged_runs_text(store: Store, sweep: str) -> str | None:
    """Name the damaged lines of the history; None if there are none."""
    damaged = damaged_runs(store, sweep)
    if not damaged:
        return None
    line = f"{store.location(sweep, RUNS)}:{damaged[0]}"
    return f"{line} is damaged: {counted(len(damaged), 'line')} left out of the runs"


def damaged_runs(store: Store, sweep: str) -> list[int]:
    """Return the numbers of the damaged lines of the history."""
    return _parse(store.journal(sweep, RUNS).read()).damaged_lines


def drop_damaged_runs(store: Store, sweep: str) -> int:
    """Write the history without its damaged lines; return their number. Only the driver of the sweep may do this."""
    damaged = damaged_runs(store, sweep)
    if damaged:
        *lines, _end = store.journal(sweep, RUNS).read().split(b"\n")
        kept = [line + b"\n" for number, line in enumerate(lines, start=1) if number not in damaged]
        store.write(sweep, RUNS, b"".join(kept))
    return len(damaged)


def read_overheads(store: Store) -> list[RunOverhead]:
    """Return the overheads of the store's latest runs, of all sweeps, that were not interrupted."""
    histories = {sweep: _parse(content) for sweep, content in store.read_all(RUNS).items()}
    for sweep, history in histories.items():
        for number in history.damaged_lines:
            notice(f"{sweep}/{RUNS}:{number}")
    runs = [run for history in histories.values() for run in history.ends]
    runs.sort(key=lambda run: run.start_time)
    return [
        RunOverhead(run.start_up_seconds, run.between_seconds)
        for run in runs[-MAX_RUNS:]
        if run.start_up_seconds is not None and run.between_seconds is not None
    ]


def run_text(record: RunRecord) -> str:
    """Say what a run took: `took 1m32s; the estimate was 1m20s (1m05s to 1m50s)`."""
    seconds = format_seconds(record.wall_seconds)
    text = f"stopped after {seconds}{_cause_words(record.stopped_by)}" if record.interrupted else f"took {seconds}"
    if record.estimate is None:
        return text
    whole = " for the whole run" if record.interrupted else ""
    return f"{text}; the estimate was {record.estimate}{whole}"


def _cause_words(stopped_by: str | None) -> str:
    known = {"TIME_LIMIT": ", at the time limit", "FAILURE": ", at the first failed trial", "SIGINT": ", by Ctrl-C"}
    return known.get(stopped_by, f", by {printable_line(stopped_by)}") if stopped_by else ""


@dataclass(frozen=True, slots=True)
class _History:
    """The lines of `runs.jsonl`, in their order."""

    starts: list[RunStart] = field(default_factory=list)
    ends: list[RunRecord] = field(default_factory=list)
    damaged_lines: list[int] = field(default_factory=list)
    """Numbers of the lines that hold no record. A torn last line is no damage: a driver was killed."""


def _parse(content: bytes) -> _History:
    history = _History()
    *lines, end = content.split(b"\n")
    lines += [] if is_torn(end) else [end]
    stripped = stripped_lines(lines)
    for number, line in enumerate(lines, start=1):
        try:
            if number in stripped:
                raise ValueError("no checksum")
            values = unsealed(line)
            if isinstance(values, dict) and values.keys() <= START_KEYS:
                history.starts.append(decode(RunStart, values))
            else:
                history.ends.append(decode(RunRecord, values))
        except ValueError:
            history.damaged_lines.append(number)
    return history
