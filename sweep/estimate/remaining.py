"""Estimate how long the rest of a sweep takes, from the epochs that its own trials have trained so far."""

import statistics
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from sweep.estimate.wall_time import longest_first, makespans
from trainable.config import TrainConfig
from trainable.records import Status

KIND = (
    *("model", "model_fingerprint", "model_args", "batch_size", "ghost_batch_size"),
    *("dataset", "train_subset", "test_subset"),
)
"""Training fields on which the duration of an epoch depends most."""
COLUMNS = (*KIND, "trial_key", "epochs", "epochs_done", "total_seconds", "status", "superseded")


def remaining_seconds(
    begun: pa.Table,
    waiting: Iterable[TrainConfig],
    num_unknown: int,
    num_slots: int,
    paused: Collection[str] = (),
) -> float | None:
    """Estimate the seconds until nothing is left; None while no epoch has been trained.

    An epoch takes as long as those of trials that agree in KIND, else as those of all.

    Args:
        begun: the rows of `trials`.
        waiting: configurations of the trials that have not begun.
        num_unknown: number of trials that a search may still propose; each takes as long as those that have ended.
        num_slots: number of trials at the same time.
        paused: keys of the trials that wait for a promotion, most of them in vain: they count as ended.
    """
    rows = [row for row in begun.select(list(COLUMNS)).to_pylist() if not row["superseded"]]
    measured: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["epochs_done"] and row["total_seconds"] > 0:
            measured.setdefault(_kind(row), []).append(row["total_seconds"] / row["epochs_done"])
    if not measured:
        return None
    means = {kind: statistics.fmean(values) for kind, values in measured.items()}
    usual = statistics.fmean(value for values in measured.values() for value in values)
    has_ended = [Status(row["status"]).is_final or row["trial_key"] in paused for row in rows]
    ended = [row["total_seconds"] for row, is_over in zip(rows, has_ended, strict=True) if is_over]
    seconds = [
        (row["epochs"] - row["epochs_done"]) * means.get(_kind(row), usual)
        for row, is_over in zip(rows, has_ended, strict=True)
        if not is_over
    ]
    seconds += [config.epochs * means.get(tuple(getattr(config, name) for name in KIND), usual) for config in waiting]
    seconds += [statistics.fmean(ended or [usual * row["epochs"] for row in rows])] * num_unknown
    if not seconds:
        return 0.0
    ordered = np.asarray(seconds)[longest_first(seconds)]
    return float(makespans(ordered[None, :], max(1, num_slots))[0])


def _kind(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(fields[name] for name in KIND)
