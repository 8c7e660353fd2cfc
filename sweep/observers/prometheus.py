"""Writes a sweep's counters for Prometheus: metrics.prom, in the form of node_exporter's textfile collector.

https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4). Ray's own metrics (nodes, tasks,
memory) are served by Ray.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from results.store.manifest import Manifest
from results.store.store import Store
from sweep.observers.observer import Observer
from trainable.ledger.remote import RemoteError
from trainable.records import Progress, Status

METRICS = "metrics.prom"
INTERVAL_SECONDS = 15.0
PREFIX = "batchscape_"
Samples = dict[str, float]
"""Value of the label `status` -> value of the metric; the empty string if the metric has no such label."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a sweep."""

    name: str
    kind: str
    """`gauge` or `counter`."""
    meaning: str
    samples: Samples


@dataclass(slots=True)
class SweepTotals:
    """Sums over the trials that are not superseded, from all runs of the driver."""

    trials: Samples = field(default_factory=dict)
    epochs: float = 0.0
    best_test_error: float | None = None
    best_holdout_error: float | None = None

    @classmethod
    def of(cls, trials: pa.Table) -> "SweepTotals":
        rows = trials.filter(pc.invert(trials["superseded"]))
        counts = pc.value_counts(rows["status"]).to_pylist()
        complete = rows.filter(pc.equal(rows["status"], Status.COMPLETE.value))
        return cls(
            trials={count["values"]: float(count["counts"]) for count in counts},
            epochs=float(pc.sum(rows["epochs_done"]).as_py() or 0),
            best_test_error=pc.min(complete["test_error_percent"]).as_py(),
            best_holdout_error=pc.min(complete["holdout_error_percent"]).as_py(),
        )


class MetricsWriter(Observer):
    """Rewrites the file every few seconds while a sweep runs. Errors in writing it never stop the sweep."""

    def __init__(self, store: Store, manifest: Manifest, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._sweep = manifest.name
        self._clock = clock
        self._num_slots = 0
        self._is_driven = False
        self._written_at = 0.0
        self._at_work: set[str] = set()
        self._totals = SweepTotals()
        self._num_planned = 0
        self._epochs = self._images = self._train_seconds = self._eval_seconds = 0.0

    @contextlib.contextmanager
    def driven(self, num_slots: int) -> Iterator[None]:
        """Inside this context the file says that a driver runs the sweep; at the end it says that the run is over."""
        self._num_slots, self._is_driven = num_slots, True
        try:
            self.write()
            yield
        finally:
            self._is_driven = False
            self._at_work.clear()
            self.write()

    def on_tables(self, trials: pa.Table, num_planned: int) -> None:
        """Take over the trials that the Parquet files hold now.

        Args:
            num_planned: number of the sweep's trials, with those that its search may still propose.
        """
        self._totals, self._num_planned = SweepTotals.of(trials), num_planned

    def on_tables_written(self) -> None:
        """Write the file, unless a driver runs, which writes it soon."""
        if not self._is_driven:
            self.write()

    def on_trial_start(self, trial_key: str) -> None:
        self._at_work.add(trial_key)

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        if progress.ended:
            self._at_work.discard(trial_key)
        record = progress.record
        if record is None or progress.replayed:
            return
        self._epochs += 1
        self._images += record.images_per_second * record.train_seconds
        self._train_seconds += record.train_seconds
        self._eval_seconds += record.eval_seconds

    def on_trial_paused(self, trial_key: str) -> None:
        self._at_work.discard(trial_key)

    def on_tick(self) -> None:
        if self._is_driven and self._clock() - self._written_at >= INTERVAL_SECONDS:
            with self._store.hurried():
                self.write()

    def write(self) -> None:
        """Write the file now, if possible."""
        self._written_at = self._clock()
        with contextlib.suppress(OSError, RemoteError):
            self._store.write(self._sweep, METRICS, exposition(self._sweep, self._metrics()).encode())

    def _metrics(self) -> list[Metric]:
        totals = self._totals
        trials = {status.value.lower(): totals.trials.get(status.value, 0.0) for status in Status}
        trials["running"] = float(len(self._at_work))
        trials["incomplete"] = max(0.0, trials["incomplete"] - trials["running"])
        begun = sum(trials.values())
        trials["waiting"] = max(0.0, self._num_planned - begun)
        best = {
            "best_test_error_percent": ("test", totals.best_test_error),
            "best_holdout_error_percent": ("held-out", totals.best_holdout_error),
        }
        return [
            Metric("trials", "gauge", "Trials of the sweep by status.", trials),
            Metric("epochs_done", "gauge", "Epochs of all trials that are not superseded.", {"": totals.epochs}),
            *(
                Metric(name, "gauge", f"Smallest {images} error of a complete trial, last epoch.", {"": value})
                for name, (images, value) in best.items()
                if value is not None
            ),
            Metric("epochs_trained_total", "counter", "Epochs trained by this run.", {"": self._epochs}),
            Metric("images_trained_total", "counter", "Images trained on by this run.", {"": self._images}),
            Metric(
                "train_seconds_total", "counter", "Training time of this run's trials.", {"": self._train_seconds}
            ),
            Metric(
                "eval_seconds_total", "counter", "Evaluation time of this run's trials.", {"": self._eval_seconds}
            ),
            Metric("slots", "gauge", "Trials that this run trains at the same time.", {"": float(self._num_slots)}),
            Metric("driver_running", "gauge", "1 while the driver runs, 0 afterwards.", {"": float(self._is_driven)}),
            Metric(
                "last_update_timestamp_seconds", "gauge", "Time at which this file was written.", {"": self._clock()}
            ),
        ]


def exposition(sweep: str, metrics: list[Metric]) -> str:
    """The text format. A sweep's name needs no escapes (`check_sweep_name`)."""
    lines = []
    for metric in metrics:
        name = PREFIX + metric.name
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} {metric.kind}"]
        for status, value in metric.samples.items():
            label = f',status="{status}"' if status else ""
            lines.append(f'{name}{{sweep="{sweep}"{label}}} {value!r}')
    return "\n".join(lines) + "\n"
