"""The sweeps of a store, a line each, and the files that belong to each: its own, and those of its trials."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from results.store.manifest import Manifest
from results.store.search_progress import planned_trials, search_record
from results.store.store import Store
from sweep.status.results_only import results_only, results_status
from sweep.status.status import StatusReader
from trainable.errors import UserError
from trainable.ledger.files import SUPERSEDED
from trainable.sweep_name import TRIALS
from trainable.wording import command, counted, json_text, printable_line

RUNNING, DONE, UNFINISHED, DAMAGED = "running", "done", "unfinished", "damaged"
RESULTS_ONLY = "results only"
"""State of a sweep of which only the Parquet files are there."""
HEADERS = ("sweep", "trials", "state", "size", "changed", "best")
UNITS = ("B", "KB", "MB", "GB", "TB")


@dataclasses.dataclass(frozen=True, slots=True)
class SweepSummary:
    """One sweep of a store."""

    sweep: str
    state: str
    """`running`, `done`, `unfinished`, `damaged` or `results only`."""
    planned: int
    """Number of trials of the sweep, those that its search may still propose included."""
    done: int
    """Number of trials that need no more training."""
    failed: int
    best: str | None
    """The best result so far; of a damaged sweep what is wrong with it."""
    size_bytes: int
    """Size of the sweep's files and of its trials, which other sweeps may share."""
    changed: str | None
    """When a file of it changed last, UTC, ISO 8601."""


class Footprints:
    """Sizes and times of the files of a store, read in one listing."""

    def __init__(self, store: Store) -> None:
        self._by_owner: dict[str, list[tuple[int, int]]] = {}
        for path, size_and_time in store.files().items():
            top, _, rest = path.partition("/")
            is_trial = top == TRIALS
            owner = f"{TRIALS}/{rest.partition('/')[0].partition(SUPERSEDED)[0]}" if is_trial else top
            self._by_owner.setdefault(owner, []).append(size_and_time)

    def of(self, sweep: str, trial_keys: Iterable[str]) -> tuple[int, str | None]:
        """Return the bytes of a sweep with these trials, and when a file of them changed last (UTC, ISO 8601)."""
        owners = [sweep, *(f"{TRIALS}/{key}" for key in trial_keys)]
        files = [file for owner in owners for file in self._by_owner.get(owner, ())]
        latest = max((mtime_ns for _, mtime_ns in files), default=None)
        changed = None
        if latest is not None:
            changed = datetime.fromtimestamp(latest / 1e9, UTC).isoformat(timespec="seconds")
        return sum(size for size, _ in files), changed


def trial_keys(store: Store, manifest: Manifest) -> list[str]:
    """Return the keys of all trials of a sweep, those that its search has proposed or chosen included.

    Raises:
        UserError: the log of the search is damaged or lost.
    """
    return [trial.config.trial_key for trial in planned_trials(manifest, search_record(store, manifest))]


def summaries(store: Store) -> list[SweepSummary]:
    """Summarise every sweep of the store, the one that changed last first."""
    footprints = Footprints(store)
    found = [_summary(store, footprints, name) for name in store.sweeps()]
    found += [_summary(store, footprints, name, has_trials=False) for name in results_only(store)]
    return sorted(found, key=lambda summary: summary.changed or "", reverse=True)


def _summary(store: Store, footprints: Footprints, name: str, *, has_trials: bool = True) -> SweepSummary:
    try:
        manifest = store.manifest(name) if has_trials else None
        status = StatusReader(store, manifest).read() if manifest else results_status(store, name)
        size_bytes, changed = footprints.of(name, trial_keys(store, manifest) if manifest else ())
    except UserError as error:  # one damaged sweep does not hide the others
        size_bytes, changed = footprints.of(name, ())
        return SweepSummary(name, DAMAGED, 0, 0, 0, str(error), size_bytes, changed)
    state = RUNNING if status.driver_running else UNFINISHED if status.left else DONE if has_trials else RESULTS_ONLY
    return SweepSummary(name, state, status.planned, status.done, status.failed, status.best, size_bytes, changed)


def listing_json(found: Sequence[SweepSummary]) -> str:
    """Write the fields of every `SweepSummary` as a JSON list."""
    return json_text([dataclasses.asdict(summary) for summary in found])


def listing_text(store: Store, found: Sequence[SweepSummary]) -> str:
    """Write a table for people; the best result comes last, since it may be long."""
    if not found:
        return nothing_text(store)
    rows = [HEADERS, *(_cells(summary) for summary in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADERS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def nothing_text(store: Store) -> str:
    """Say that a store has no sweeps, or does not exist yet, and how to begin."""
    where = printable_line(store.location())
    what = f"{where} does not exist yet" if store.is_missing() else f"no sweeps in {where}"
    return f"{what}: start with `{start_command(store)}`"


def start_command(store: Store) -> str:
    """Return what to type for a first sweep in a store."""
    return f"{command('run', 'quickstart')}{store.option}"


def _cells(summary: SweepSummary) -> tuple[str, ...]:
    trials = "-" if summary.state == DAMAGED else f"{summary.done}/{summary.planned}"
    failed = f", {summary.failed} failed" if summary.failed else ""
    return (
        summary.sweep,
        trials + failed,
        summary.state,
        format_bytes(summary.size_bytes),
        "-" if summary.changed is None else format_age(datetime.fromisoformat(summary.changed), datetime.now(UTC)),
        printable_line(summary.best or "-"),
    )


def format_bytes(count: int) -> str:
    """Write a size with three digits: `12.3 MB`, in powers of 1000."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{size:.3g} {UNITS[unit]}"


def format_age(then: datetime, now: datetime) -> str:
    """Write how long ago something was in its largest unit: `3 hours ago`."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return f"{counted(seconds // length, unit)} ago"
    return f"{counted(seconds, 'second')} ago"
