"""What a sweep, the advice and the gradient noise scale told: `python benchmarks/batch_and_rate.py` writes the tables
of results/examples/batch_and_rate from the Parquet files that lie there.

The noise scale of a batch size is the ratio of the means of tr(Sigma) and |G|^2 over all epochs in which they were
measured; its band holds 95 % of the ratios of epochs that are drawn anew, and is open where |G|^2 may be 0.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import ROOT
from benchmarks.large_batch import cost
from results.insight.findings import findings
from results.insight.groups import groups_of_trials
from results.insight.text import insight_text
from results.parquet.files import read_epochs, read_trials
from results.parquet.trials import Trial, epochs_from_table, trials_from_table
from results.store.local_store import LocalStore
from results.tables.layout import Column, markdown_table
from trainable.grouping import grouped
from trainable.records import EpochRecord
from trainable.reference_pages import refreshed
from trainable.wording import format_value

FOLDER = ROOT / "results" / "examples" / "batch_and_rate"
PAGE = FOLDER / "README.md"
FIRST, ADVISED, NOISE = "batch_and_rate", "batch_and_rate-advised", "batch_and_rate-noise"
NUM_CLASSES = 10
SEED, NUM_DRAWS = 0, 10_000
MIN_EPOCHS = 8
"""Smallest number of measured epochs for a band."""


def trials_of(sweep: str) -> list[Trial]:
    return trials_from_table(read_trials(LocalStore(FOLDER), sweep))


def told(trials: Sequence[Trial]) -> str:
    found = findings(groups_of_trials(trials, num_classes=NUM_CLASSES))
    return insight_text(found, heading="###")


def advised_table(first: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """Return the trials that the advice added, in the order of batch size and rate."""
    known = {trial.row.trial_key for trial in first}
    added = [trial for trial in trials if trial.row.trial_key not in known]
    added.sort(key=lambda trial: (trial.config.batch_size, trial.config.lr))
    errors = [trial.row.holdout_error_percent or math.nan for trial in added]
    return markdown_table(
        [
            Column("batch size", "right", [str(trial.config.batch_size) for trial in added]),
            Column("lr", "left", [format_value(trial.config.lr) for trial in added]),
            Column("held-out error", "right", [f"{error:.2f}" for error in errors]),
        ]
    )


def noise_scale(epochs: Sequence[EpochRecord]) -> tuple[float, float, float]:
    """Return the ratio of the means of tr(Sigma) and |G|^2 over epochs, and its band."""
    measured = [
        (epoch.gradient_variance, epoch.gradient_square)
        for epoch in epochs
        if epoch.gradient_variance is not None and epoch.gradient_square is not None
    ]
    pairs = np.array(measured)
    drawn = np.random.default_rng(SEED).integers(0, len(pairs), (NUM_DRAWS, len(pairs)))
    variances, squares = pairs[drawn].mean(axis=1).T
    ratios = np.sort(np.where(squares > 0, variances / np.where(squares > 0, squares, 1), math.inf))
    low, high = (float(ratios[int(share * NUM_DRAWS)]) for share in (0.025, 0.975))
    mean = pairs.mean(axis=0)
    return float(mean[0] / mean[1]) if mean[1] > 0 else math.inf, low, high


def noise_table() -> str:
    records = epochs_from_table(read_epochs(LocalStore(FOLDER), NOISE))
    by_size = grouped(trials_of(NOISE), lambda trial: trial.config.batch_size)
    epochs = {
        size: [epoch for trial in same for epoch in records[trial.row.trial_key]] for size, same in by_size.items()
    }
    scales = {size: noise_scale(found) for size, found in sorted(epochs.items())}
    measured = [sum(epoch.gradient_square is not None for epoch in epochs[size]) for size in scales]
    return markdown_table(
        [
            Column("batch size", "right", [str(size) for size in scales]),
            Column("epochs measured", "right", [str(number) for number in measured]),
            Column(
                "gradient noise scale",
                "left",
                [_scale_text(*scale) for scale in zip(measured, scales.values(), strict=True)],
            ),
        ]
    )


def _scale_text(measured: int, scale: tuple[float, float, float]) -> str:
    if measured < MIN_EPOCHS:
        return "too few measurements"
    ratio, low, high = scale
    return f"{ratio:.0f} ({low:.0f} to {high:.0f})" if math.isfinite(high) else f"at least {low:.0f}"


def refresh(page: str) -> str:
    """Return the page with what the trials give."""
    first, advised = trials_of(FIRST), trials_of(ADVISED)
    made = {
        "cost": cost(advised),
        "first": told(first),
        "advised": advised_table(first, advised),
        "second": told(advised),
        "noise": noise_table(),
    }
    return refreshed(page, made)


if __name__ == "__main__":
    PAGE.write_text(refresh(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
