"""How the best learning rate grows with the batch size: a power law, or growth that levels off.

**Laws.** With m the log2 of the best rate and mu its value by the law, m ~ N(mu, tau^2) at every batch size B, and

    power law:     mu = a + alpha log2 B                        (alpha 1: linear rule; 1/2: square-root rule)
    levelling off: lr* = lr_max / (1 + B_noise / B)             (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.11)

The second is the linear rule far below B_noise and a constant far above it.

**Inference.** p(law's parameters, tau) ~ prior * product over B of the integral of L_B(m) N(m; mu, tau^2), on grids;
L_B is the likelihood of `results.insight.optima`, so an optimum beyond the measured rates counts for what it is: a
bound. Priors: tau half-normal with 0.25 octaves; a, alpha, log2 lr_max and log2 B_noise uniform on their grids. The
Bayes factor is the ratio of both integrals (Kass and Raftery 1995: above 3, 'positive' evidence).
"""

import functools
import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import ndtr

from results.insight.optima import LEVEL, STEP, BestRates
from results.insight.runs import Floats

MIN_BATCH_SIZES = 3
SCATTER_SCALE = 0.25
"""Scale in octaves of the half-normal prior of tau, the scatter of the best rates about the law."""
SCATTERS = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8])
EXPONENTS = np.linspace(-0.25, 1.25, 91)
NOISE_SIZE_MARGIN = 1.0
"""Octaves by which the grid of B_noise exceeds the batch sizes on either side. Farther out this law is the linear
rule, or a constant, and would be preferred to the power law only because it can say nothing else."""
NUM_NOISE_SIZES = 49
PREFERRED_FACTOR = 3.0
"""Bayes factor from which one law is preferred."""
LINEAR, SQUARE_ROOT = 1.0, 0.5
"""The exponents of the linear rule (Goyal et al. 2017) and of the square-root rule (Krizhevsky 2014)."""


class Verdict(StrEnum):
    """What the data say about an exponent."""

    REJECTED = "rejected"
    COMPATIBLE = "compatible"
    CANNOT_TELL = "cannot tell"


class Preferred(StrEnum):
    """Which law describes the best rates better."""

    POWER = "power law"
    LEVELLING = "levelling off"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Band:
    """Median of a quantity's posterior with its central 95 % band."""

    value: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Law:
    """Both laws between batch size and best learning rate."""

    batch_sizes: tuple[int, ...]
    exponent: Band
    """Alpha of the power law. Alone it says little where levelling off is preferred."""
    lr_max: Band
    """Best rate of a very large batch, if it levels off."""
    noise_batch_size: Band
    """B_noise: the batch size whose best rate is half of lr_max. An end on the grid's edge is a bound only."""
    levelling_factor: float
    """Bayes factor of levelling off against the power law."""
    power_lrs: dict[int, Band]
    """Best rate by the power law, by batch size."""
    levelling_lrs: dict[int, Band]
    """Best rate by the levelling law, by batch size."""

    @property
    def preferred(self) -> Preferred:
        if self.levelling_factor > PREFERRED_FACTOR:
            return Preferred.LEVELLING
        return Preferred.POWER if self.levelling_factor < 1 / PREFERRED_FACTOR else Preferred.EITHER

    def verdict(self, exponent: float) -> Verdict:
        """Judge alpha = LINEAR or SQUARE_ROOT: compatible only where the other of the two is rejected."""
        if exponent not in self.exponent:
            return Verdict.REJECTED
        other = SQUARE_ROOT if exponent == LINEAR else LINEAR
        return Verdict.CANNOT_TELL if other in self.exponent else Verdict.COMPATIBLE


def law(best: BestRates) -> Law | None:
    """Fit both laws; None for fewer than three batch sizes with a fit."""
    if len(best.fits) < MIN_BATCH_SIZES:
        return None
    batch_sizes = tuple(best.fits)
    log2_sizes = np.log2(np.array(batch_sizes, dtype=np.float64))
    grid = next(iter(best.fits.values())).log2_lrs
    smoothed = _smoothed(best.likelihoods())
    offsets = grid[:, None]
    centre = log2_sizes.mean()
    power = _posterior(smoothed, grid, [offsets + EXPONENTS * (size - centre) for size in log2_sizes])
    margins = (log2_sizes.min() - NOISE_SIZE_MARGIN, log2_sizes.max() + NOISE_SIZE_MARGIN)
    noise_sizes = np.linspace(*margins, NUM_NOISE_SIZES)
    middle = -np.log2(1 + np.exp2(noise_sizes - centre))
    falls = [-np.log2(1 + np.exp2(noise_sizes - size)) for size in log2_sizes]
    levelling = _posterior(smoothed, grid, [offsets + fall - middle for fall in falls])
    return Law(
        batch_sizes=batch_sizes,
        exponent=_band(EXPONENTS, power.sum(axis=0)),
        lr_max=_exp2(_spread_band(offsets - middle, levelling)),
        noise_batch_size=_exp2(_band(noise_sizes, levelling.sum(axis=0))),
        levelling_factor=float(levelling.mean() / power.mean()),
        power_lrs={
            batch_size: _exp2(_spread_band(offsets + EXPONENTS * (size - centre), power))
            for batch_size, size in zip(batch_sizes, log2_sizes, strict=True)
        },
        levelling_lrs={
            batch_size: _exp2(_spread_band(offsets + fall - middle, levelling))
            for batch_size, fall in zip(batch_sizes, falls, strict=True)
        },
    )


@functools.lru_cache(maxsize=8)
def _kernels(num_points: int) -> Floats:
    """Return the weights that integrate over m (last axis) for every tau and mu; tails fall to the grid's ends."""
    index = np.arange(num_points)
    edges = np.concatenate([[-np.inf], index[1:] - 0.5, [np.inf]])
    widths = np.maximum(SCATTERS, 1e-3) / STEP
    return np.diff(np.asarray(ndtr((edges - index[:, None]) / widths[:, None, None])), axis=2)


def _smoothed(likelihoods: Floats) -> Floats:
    """Return the integral of L_B(m) N(m; mu, tau^2) by batch size, tau and mu."""
    return np.asarray(np.einsum("tij,bj->bti", _kernels(likelihoods.shape[1]), likelihoods, optimize=True))


def _posterior(smoothed: Floats, grid: Floats, means: list[Floats]) -> Floats:
    """Return the likelihood of the law's two parameters, with tau integrated over its prior.

    Args:
        smoothed: by batch size, tau and mu.
        grid: of mu.
        means: mu of each batch size, by the law's two parameters.
    """
    logs = np.log(np.maximum(smoothed, 1e-300))
    total = np.zeros((len(SCATTERS), *means[0].shape))
    for table, mean in zip(logs, means, strict=True):
        position = np.clip((mean - grid[0]) / STEP, 0, len(grid) - 1)
        before = np.minimum(position.astype(np.intp), len(grid) - 2)
        share = position - before
        total += table[:, before] * (1 - share) + table[:, before + 1] * share
    density = np.exp(-0.5 * (SCATTERS / SCATTER_SCALE) ** 2)
    prior = density * np.gradient(SCATTERS) * np.where(SCATTERS == 0, 0.5, 1.0)
    return np.asarray(np.einsum("t,tij->ij", prior / prior.sum(), np.exp(total)))


def _band(values: Floats, weights: Floats) -> Band:
    """Return the quantiles of values on an even grid, each spread over its cell."""
    step = values[1] - values[0]
    edges = np.append(values - step / 2, values[-1] + step / 2)
    cumulative = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
    low, middle, high = np.interp([(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], cumulative, edges)
    return Band(float(middle), float(low), float(high))


def _spread_band(values: Floats, weights: Floats) -> Band:
    """Return the quantiles of values that lie anyhow, in octaves."""
    edges = np.arange(values.min() - STEP / 2, values.max() + STEP, STEP / 2)
    counts, _ = np.histogram(values, edges, weights=weights)
    return _band((edges[1:] + edges[:-1]) / 2, counts)


def _exp2(band: Band) -> Band:
    return Band(*(math.exp2(value) for value in (band.value, band.low, band.high)))
