"""What a scaling rule for the learning rate costs in error."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from results.insight.optima import BestRates, Fit
from results.insight.runs import Floats
from results.insight.shapes import all_shapes
from trainable.errors import UserError

MAX_OUTSIDE = 0.5
"""Octaves beyond the measured rates within which the error at a rate is still told."""


class Rule(StrEnum):
    """How the learning rate follows the batch size."""

    LINEAR = "linear"
    """In proportion (Goyal et al. 2017)."""
    SQUARE_ROOT = "square root"
    """With its square root (Krizhevsky 2014)."""

    @property
    def exponent(self) -> float:
        return 1.0 if self is Rule.LINEAR else 0.5


@dataclass(frozen=True, slots=True)
class Regret:
    """Cost of a rule's learning rate at one batch size."""

    batch_size: int
    lr: float
    """The rate by the rule."""
    points: float
    """Most likely error above that of the best rate, in points; NaN where it is not measured."""
    low: float
    """Lower end of the 95 % interval; NaN where it is not measured."""
    high: float
    why: str
    """Why it is not measured; empty if it is."""

    @property
    def is_measured(self) -> bool:
        return not self.why


def rule_regret(best: BestRates, rule: Rule, anchor: int) -> list[Regret]:
    """Return what a rule that starts at the anchor's best rate costs at every batch size.

    The rate at the anchor is taken as chosen, so that every cost is that of a definite rate. The interval holds all
    costs A_B g(u - m_B) whose profile deviance is at most the 95 % point of F(1, nu): curvature, shape and optimum
    are uncertain together.

    Raises:
        UserError: the anchor's best rate is unknown.
    """
    if anchor not in best.fits:
        raise UserError(f"batch size {anchor} has no best rate to scale from: {', '.join(map(str, best.fits))} have")
    start = next(optimum.lr for optimum in best.optima if optimum.batch_size == anchor)
    return [
        rate_regret(fit, start * (batch_size / anchor) ** rule.exponent, best.critical_deviance)
        for batch_size, fit in best.fits.items()
    ]


def rate_regret(fit: Fit, lr: float, critical: float) -> Regret:
    """Return what a rate costs at the fit's batch size.

    Args:
        fit: of one batch size.
        lr: the rate.
        critical: deviance up to which the interval goes.
    """
    log2_lr, rates = math.log2(lr), fit.curve.log2_lrs
    if not rates[0] - MAX_OUTSIDE <= log2_lr <= rates[-1] + MAX_OUTSIDE:
        why = f"rates from {2 ** rates[0]:g} to {2 ** rates[-1]:g} were better than chance"
        return Regret(fit.curve.batch_size, lr, math.nan, math.nan, math.nan, why)
    costs = fit.amplitudes[:, None, None] * all_shapes(log2_lr - fit.log2_lrs)
    deviance = fit.deviance - fit.deviance.min()
    crossings = [_crossings(costs, deviance, critical, axis) for axis in (0, 2)]
    likely = np.concatenate([costs[deviance <= critical], *crossings])
    low, high = float(likely.min()), float(likely.max())
    optima = fit.log2_lrs[(deviance <= critical).any(axis=(0, 1))]
    if optima[0] <= log2_lr <= optima[-1]:
        low = 0.0
    return Regret(fit.curve.batch_size, lr, float(costs.flat[int(deviance.argmin())]), low, high, "")


def _crossings(costs: Floats, deviance: Floats, critical: float, axis: int) -> Floats:
    """Return the costs where the deviance crosses the critical one between neighbours on the grid, interpolated.

    The root of a deviance is about linear. Some deviances are infinite.
    """
    costs, roots = np.moveaxis(costs, axis, 0), np.sqrt(np.minimum(np.moveaxis(deviance, axis, 0), 1e12))
    limit = math.sqrt(critical)
    crosses = (roots[1:] <= limit) != (roots[:-1] <= limit)
    first, second = roots[:-1][crosses], roots[1:][crosses]
    share = (limit - first) / (second - first)
    return np.asarray(costs[:-1][crosses] * (1 - share) + costs[1:][crosses] * share)
