"""Errors of runs, grouped by batch size and learning rate, and the variance between repeated runs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.grouping import grouped

Floats = NDArray[np.float64]

SATURATED_SHARE = 0.9
"""Errors above this part of the error by chance count as no better than chance: such a run has diverged."""
HEIGHT_ERROR = 0.2
"""Error of the curve's shape as a part of the height above the least error: far-off points count less."""
NEIGHBOURHOOD = 0.25
"""Octaves within which the error of the shape is one and the same."""
FAR, FAR_POWER = 2.0, 16
"""Octaves from the least error beyond which the variance of the shape grows, and its power."""


@dataclass(frozen=True, slots=True)
class Run:
    """The final error of one training."""

    batch_size: int
    lr: float
    error_percent: float
    """NaN or infinite if the training diverged."""
    variance_factor: float = 1.0
    """Variance of this error divided by that of a single run; below 1 for a median of several runs."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance between runs that differ in their seed alone."""

    variance: float
    """Squared points; 0 without degrees of freedom."""
    degrees_of_freedom: int

    def pooled_with(self, other: "Noise") -> "Noise":
        """Average two independent estimates with their degrees of freedom as weights."""
        degrees = self.degrees_of_freedom + other.degrees_of_freedom
        squares = self.variance * self.degrees_of_freedom + other.variance * other.degrees_of_freedom
        return Noise(squares / max(degrees, 1), degrees)


NO_NOISE_KNOWN = Noise(0.0, 0)


@dataclass(frozen=True, slots=True)
class Curve:
    """Errors at one batch size by learning rate, in the order of the rates."""

    batch_size: int
    log2_lrs: Floats
    errors: Floats
    """Percent; the mean of repeated runs."""
    variance_factors: Floats
    """Variance of each mean divided by that of a single run."""
    saturated_log2_lrs: Floats
    """Rates at which training does no better than chance."""

    @property
    def rates(self) -> Floats:
        """All rates measured (log2), saturated ones included."""
        return np.sort(np.concatenate([self.log2_lrs, self.saturated_log2_lrs]))

    @property
    def bounds(self) -> tuple[float, float]:
        """Log2 rates between which the optimum lies, because training does no better than chance there."""
        below = [rate for rate in self.saturated_log2_lrs if (rate < self.log2_lrs).all()]
        above = [rate for rate in self.saturated_log2_lrs if (rate > self.log2_lrs).all()]
        return (max(below, default=-math.inf), min(above, default=math.inf))

    def weights(self, variance: float) -> Floats:
        """Return inverse variances: of the seeds, and of the shape, which is known to HEIGHT_ERROR only.

        Neighbours share the error of the shape: all rates within about a quarter of an octave count for it like one.
        Farther than FAR octaves from the least error the shape is hardly known.
        """
        return np.asarray(1 / (variance * self.variance_factors + self._inflation * self._shape_variances))

    def num_effective(self, variance: float) -> float:
        """Count the errors, those less that are crowded or far from the least error."""
        plain = variance * self.variance_factors + self._shape_variances
        return float(plain @ self.weights(variance))

    @property
    def _neighbours(self) -> NDArray[np.bool_]:
        return np.abs(self.log2_lrs[:, None] - self.log2_lrs) < NEIGHBOURHOOD

    @property
    def _means(self) -> Floats:
        """Errors averaged over neighbours."""
        return np.asarray(self._neighbours @ self.errors / self._neighbours.sum(axis=1))

    @property
    def _shape_variances(self) -> Floats:
        return np.asarray((HEIGHT_ERROR * (self._means - self._means.min(initial=math.inf))) ** 2)

    @property
    def _inflation(self) -> Floats:
        """Factors of the variances of the shape; the rates next to the least error are never far."""
        best = int(self._means.argmin())
        distances = np.abs(self.log2_lrs - self.log2_lrs[best])
        distances[max(best - 1, 0) : best + 2] = 0
        return np.asarray(self._neighbours.sum(axis=1) * np.maximum(distances / FAR, 1) ** FAR_POWER)


def curves_of(runs: Iterable[Run], chance_error_percent: float) -> tuple[list[Curve], Noise]:
    """Group runs by batch size (ascending) and rate, and estimate the noise from the runs of equal cells."""
    curves, noise = [], NO_NOISE_KNOWN
    for batch_size, members in sorted(grouped(runs, lambda run: run.batch_size).items()):
        cells, saturated = [], []
        for lr, repeats in sorted(grouped(members, lambda run: run.lr).items()):
            errors = np.array([run.error_percent for run in repeats])
            if not (errors < SATURATED_SHARE * chance_error_percent).all():
                saturated.append(math.log2(lr))
                continue
            inverse = np.array([1 / run.variance_factor for run in repeats])
            mean = float((inverse * errors).sum() / inverse.sum())
            cells.append((math.log2(lr), mean, 1 / float(inverse.sum())))
            if len(repeats) > 1:
                squares = float((inverse * (errors - mean) ** 2).sum())
                noise = noise.pooled_with(Noise(squares / (len(repeats) - 1), len(repeats) - 1))
        log2_lrs, means, factors = np.array(cells, dtype=np.float64).reshape(-1, 3).T
        curves.append(Curve(batch_size, log2_lrs, means, factors, np.array(saturated)))
    return curves, noise
