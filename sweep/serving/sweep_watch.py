"""One sweep as all its open pages see it: its status, what is left, and the data of its page."""

import dataclasses
import math
import threading
import time
from typing import Any

import pyarrow as pa

from results.parquet.collect import Collector
from results.report.page_data import page_data
from results.store.journal import RUNS
from results.store.manifest import MANIFEST, Manifest, manifest_from_json
from results.store.store import Store
from results.tables.layout import format_seconds
from sweep.estimate.remaining import remaining_seconds
from sweep.runs import read_runs
from sweep.serving.changes import Changes
from sweep.serving.paced import Paced
from sweep.serving.pages import facts_html
from sweep.status.listing import DAMAGED, DONE, RUNNING, UNFINISHED
from sweep.status.status import StatusReader, SweepStatus
from sweep.status.watch import is_over
from trainable.errors import UserError
from trainable.ledger.remote import RemoteError
from trainable.wording import printable

MAX_TOLD = 200
"""Largest number of failed trials, stalled trials and notes that a page lists."""
FACTS = (
    "planned",
    "done",
    "stopped",
    "diverged",
    "running",
    "failed",
    "left",
    "interrupted",
    "paused",
    "epochs_done",
    "epochs_planned",
    "best",
    "separation",
    "running_since",
)
"""Fields of the status that a page shows as they are."""
KEPT_SECONDS = 600.0
"""Time without a page after which the rows of a sweep are forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Readers:
    """What reads a sweep again and again, and the versions of the files for which it holds."""

    manifest: Manifest
    status: StatusReader
    collector: Collector
    versions: int


@dataclasses.dataclass(slots=True)
class Rows:
    """The rows of a sweep, and what was made of them."""

    tables: tuple[pa.Table, pa.Table]
    seconds_left: float | None
    data: dict[str, Any] | None = None
    """The data of the page; None until a page asks for it, and while no trial has begun."""
    at_work: frozenset[str] = frozenset()
    """Keys of the trials that are running in this data."""


class SweepWatch:
    """Reads a sweep for its pages. A trial that has ended is read once, and again only after another run began."""

    def __init__(self, store: Store, sweep: str, seconds: float) -> None:
        """
        Args:
            store: holds the sweep.
            sweep: its name.
            seconds: shortest time between two readings.
        """
        self._store = store
        self._sweep = sweep
        self._reading = threading.Lock()
        self._readers: _Readers | None = None
        self._status: SweepStatus | None = None
        self._kept: Rows | None = None
        self._changes = Changes()
        self._asked_at = time.monotonic()
        self._troubles = Paced(self._read_status, seconds)
        self._rows = Paced(self._read_rows, seconds)
        self._pages = Paced(self._read_page, seconds)

    @property
    def created(self) -> str:
        """Time at which the sweep was planned, UTC, ISO 8601; empty if unknown."""
        return self._readers.manifest.created if self._readers else ""

    def trial_keys(self) -> set[str]:
        """Return the keys of the trials that have begun or failed."""
        self.facts()
        rows, status = self._rows.get(), self._status
        begun = rows.tables[0]["trial_key"].to_pylist() if rows else []
        return {*begun, *(status.errors if status else ())}

    def facts(self) -> dict[str, Any]:
        """Return what is said of the sweep, as JSON values; texts are printable, but may hold markup."""
        trouble = self._troubles.get()
        status = self._status
        if status is None:
            return {"sweep": self._sweep, "state": DAMAGED, "trouble": printable(trouble or "")}
        rows = None if is_over(status) else self._rows.get()
        seconds_left = rows.seconds_left if rows else None
        facts: dict[str, Any] = {name: getattr(status, name) for name in FACTS}
        facts |= {
            "sweep": self._sweep,
            "state": self._state(status),
            "time_left": None if seconds_left is None else f"about {format_seconds(math.ceil(seconds_left))}",
            "failures": dict(list(status.errors.items())[:MAX_TOLD]),
            "stalled": dict(list(status.stalled.items())[:MAX_TOLD]),
            "front": status.front[:MAX_TOLD],
            "notes": status.notes[:MAX_TOLD],
            "trouble": trouble,
        }
        found: dict[str, Any] = _printable(facts)
        return found

    def changes_since(self, version: str) -> bytes | None:
        """Return what changed on the page since a version of it, as JSON; None if nothing did."""
        self._asked_at = time.monotonic()
        return self._pages.get().since(version)

    def rest(self) -> None:
        """Forget the rows if no page has asked for long; they are read again when one does."""
        if time.monotonic() - self._asked_at > KEPT_SECONDS:
            with self._reading:
                self._readers = self._kept = None
                self._changes = Changes()

    def _read_status(self) -> str | None:
        """Read the status; return why that is impossible, if it is.

        What was read before stays while the store does not answer; of a damaged sweep it does not.
        """
        try:
            with self._reading:
                self._status = self._look()
        except (RemoteError, OSError) as error:
            return str(error)
        except UserError as error:
            self._status = None
            return str(error)
        return None

    def _state(self, status: SweepStatus) -> str:
        return RUNNING if status.driver_running else DONE if is_over(status) else UNFINISHED

    def _look(self) -> SweepStatus:
        return self._ready().status.read()

    def _ready(self) -> _Readers:
        """Return the readers, new ones if the trials of the sweep have changed or another run has begun or ended."""
        store, name = self._store, self._sweep
        content = store.read(name, MANIFEST)
        if content is None:
            raise UserError(f"the sweep {name!r} is no longer in {store.location()}")
        versions = hash((content, store.journal(name, RUNS).read()))
        if self._readers is None or self._readers.versions != versions:
            manifest = manifest_from_json(content, name, store.location(name, MANIFEST))
            self._readers = _Readers(manifest, StatusReader(store, manifest), Collector(store, manifest), versions)
        return self._readers

    def _read_rows(self) -> Rows | None:
        """Read the rows of the trials, and estimate how long the rest takes."""
        status, kept = self._status, self._kept
        try:
            with self._reading:
                readers = self._readers or self._ready()
                trials, epochs = readers.collector.tables()
                runs = read_runs(self._store, self._sweep)
        except (UserError, OSError):  # the status says why
            return kept
        if status is None or (kept and trials.equals(kept.tables[0]) and epochs.equals(kept.tables[1])):
            return kept
        keys = set(trials["trial_key"].to_pylist())
        waiting = [trial.config for trial in readers.manifest.trials if trial.config.trial_key not in keys]
        num_unknown = max(0, readers.collector.num_planned - len(keys) - len(waiting))
        num_slots = max(status.running, runs[-1].num_slots if runs else 1)
        seconds = remaining_seconds(trials, waiting, num_unknown, num_slots, status.paused_keys)
        self._kept = Rows((trials, epochs), seconds)
        return self._kept

    def _read_page(self) -> Changes:
        facts, rows = self.facts(), self._rows.get()
        at_work = self._status.at_work if self._status else frozenset()
        if rows is not None and len(rows.tables[0]) and (rows.data is None or rows.at_work != at_work):
            rows.data, rows.at_work = page_data(*rows.tables, at_work=at_work), at_work
        self._changes.update(facts_html(facts), rows.data if rows else None)
        return self._changes


def _printable(value: Any) -> Any:  # noqa: ANN401 (values of JSON)
    """Return JSON values whose texts hold no control characters."""
    if isinstance(value, dict):
        return {name: _printable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_printable(part) for part in value]
    return printable(value) if isinstance(value, str) else value
