"""The critical batch size: where larger batches begin to cost training epochs.

**Model.** The final error of runs with tuned learning rates is e = e_inf + C (E / (1 + B / B_c))^-p after E epochs at
batch size B: an epoch is worth 1 / (1 + B / B_c) of one with small batches (McCandlish et al. 2018, arXiv 1812.06162,
eq. 2.11 for steps and examples; Shallue et al. 2019, arXiv 1811.03600, on tuning before comparing). Only budgets tell
the loss of effective epochs from an error that large batches have anyway, so at least two are needed. e_inf and C are
profiled exactly, B_c and p on grids.

**Limits.** Errors within a run whose learning rate still falls are no substitute for shorter runs. The band is
widened by half an octave on either side for what the model's form leaves out, and told only within the batch sizes
tried. Where an epoch loses its worth more gradually than by 1 / (1 + B / B_c), the band can lie too high.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from results.insight.optima import Status, critical_deviance
from results.insight.runs import NO_NOISE_KNOWN, Floats, Noise

STEP = 0.1
MARGIN = 4.0
"""Octaves beyond the batch sizes in which B_c is looked for."""
POWERS = np.exp2(np.arange(-8.0, 2.1, 0.2))
"""Grid of p."""
MIN_POWER = 0.02
"""Below it the error hardly depends on the epochs, and B_c is arbitrary."""
WIDENING = 0.5
"""Octaves added to the band on either side."""


@dataclass(frozen=True, slots=True)
class TunedCell:
    """The final error of a batch size after some number of epochs, at its best learning rate."""

    batch_size: int
    epochs: int
    error_percent: float
    is_tuned: bool
    """Whether several rates were tried and the best is not the highest or lowest."""


@dataclass(frozen=True, slots=True)
class CriticalBatchSize:
    """What is known about B_c."""

    status: Status
    """INSIDE: told with a band; AT_MOST: only `high` is known; else CANNOT_TELL."""
    why: str
    """Reason of the status in a few words."""
    value: float
    """NaN unless INSIDE."""
    low: float
    """Lower end of the 95 % interval, widened; 0 where it is open."""
    high: float
    """Upper end of it; infinite where it is open."""


def critical_batch_size(cells: Iterable[TunedCell], noise: Noise = NO_NOISE_KNOWN) -> CriticalBatchSize:
    """Estimate the critical batch size from tuned runs at two or more epoch budgets.

    Args:
        cells: one per batch size and number of epochs.
        noise: variance of a run between seeds, from repeats.
    """
    cells = list(cells)
    batch_sizes = np.array([cell.batch_size for cell in cells], dtype=np.float64)
    degrees = noise.degrees_of_freedom + len(cells) - 4
    if why := _objection(cells, degrees):
        return _silent(why)
    low_end, high_end = np.log2(batch_sizes.min()), np.log2(batch_sizes.max())
    grid = np.arange(low_end - MARGIN, high_end + MARGIN, STEP)
    squares = np.stack([_squares(cells, grid, power) for power in POWERS])
    best_power, best = np.unravel_index(int(squares.argmin()), squares.shape)
    if POWERS[best_power] < MIN_POWER:
        return _silent("the error hardly depends on the number of epochs")
    known = noise.variance * noise.degrees_of_freedom
    pooled = Noise((known + float(squares.min())) / degrees, degrees)
    (inside,) = np.nonzero(squares.min(axis=0) - squares.min() <= pooled.variance * critical_deviance(pooled))
    low, value, high = (float(grid[index]) for index in (inside[0], best, inside[-1]))
    if high > high_end - 1:
        return _silent("it may be above half of the largest batch size")
    upper = 2 ** (high + WIDENING)
    if value < low_end + 1 or inside[0] == 0:
        why = "it may be below twice the smallest batch size"
        return CriticalBatchSize(Status.AT_MOST, why, math.nan, 0.0, upper)
    why = "epochs and batch sizes trade off within the range tried"
    return CriticalBatchSize(Status.INSIDE, why, 2**value, 2 ** (low - WIDENING), upper)


def _objection(cells: Sequence[TunedCell], degrees: int) -> str:
    """Return why these cells cannot tell, or nothing."""
    untuned = sorted({cell.batch_size for cell in cells if not cell.is_tuned})
    if untuned:
        return f"the learning rate is not tuned at batch size {', '.join(map(str, untuned))}"
    if len({cell.epochs for cell in cells}) < 2:
        return "needs runs of at least two numbers of epochs"
    if len({cell.batch_size for cell in cells}) < 3 or degrees < 1:
        return "too few batch sizes"
    return ""


def _silent(why: str) -> CriticalBatchSize:
    return CriticalBatchSize(Status.CANNOT_TELL, why, math.nan, 0.0, math.inf)


def _squares(cells: Sequence[TunedCell], grid: Floats, power: float) -> Floats:
    """Return the residual sum of squares by log2 B_c, with e_inf and C >= 0 at their best."""
    ratios = np.array([cell.batch_size for cell in cells]) / np.exp2(grid)[:, None]
    epochs = np.array([cell.epochs for cell in cells], dtype=np.float64)
    errors = np.array([cell.error_percent for cell in cells])
    falls = (epochs / epochs.max() / (1 + ratios)) ** -power
    x, y = falls - falls.mean(axis=1, keepdims=True), errors - errors.mean()
    slopes = np.maximum((x * y).sum(axis=1) / (x**2).sum(axis=1), 0.0)
    centred = y - slopes[:, None] * x
    through_zero = np.maximum((falls * errors).sum(axis=1) / (falls**2).sum(axis=1), 0.0)
    from_zero = errors - through_zero[:, None] * falls
    is_negative = errors.mean() < slopes * falls.mean(axis=1)
    return np.asarray(np.where(is_negative, (from_zero**2).sum(axis=1), (centred**2).sum(axis=1)))
