"""Growth of the best learning rate with the batch size: the exponent of a power law and its uncertainty."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from results.lint.rows import ErrorByLr

MIN_POINTS = 4
"""Smallest number of batch sizes for a fit; three leave one degree of freedom and a useless interval."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """best lr = constant * batch_size ** exponent."""

    exponent: float
    standard_error: float
    num_points: int
    size_ratio: float
    """Largest batch size divided by the smallest."""

    def miss_of(self, exponent: float) -> float:
        """Return the factor, at least 1, by which this exponent misses at one end if it is right at the other."""
        return math.exp(math.log(self.size_ratio) * abs(self.exponent - exponent))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided confidence interval of the exponent (Student's t with num_points - 2 degrees)."""
        from scipy.special import stdtrit  # imported here because few calls need it

        half = float(stdtrit(self.num_points - 2, 0.5 + level / 2)) * self.standard_error
        return (self.exponent - half, self.exponent + half)


def fit_exponent(curves: Sequence[ErrorByLr]) -> PowerLaw | None:
    """Fit log best lr to log batch size by least squares; None for fewer than MIN_POINTS batch sizes.

    If learning rates tie, their geometric mean is the best one. The best lr is only known to within a step of the
    grid, so the scatter is taken as at least that of a uniform error over a step (step / sqrt(12)).
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


def _grid_step(curve: ErrorByLr) -> float:
    """Return the mean distance of neighbouring learning rates in natural logarithms."""
    lrs = list(curve.errors)
    return math.log(lrs[-1] / lrs[0]) / (len(lrs) - 1)
