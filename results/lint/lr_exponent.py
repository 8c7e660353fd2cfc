"""How the best learning rate grows with the batch size: the exponent of a power law, with its uncertainty."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from results.lint.rows import Curve

MIN_POINTS = 4
"""Batch sizes for a fit: with three, one degree of freedom is left and the interval spans everything."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """best lr = constant * batch_size ** exponent."""

    exponent: float
    standard_error: float
    num_points: int
    size_ratio: float
    """Largest over smallest batch size."""

    def miss_of(self, exponent: float) -> float:
        """By which factor, 1 or more, a rule with this exponent that is right at one end is wrong at the other."""
        return math.exp(math.log(self.size_ratio) * abs(self.exponent - exponent))

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided confidence interval of the exponent (Student's t, num_points - 2 degrees of freedom)."""
        from scipy.special import stdtrit  # the light part of scipy, and only where something is fitted

        half = float(stdtrit(self.num_points - 2, 0.5 + level / 2)) * self.standard_error
        return (self.exponent - half, self.exponent + half)


def fit_exponent(curves: Sequence[Curve]) -> PowerLaw | None:
    """Least squares of log best lr on log batch size; None for fewer than MIN_POINTS batch sizes.

    Where learning rates tie, their geometric mean is the best one. The best lr is known to within the grid's
    step only, so the scatter is taken as no smaller than that of a uniform error over a step (step / sqrt(12)).
    """
    sizes = [math.log(curve.batch_size) for curve in curves]
    if len(set(sizes)) < MIN_POINTS:
        return None
    bests = [statistics.fmean(map(math.log, curve.best_lrs)) for curve in curves]
    slope, intercept = statistics.linear_regression(sizes, bests)
    residuals = [best - intercept - slope * size for size, best in zip(sizes, bests, strict=True)]
    scatter = math.sqrt(sum(residual**2 for residual in residuals) / (len(sizes) - 2))
    resolution = statistics.median(_grid_step(curve) for curve in curves) / math.sqrt(12)
    spread = math.sqrt(sum((size - statistics.fmean(sizes)) ** 2 for size in sizes))
    return PowerLaw(slope, max(scatter, resolution) / spread, len(sizes), math.exp(max(sizes) - min(sizes)))


def _grid_step(curve: Curve) -> float:
    """Mean distance of neighbouring learning rates, in natural logarithms."""
    lrs = list(curve.errors)
    return math.log(lrs[-1] / lrs[0]) / (len(lrs) - 1)
