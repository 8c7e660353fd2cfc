"""The best learning rate of every batch size, with an interval, from errors on a grid of rates.

**Model.** At batch size B the error at rate lr is y = c_B + A_B g(log2 lr - m_B) + e, with g one of
`results.insight.shapes`. c_B is profiled exactly. A_B and the steepness on either side are drawn towards values that
all batch sizes share, so that a batch size with a rate on one side only borrows its curvature from the others.
Var e = s2 + f (0.2 h)^2, with h the height above the batch size's least error; f is 1, more where rates are crowded
or over two octaves from the least error (`Curve.weights`): many of them would make certain what the shapes get wrong.
s2 comes from repeated runs and from the residuals together, with nu = nu0 + n - 2 K - 2 degrees of freedom (n cells,
those with f > 1 in part; K batch sizes).

**Interval.** The rates whose profile deviance D(m), minimised over everything else, is at most the 95 % point of
F(1, nu) (Cox and Hinkley, 'Theoretical Statistics', 1974, section 9.3; Bates and Watts, 'Nonlinear Regression
Analysis', 1988, chapter 6). The likelihood of a rate is (1 + D / nu)^(-(nu + 1) / 2), Student's t if D is a square.

**Limits.** A rate at which training does no better than chance bounds the optimum (error jumps there; no shape is
fitted to it). A second minimum of the error cannot be represented. Residuals far above the least error count for
little, so that s2 comes out low where the error keeps to one of the shapes exactly: without repeats it serves these
intervals, but is no estimate of the noise between seeds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import fdtri

from results.insight.runs import NO_NOISE_KNOWN, Curve, Floats, Noise, Run, curves_of
from results.insight.shapes import AMPLITUDE_SPREAD, all_shapes, shape_penalties

LEVEL = 0.95
MIN_RATES = 3
MARGIN = 4.0
"""Octaves beyond the measured rates in which an optimum is looked for."""
STEP, COARSE_STEP = 0.1, 0.25
"""Steps of the grid of optima, in octaves."""
AMPLITUDES = np.exp(np.arange(-2.4, 2.5, 0.2))
"""Grid of A around its best value."""
COARSE_AMPLITUDES = np.exp(np.arange(-5.0, 7.1, 0.5))
"""Grid of A in standard deviations of a run, to find that value."""
NUM_COARSE_FITS = 3
GUESSED_NOISE = 0.03
"""First guess of a run's standard deviation without repeats, as a part of the median error."""


MIN_VARIANCE = 1e-6
"""Least variance of a run in squared points, so that equal errors can be fitted."""

TOO_FEW_RATES = "fewer than 3 rates"
WITHIN_NOISE = "all errors within noise of each other"
OPEN_ON_BOTH_SIDES = "the interval reaches beyond the measured rates on both sides"
BETTER_THAN_CHANCE = "is better than chance"
"""End of the reason where too many rates diverged or taught nothing."""


class Status(StrEnum):
    """What is known about an optimum."""

    INSIDE = "inside"
    """The whole interval lies between measured rates."""
    AT_LEAST = "at least"
    """Only the lower end does: the best rate may be above all that were measured."""
    AT_MOST = "at most"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best learning rate of one batch size."""

    batch_size: int
    status: Status
    why: str
    """Reason of the status in a few words."""
    lr: float
    """The most likely best rate; outside the measured rates it is an extrapolation. NaN without a fit."""
    low: float
    """Lower end of the 95 % interval by the fit, also where that cannot be told from data; 0 where it is open."""
    high: float
    """Upper end of it; infinite where it is open."""
    error_percent: float
    """Fitted error at the best rate; NaN where that is an extrapolation."""
    measured_low: float
    measured_high: float
    """Lowest and highest rate measured."""

    @property
    def told(self) -> tuple[float, float]:
        """The ends of the interval that the status stands for: 0 and infinite if nothing can be told."""
        low = self.low if self.status in (Status.INSIDE, Status.AT_LEAST) else 0.0
        return low, self.high if self.status in (Status.INSIDE, Status.AT_MOST) else math.inf


@dataclass(frozen=True, slots=True)
class Fit:
    """The fit of one batch size, on the grids of A, shape and optimum."""

    curve: Curve
    deviance: Floats
    """Deviance above the best fit (A, shape, optimum), minimised over what all batch sizes share."""
    log2_lrs: Floats
    """Grid of optima."""
    amplitudes: Floats

    @property
    def profile(self) -> Floats:
        """Deviance above its least value by optimum."""
        profile = self.deviance.min(axis=(0, 1))
        return np.asarray(profile - profile.min())


@dataclass(frozen=True, slots=True)
class BestRates:
    """The optima of all batch sizes, ascending, and what the functions built on them need."""

    optima: tuple[Optimum, ...]
    fits: dict[int, Fit]
    """By batch size; only those with at least three rates better than chance or two and a saturated one."""
    seed_noise: Noise
    """Variance between seeds, from repeated runs alone: no degrees of freedom without any."""
    fit_noise: Noise
    """Pooled from repeats and residuals for the intervals here: no estimate of the noise between seeds."""

    @property
    def critical_deviance(self) -> float:
        return critical_deviance(self.fit_noise)

    def likelihoods(self) -> Floats:
        """Return the likelihood of every optimum on the grid, at most 1, by batch size (first axis)."""
        nu = self.fit_noise.degrees_of_freedom
        return np.array([(1 + fit.profile / nu) ** (-(nu + 1) / 2) for fit in self.fits.values()])


def critical_deviance(noise: Noise) -> float:
    """Return the 95 % point of F(1, nu)."""
    return float(fdtri(1, noise.degrees_of_freedom, LEVEL))


def optima(runs: Iterable[Run], noise: Noise = NO_NOISE_KNOWN, chance_error_percent: float = 90.0) -> BestRates:
    """Find the best learning rate of every batch size.

    Args:
        runs: final errors; repeated runs are recognised by equal batch size and rate.
        noise: further knowledge of the variance between seeds, from other configurations.
        chance_error_percent: error of guessing.
    """
    curves, repeats = curves_of(runs, chance_error_percent)
    usable = [curve for curve in curves if len(curve.rates) >= MIN_RATES and len(curve.errors) >= 2]
    known = noise.pooled_with(repeats)
    num_errors = sum(len(curve.errors) for curve in usable)
    degrees = known.degrees_of_freedom + num_errors - 2 * len(usable) - 2
    if not usable or degrees < 1:
        why = "too few rates in all for an estimate of the noise" if usable else ""
        return BestRates(tuple(_unknown(curve, why) for curve in curves), {}, known, known)
    pooled, amplitude = _coarse_fits(usable, known)
    grid = _grid(usable, STEP)
    amplitudes = amplitude * AMPLITUDES
    deviances = _joint([_deviance(curve, pooled.variance, grid, amplitudes) for curve in usable], amplitudes)[0]
    fits = {
        curve.batch_size: Fit(curve, deviance, grid, amplitudes)
        for curve, deviance in zip(usable, deviances, strict=True)
    }
    found = [
        _optimum(fits[curve.batch_size], pooled) if curve.batch_size in fits else _unknown(curve) for curve in curves
    ]
    return BestRates(tuple(found), fits, known, pooled)


def _grid(curves: Sequence[Curve], step: float) -> Floats:
    low = min(curve.rates[0] for curve in curves) - MARGIN
    high = max(curve.rates[-1] for curve in curves) + MARGIN
    return np.asarray(low + step * np.arange(math.ceil((high - low) / step) + 1))


def _coarse_fits(curves: Sequence[Curve], known: Noise) -> tuple[Noise, float]:
    """Return the noise pooled from repeats and residuals, and the best shared A.

    Residuals include the penalties: each A_B and steepness is a parameter that has an observation, its prior.
    """
    errors = np.concatenate([curve.errors for curve in curves])
    variance = max(known.variance or (GUESSED_NOISE * float(np.median(errors))) ** 2, MIN_VARIANCE)
    grid, amplitude = _grid(curves, COARSE_STEP), 1.0
    for _ in range(NUM_COARSE_FITS):
        amplitudes = math.sqrt(variance) * COARSE_AMPLITUDES
        tables = [_deviance(curve, variance, grid, amplitudes) for curve in curves]
        _, amplitude, least = _joint(tables, amplitudes)
        squares = known.variance * known.degrees_of_freedom + variance * least
        num_errors = round(sum(curve.num_effective(variance) for curve in curves))
        degrees = max(known.degrees_of_freedom + num_errors - 2 * len(curves) - 2, 1)
        variance = max(squares / degrees, MIN_VARIANCE)
    return Noise(variance, degrees), amplitude


def _deviance(curve: Curve, variance: float, grid: Floats, amplitudes: Floats) -> Floats:
    """Return the sum of squared standardised residuals by A, shape and optimum, with c_B at its best."""
    weights = curve.weights(variance)
    shapes = all_shapes(curve.log2_lrs - grid[:, None])
    mean_shape = shapes @ weights / weights.sum()
    residuals = curve.errors - np.average(curve.errors, weights=weights)
    centred = shapes - mean_shape[..., None]
    squares, products = centred**2 @ weights, centred @ (weights * residuals)
    a = amplitudes[:, None, None]
    deviance = a**2 * squares - 2 * a * products + weights @ residuals**2
    low, high = curve.bounds
    return np.asarray(np.where((grid < low - STEP) | (grid > high + STEP), np.inf, deviance))


def _joint(tables: Sequence[Floats], amplitudes: Floats) -> tuple[list[Floats], float, float]:
    """Add to each table what its A and shape cost elsewhere; return also the best shared A and its deviance.

    With p the penalties of a batch size's values given the shared ones, the cost of the shared values in one batch
    size is the least of table + p; the others' costs and p, minimised over the shared values, are what is added.
    """
    steps = (np.log(amplitudes[:, None] / amplitudes) / AMPLITUDE_SPREAD) ** 2

    def spread(costs: Floats) -> Floats:
        """Return the least of costs (A, shape) + penalties for every other A and shape."""
        by_amplitude = (costs[None] + steps[:, :, None]).min(axis=1)
        return np.asarray((by_amplitude[:, None, :] + shape_penalties()).min(axis=2))

    costs = [spread(table.min(axis=2)) for table in tables]
    total = sum(costs, np.zeros_like(costs[0]))
    least = total.min()
    best = int(np.unravel_index(int(total.argmin()), total.shape)[0])
    joint = [table + spread(total - cost)[:, :, None] for table, cost in zip(tables, costs, strict=True)]
    return joint, float(amplitudes[best]), float(least)


def _unknown(curve: Curve, why: str = "") -> Optimum:
    low, high = (2.0 ** float(curve.rates[index]) for index in (0, -1))
    if not why:
        at_chance = "only one error" if len(curve.errors) else "no error"
        why = f"{at_chance} {BETTER_THAN_CHANCE}" if len(curve.rates) >= MIN_RATES else TOO_FEW_RATES
    return Optimum(curve.batch_size, Status.CANNOT_TELL, why, math.nan, 0.0, math.inf, math.nan, low, high)


def _optimum(fit: Fit, noise: Noise) -> Optimum:
    curve, profile, grid = fit.curve, fit.profile, fit.log2_lrs
    limit = critical_deviance(noise)
    best, (low, high) = _vertex(profile, grid), _crossings(profile, grid, limit)
    ends = (min(low, best - STEP / 2), best, max(high, best + STEP / 2))
    low, best, high = np.clip(ends, *curve.bounds).tolist()
    measured_low, measured_high = float(curve.rates[0]), float(curve.rates[-1])
    status, why = _status(low >= measured_low, high <= measured_high)
    if _within_noise(curve, noise):
        status, why = Status.CANNOT_TELL, WITHIN_NOISE
    heights = fitted_heights(fit, curve.log2_lrs - best)
    error = float(np.average(curve.errors - heights, weights=curve.weights(noise.variance)))
    return Optimum(
        curve.batch_size,
        status,
        why,
        2.0**best,
        2.0**low if low > grid[0] else 0.0,
        2.0**high if high < grid[-1] else math.inf,
        error if measured_low <= best <= measured_high else math.nan,
        2.0**measured_low,
        2.0**measured_high,
    )


def fitted_heights(fit: Fit, octaves: Floats) -> Floats:
    """Return the points above the least error at these distances from the best rate, by the most likely shape."""
    amplitude, shape, _ = np.unravel_index(int(fit.deviance.argmin()), fit.deviance.shape)
    return np.asarray(fit.amplitudes[amplitude] * all_shapes(octaves)[shape])


def _status(closed_below: bool, closed_above: bool) -> tuple[Status, str]:
    if closed_below and closed_above:
        return Status.INSIDE, "the interval lies between measured rates"
    if closed_below:
        return Status.AT_LEAST, "the interval reaches above the highest rate"
    if closed_above:
        return Status.AT_MOST, "the interval reaches below the lowest rate"
    return Status.CANNOT_TELL, OPEN_ON_BOTH_SIDES


def _within_noise(curve: Curve, noise: Noise) -> bool:
    """Return whether one error for all rates is not rejected (F test); never with a saturated rate."""
    if len(curve.saturated_log2_lrs):
        return False
    weights = 1 / (noise.variance * curve.variance_factors)
    mean = np.average(curve.errors, weights=weights)
    degrees = len(curve.errors) - 1
    ratio = float(weights @ (curve.errors - mean) ** 2) / degrees
    return ratio <= float(fdtri(degrees, noise.degrees_of_freedom, LEVEL))


def _crossings(profile: Floats, grid: Floats, limit: float) -> tuple[float, float]:
    """Return the lowest and highest point of the grid where the profile is at most the limit.

    Both are interpolated: the root of the profile is about linear.
    """
    roots, root = np.sqrt(profile), math.sqrt(limit)
    (inside,) = np.nonzero(roots <= root)
    first, last = int(inside[0]), int(inside[-1])
    low, high = float(grid[first]), float(grid[last])
    if first > 0:
        low -= STEP * (root - roots[first]) / (roots[first - 1] - roots[first])
    if last < len(grid) - 1:
        high += STEP * (root - roots[last]) / (roots[last + 1] - roots[last])
    return low, high


def _vertex(profile: Floats, grid: Floats) -> float:
    """Return where the profile is least, by a parabola through three points."""
    index = int(profile.argmin())
    if not 0 < index < len(grid) - 1:
        return float(grid[index])
    before, at, after = profile[index - 1 : index + 2]
    curvature = before - 2 * at + after
    if not 0 < curvature < math.inf:
        return float(grid[index])
    return float(grid[index] + STEP * (before - after) / (2 * curvature))
