"""What a tracker shows of a trial, live or exported: its name, parameters, tags and metrics."""

import dataclasses
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from results.parquet.trials import Trial, epochs_from_table, trials_from_table
from sweep.trial_label import run_name, telling_fields
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.checksums import parse_json
from trainable.records import EpochRecord, Status
from trainable.tensorboard import FINAL_PREFIX
from trainable.wording import printable_line

TRIAL_KEY_TAG = "trial_key"
SWEEP_TAG = "sweep"
METRICS = [spec.name for spec in dataclasses.fields(EpochRecord)]
TAGS = ("status", "purpose", "proposal", "repeat", "stopped_epoch", "device", "precision_resolved", "code", "error")
"""Columns of `trials` that are tags, besides the sweep and the trial key."""
FINAL_METRICS = (
    *("test_error_percent", "test_error_percent_last5", "best_test_error_percent", "best_test_epoch"),
    *("holdout_error_percent", "holdout_error_percent_last5", "best_holdout_error_percent", "best_holdout_epoch"),
    *("train_loss", "epochs_done", "train_seconds", "eval_seconds", "total_seconds", "images_per_second"),
    "peak_memory_bytes",
)
"""Columns of `trials` that are metrics of a trial that has ended, under names that begin with `final/`."""

PIP_NAMES = {"mlflow": "mlflow-skinny", "wandb": "wandb"}
"""Module of a tracker -> what to install."""


def check_installed(package: str, option: str) -> None:
    """Refuse a tracker whose package is missing. A folder of that name in the working folder is none.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"{option}: that package is not installed: pip install {PIP_NAMES[package]}")


def tracked(value: object) -> object:
    """Return a parameter's value for a tracker; its pages are not ours, so text is one printable line."""
    return printable_line(value) if isinstance(value, str) else value


def shown_params(config: TrainConfig, variables: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return a configuration, and the values that `derive` used, without empty fields, for a tracker."""
    values = {
        TRIAL_KEY_TAG: config.trial_key,
        **dataclasses.asdict(config),
        **config.to_dict(),
        **(variables or {}),
    }
    return {name: tracked(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A recorded trial as a run of a tracker."""

    name: str
    """Name for people; no other trial of the sweep has it."""
    trial: Trial
    epochs: Sequence[EpochRecord]

    @property
    def key(self) -> str:
        return self.trial.row.trial_key

    @property
    def params(self) -> dict[str, object]:
        return shown_params(self.trial.config, parse_json(self.trial.row.variables))

    @property
    def tags(self) -> dict[str, str]:
        row = self.trial.row
        values = {name: getattr(row, name) for name in (SWEEP_TAG, TRIAL_KEY_TAG, *TAGS)}
        return {name: printable_line(str(value)) for name, value in values.items() if value is not None}

    @property
    def final(self) -> dict[str, float]:
        """Metrics at the end of the trial; empty while it is unfinished."""
        if self.trial.status is Status.INCOMPLETE:
            return {}
        values = {name: getattr(self.trial.row, name) for name in FINAL_METRICS}
        return {FINAL_PREFIX + name: float(value) for name, value in values.items() if value is not None}

    @property
    def started(self) -> float:
        """Unix time of the trial's start."""
        return self.trial.row.start_time.timestamp()

    @property
    def epoch_times(self) -> list[float]:
        """Unix time of the end of each epoch: the start and the seconds of all epochs so far, without pauses."""
        seconds = (record.train_seconds + record.eval_seconds for record in self.epochs)
        return list(itertools.accumulate(seconds, initial=self.started))[1:]

    @property
    def ended(self) -> float:
        """Unix time of the end, or of the last epoch if no end is on record."""
        end = self.trial.row.end_time
        return end.timestamp() if end is not None else [self.started, *self.epoch_times][-1]


def epoch_metrics(record: EpochRecord) -> dict[str, float]:
    """Return the metrics of an epoch that have a value."""
    return {name: value for name in METRICS if (value := getattr(record, name)) is not None}


def tracked_runs(trials: pa.Table, epochs: pa.Table) -> list[TrackedRun]:
    """Return the trials of a sweep's tables with a name each; superseded trainings are left out."""
    rows, by_key = trials_from_table(trials), epochs_from_table(epochs)
    fields = telling_fields([trial.config for trial in rows])
    taken: set[str] = set()
    names = [run_name(trial.config, fields, taken) for trial in rows]
    return [
        TrackedRun(name, trial, by_key.get(trial.row.trial_key, [])) for name, trial in zip(names, rows, strict=True)
    ]


def differs(known: Mapping[str, object], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wanted entries that are not known with the same value."""
    return {name: value for name, value in wanted.items() if known.get(name) != value}
