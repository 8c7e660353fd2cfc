"""Keeps the Parquet files and counters of a running sweep current, and spends little of the driver's time on it."""

import contextlib
import time
from collections.abc import Iterator

import pyarrow as pa

from results.parquet.collect import Collector
from results.parquet.files import write_tables
from results.store.manifest import Manifest
from results.store.store import Store
from sweep.observers.observer import Observer
from sweep.observers.prometheus import MetricsWriter
from trainable.ledger.filesystems import cannot_write, trouble_text
from trainable.ledger.remote import RemoteError
from trainable.records import Progress

MIN_INTERVAL_SECONDS = 1.0
MAX_SHARE = 0.05
"""Largest share of the driver's time that rewriting may take."""


class ParquetWriter(Observer):
    """Rewrites both Parquet files soon after something has changed, and keeps the counters for Prometheus."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._collector = Collector(store, manifest)
        self._metrics = MetricsWriter(store, manifest)
        self._store = store
        self._sweep = manifest.name
        self._dirty = False
        self._written_at = 0.0
        self._cost_seconds = 0.0

    @contextlib.contextmanager
    def driven(self, num_slots: int = 0) -> Iterator[None]:
        """Inside this context the counters say that a driver runs the sweep."""
        self._tables()
        with self._metrics.driven(num_slots):
            yield

    def on_trial_start(self, trial_key: str) -> None:
        self._metrics.on_trial_start(trial_key)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        self._dirty = True
        self._metrics.on_progress(trial_key, progress)

    def on_trial_paused(self, trial_key: str) -> None:
        self._metrics.on_trial_paused(trial_key)

    def on_tick(self) -> None:
        """
        Raises:
            OSError: the disk is full, or the store can no longer be written to.
        """
        self._metrics.on_tick()
        started = time.monotonic()
        interval = max(MIN_INTERVAL_SECONDS, self._cost_seconds / MAX_SHARE)
        if self._dirty and started - self._written_at >= interval:
            try:
                with self._store.hurried():
                    self._write()
            except RemoteError:  # a remote store does not answer: try again later
                self._dirty = True
                self._note_cost(started)

    def write(self) -> None:
        """Rewrite both files now.

        Raises:
            RunEndedError: the disk is full, or the store can no longer be written to.
            RemoteError: a remote store does not answer, or refuses.
        """
        try:
            self._write()
        except OSError as error:
            raise cannot_write(self._store.location(), trouble_text(error, self._store.trials_folder)) from None

    def _write(self) -> None:
        started = time.monotonic()
        self._dirty = False
        write_tables(*self._tables(), self._store, self._sweep)
        self._metrics.on_tables_written()
        self._note_cost(started)

    def _tables(self) -> tuple[pa.Table, pa.Table]:
        trials, epochs = self._collector.tables()
        self._metrics.on_tables(trials, self._collector.num_planned)
        return trials, epochs

    def _note_cost(self, started: float) -> None:
        self._written_at = time.monotonic()
        self._cost_seconds = self._written_at - started
