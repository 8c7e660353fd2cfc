"""Keeps a running sweep's Parquet files current without spending much of the driver's time on it."""

import os
import time

from results.collect import Collector
from results.parquet import write_tables
from results.store import Manifest, Store
from trainable.errors import UserError
from trainable.records import Progress

MIN_INTERVAL_SECONDS = 1.0
MAX_SHARE = 0.05
"""Most of the driver's time that rewriting may take."""


class ParquetKeeper:
    """An Observer of the Tune adapter: rewrites both files soon after something has changed."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._collector = Collector(store, manifest)
        self._folder = store.sweep_folder(manifest.name)
        self._dirty = False
        self._written_at = 0.0
        self._cost_seconds = 0.0

    def on_trial_start(self, trial_key: str) -> None:
        """Nothing has been recorded yet."""

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        self._dirty = True

    def on_tick(self) -> None:
        interval = max(MIN_INTERVAL_SECONDS, self._cost_seconds / MAX_SHARE)
        if self._dirty and time.monotonic() - self._written_at >= interval:
            self.write()

    def write(self) -> None:
        """Rewrite both files now.

        Raises:
            UserError: the disk is full, or the store can no longer be written.
        """
        started = time.monotonic()
        self._dirty = False
        try:
            write_tables(*self._collector.tables(), self._folder)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise UserError(
                f"cannot write to {self._folder}: {reason}; "
                "what was trained is kept: mend this, and the same command goes on"
            ) from None
        self._written_at = time.monotonic()
        self._cost_seconds = self._written_at - started
