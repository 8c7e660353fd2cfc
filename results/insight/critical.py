"""The critical batch size: where larger batches begin to cost training epochs.

**Model.** The final error of runs with tuned learning rates is e = e_inf + C (E / (1 + (B / B_c)^k))^-p after E
epochs at batch size B. An epoch at B_c is worth half of one with small batches. With k = 1 this is eq. 2.11 of
McCandlish et al. 2018 (arXiv 1812.06162) for steps and examples (Shallue et al. 2019, arXiv 1811.03600, on tuning
before comparing); as epochs may lose their worth more or less abruptly, ln k is only drawn towards 0, with
SHARPNESS_SPREAD. Only budgets tell the loss of effective epochs from an error that large batches have anyway, so at
least two are needed. For each B_c of a grid, e_inf and C are profiled exactly, p and k by a search.

**Limits.** Errors within a run whose learning rate still falls are no substitute for shorter runs. The band is
widened by half an octave on either side for what the model's form leaves out, and told only within the batch sizes
tried.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from results.insight.optima import MIN_VARIANCE, Status, critical_deviance
from results.insight.runs import NO_NOISE_KNOWN, Floats, Noise

STEP = 0.1
MARGIN = 4.0
"""Octaves beyond the batch sizes in which B_c is looked for."""
POWERS = np.exp2(np.arange(-8.0, 2.1, 0.5))
"""Grid of p from which the search for its best value starts."""
SHARPNESSES = np.exp2(np.arange(-0.6, 0.61, 0.3))
"""The same of k."""
SHARPNESS_SPREAD = 0.25
"""Standard deviation of ln k."""
LIMITS = np.log([[0.004, 0.5], [4.0, 2.0]])
"""Least and largest p and k."""
NUM_STEPS, DELTA = 8, 1e-5
"""Steps of the search, and the change of ln p and ln k by which slopes are measured."""
NUM_FITS = 2
"""The second with the noise that the first tells."""
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
    known = noise.variance * noise.degrees_of_freedom
    variance = max(noise.variance, MIN_VARIANCE)
    for _ in range(NUM_FITS):
        powers, deviance = _fits(cells, grid, variance)
        pooled = Noise(max((known + variance * float(deviance.min())) / degrees, MIN_VARIANCE), degrees)
        variance = pooled.variance
    best = int(deviance.argmin())
    if powers[best] < MIN_POWER:
        return _silent("the error hardly depends on the number of epochs")
    (inside,) = np.nonzero(deviance - deviance.min() <= critical_deviance(pooled))
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
    if not all(math.isfinite(cell.error_percent) for cell in cells):
        return "a run at the best learning rate has no error"
    if len({cell.epochs for cell in cells}) < 2:
        return "needs runs of at least two numbers of epochs"
    if len({cell.batch_size for cell in cells}) < 3 or degrees < 1:
        return "too few batch sizes"
    return ""


def _silent(why: str) -> CriticalBatchSize:
    return CriticalBatchSize(Status.CANNOT_TELL, why, math.nan, 0.0, math.inf)


def _fits(cells: Sequence[TunedCell], grid: Floats, variance: float) -> tuple[Floats, Floats]:
    """Return the best p and the deviance by log2 B_c: Levenberg and Marquardt's search from the best of a grid."""
    starts = np.log(np.array(list(itertools.product(POWERS, SHARPNESSES))))
    by_start = np.stack([(_residuals(cells, grid, start, variance) ** 2).sum(axis=1) for start in starts])
    logs, damping = starts[by_start.argmin(axis=0)], np.ones(len(grid))
    residuals = _residuals(cells, grid, logs, variance)
    for _ in range(NUM_STEPS):
        moved = [_residuals(cells, grid, logs + DELTA * unit, variance) for unit in np.eye(2)]
        slopes = np.stack([(after - residuals) / DELTA for after in moved], axis=1)
        products = slopes @ slopes.transpose(0, 2, 1) + damping[:, None, None] * np.eye(2)
        step = np.linalg.solve(products, slopes @ residuals[:, :, None])[:, :, 0]
        tried = np.clip(logs - step, *LIMITS)
        after = _residuals(cells, grid, tried, variance)
        is_better = ((after**2).sum(axis=1) < (residuals**2).sum(axis=1))[:, None]
        logs, residuals = np.where(is_better, tried, logs), np.where(is_better, after, residuals)
        damping = damping * np.where(is_better[:, 0], 0.2, 5)
    return np.exp(logs[:, 0]), np.asarray((residuals**2).sum(axis=1))


def _residuals(cells: Sequence[TunedCell], grid: Floats, logs: Floats, variance: float) -> Floats:
    """Return standardised residuals by log2 B_c, with e_inf and C >= 0 at their best, and that of k at the end.

    Args:
        cells: one per column.
        grid: of log2 B_c.
        logs: ln p and ln k (last axis).
        variance: of a cell.
    """
    power, sharpness = np.exp(logs[..., :1]), np.exp(logs[..., 1:])
    ratios = (np.array([cell.batch_size for cell in cells]) / np.exp2(grid)[:, None]) ** sharpness
    epochs = np.array([cell.epochs for cell in cells], dtype=np.float64)
    errors = np.array([cell.error_percent for cell in cells])
    falls = (epochs / epochs.max() / (1 + ratios)) ** -power
    x, y = falls - falls.mean(axis=1, keepdims=True), errors - errors.mean()
    slopes = np.maximum((x * y).sum(axis=1, keepdims=True) / (x**2).sum(axis=1, keepdims=True), 0.0)
    through_zero = (falls * errors).sum(axis=1, keepdims=True) / (falls**2).sum(axis=1, keepdims=True)
    is_negative = errors.mean() < slopes * falls.mean(axis=1, keepdims=True)
    residuals = np.where(is_negative, errors - through_zero * falls, y - slopes * x) / math.sqrt(variance)
    return np.hstack([residuals, np.broadcast_to(logs[..., 1:] / SHARPNESS_SPREAD, (len(grid), 1))])
