"""Estimate how long the rest of a sweep takes, from the epochs that its own trials have trained so far."""

import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from results.parquet.trials import Trial
from sweep.estimate.wall_time import longest_first, makespans
from trainable.config import TrainConfig


def remaining_seconds(
    begun: Sequence[Trial], waiting: Iterable[TrainConfig], num_unknown: int, num_slots: int
) -> float | None:
    """Estimate the seconds until nothing is left; None while no epoch has been trained.

    An epoch takes as long as those of trials with the same network, batch size and images, else as those of all.

    Args:
        begun: the trials that have begun.
        waiting: configurations of those that have not.
        num_unknown: number of trials that a search may still propose; each takes as long as those that have ended.
        num_slots: number of trials at the same time.
    """
    measured: dict[tuple[object, ...], list[float]] = {}
    for trial in begun:
        if trial.row.epochs_done and trial.row.total_seconds > 0:
            measured.setdefault(_kind(trial.config), []).append(trial.row.total_seconds / trial.row.epochs_done)
    if not measured:
        return None
    means = {kind: statistics.fmean(values) for kind, values in measured.items()}
    usual = statistics.fmean(value for values in measured.values() for value in values)
    left = [
        (trial.config, trial.config.epochs - trial.row.epochs_done) for trial in begun if not trial.status.is_final
    ]
    left += [(config, config.epochs) for config in waiting]
    seconds = [epochs * means.get(_kind(config), usual) for config, epochs in left]
    ended = [trial.row.total_seconds for trial in begun if trial.status.is_final]
    typical = statistics.fmean(ended or [usual * trial.config.epochs for trial in begun])
    seconds += [typical] * num_unknown
    if not seconds:
        return 0.0
    ordered = np.asarray(seconds)[longest_first(seconds)]
    return float(makespans(ordered[None, :], max(1, num_slots))[0])


def _kind(config: TrainConfig) -> tuple[object, ...]:
    """Return what the duration of an epoch depends on most."""
    return config.architecture, config.images_per_pass, config.dataset, config.train_subset, config.test_subset
