"""Which trials would tell most about the best learning rates, for what they cost.

**Rule.** The next trial belongs to the batch size whose interval of the optimum is widest, in octaves per cost; each
trial is assumed to leave SHRINKAGE of it. Where the interval reaches beyond the measured rates, the trial lies a
factor of 2 beyond them, at most MAX_BEYOND times on either side. Elsewhere it lies on a flank, 1 to 1.3 octaves from
the optimum, where it is farthest from all rates measured or proposed: flanks fix a minimum better than points near
it, between which the error hardly differs.

**Limits.** All trials are proposed at once, from what is known before any of them: in two rounds, half the budget
each, the second knows more. A narrower interval is worth less than it looks, since error is flat near its least:
`gains` tells how many points are at stake.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from results.insight.optima import BETTER_THAN_CHANCE, BestRates, Fit, Optimum
from results.insight.regret import rate_regret
from results.insight.runs import Noise
from results.insight.shapes import all_shapes
from trainable.rounding import round_significant

MAX_BEYOND = 2
"""Factors of 2 by which a proposed rate may lie beyond the measured ones."""
CLEAR_DEVIATIONS = 2.0
"""Standard deviations of a difference by which the error at an edge is clearly above the least one."""
FLANK_OCTAVES = (1.0, 1.1, 1.2, 1.3)
"""Distances from the best rate at which a trial may lie."""
LR_DIGITS = 3
SHRINKAGE = 0.6
"""Assumed width of an interval after one more trial, as a part of its width before."""
SETTLED_OCTAVES = 0.5
"""Width up to which an interval counts as narrow enough: the rate is known to a factor of 1.4."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial worth training, with one seed."""

    batch_size: int
    lr: float
    cost: float
    """Cost in the unit of the budget."""
    settles: str
    """What the trial tells, in a few words."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much lower the error would be if a batch size's best rate were known exactly."""

    points: float
    """Expected gain over the rate that looks best now."""
    most: float
    """Upper end of the 95 % interval."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Trials in the order of their worth."""

    proposals: tuple[Proposal, ...]
    open_sizes: tuple[int, ...]
    """Batch sizes whose best rate is not known well enough, within the budget or not."""
    gains: dict[int, Gain]
    """By batch size; only those with a fit."""

    @property
    def cost(self) -> float:
        return sum(proposal.cost for proposal in self.proposals)


@dataclass(slots=True)
class _Candidate:
    """A batch size, with what is known and proposed so far."""

    optimum: Optimum
    fit: Fit | None
    octaves: float
    """Width of the interval as far as it can still be narrowed."""
    rates: list[float]
    """Rates measured or proposed (log2)."""
    beyond: list[tuple[float, str]]
    """Rates beyond the measured ones that are not proposed yet, each with what it tells."""

    @property
    def is_open(self) -> bool:
        return self.octaves > SETTLED_OCTAVES and (bool(self.beyond) or self.fit is not None)

    def propose(self, cost: float) -> Proposal:
        """Return the next trial, and count it as done."""
        lr, settles = self.beyond.pop(0) if self.beyond else self._on_flank()
        self.rates.append(math.log2(lr))
        self.octaves *= SHRINKAGE
        return Proposal(self.optimum.batch_size, lr, cost, settles)

    def _on_flank(self) -> tuple[float, str]:
        best, (low, high) = math.log2(self.optimum.lr), self.fit.curve.bounds if self.fit else (-math.inf, math.inf)
        flanks = [best + sign * octaves for octaves in FLANK_OCTAVES for sign in (-1, 1)]
        allowed = [flank for flank in flanks if low < flank < high] or flanks
        farthest = max(allowed, key=lambda flank: min(abs(flank - rate) for rate in self.rates))
        settles = "how the error rises " + ("below" if farthest < best else "above") + f" {self.optimum.lr:.2g}"
        return round_significant(2**farthest, LR_DIGITS), settles


def advise(best: BestRates, costs: Mapping[int, float], budget: float) -> Advice:
    """Propose trials until the budget is spent or nothing is open.

    Args:
        best: what is known.
        costs: of one training, by batch size.
        budget: largest sum of the costs.
    """
    candidates = [_candidate(optimum, best) for optimum in best.optima]
    open_sizes = tuple(candidate.optimum.batch_size for candidate in candidates if candidate.is_open)
    proposals: list[Proposal] = []
    left = budget * (1 + 1e-9)

    def worth(candidate: _Candidate) -> float:
        return candidate.octaves / max(costs[candidate.optimum.batch_size], 1e-9)

    while options := [each for each in candidates if each.is_open and costs[each.optimum.batch_size] <= left]:
        chosen = max(options, key=worth)
        cost = costs[chosen.optimum.batch_size]
        proposals.append(chosen.propose(cost))
        left -= cost
    return Advice(tuple(proposals), open_sizes, _gains(best))


def _candidate(optimum: Optimum, best: BestRates) -> _Candidate:
    fit = best.fits.get(optimum.batch_size)
    is_open = _open_sides(optimum, fit, best.fit_noise)
    margins = [MAX_BEYOND if side_is_open else 0 for side_is_open in is_open]
    low = max(optimum.low, optimum.measured_low / 2 ** margins[0])
    high = min(optimum.high, optimum.measured_high * 2 ** margins[1])
    rates = [] if fit is None else fit.curve.rates.tolist()
    return _Candidate(optimum, fit, math.log2(high / low), rates, _beyond(optimum, is_open))


def _open_sides(optimum: Optimum, fit: Fit | None, noise: Noise) -> tuple[bool, bool]:
    """Return whether the best rate may lie below, and above, all that were measured.

    An interval may reach beyond a rate at which the error is clearly above the least one, since far-off points count
    for little in the fit; but then nothing better is to be expected farther out.
    """
    if fit is None:
        return True, BETTER_THAN_CHANCE not in optimum.why
    clear = CLEAR_DEVIATIONS * math.sqrt(2 * noise.variance)
    below, above = fit.curve.errors[[0, -1]] <= fit.curve.errors.min() + clear
    return bool(below) and optimum.low < optimum.measured_low, bool(above) and optimum.high > optimum.measured_high


def _beyond(optimum: Optimum, is_open: tuple[bool, bool]) -> list[tuple[float, str]]:
    """Return the rates beyond the measured ones on the sides that are open, the likelier side first, in turn."""
    measured = optimum.measured_low, optimum.measured_high
    sides = []
    for edge, factor, word, side_is_open in zip(measured, (0.5, 2.0), ("below", "above"), is_open, strict=True):
        edges = [edge * factor**step for step in range(MAX_BEYOND + 1)]
        told = [f"whether the best rate is {word} {before:.3g}" for before in edges[:-1]]
        rates = [round_significant(rate, LR_DIGITS) for rate in edges[1:]]
        sides += [list(zip(rates, told, strict=True))] if side_is_open else []
    if optimum.lr**2 > measured[0] * measured[1]:
        sides.reverse()
    return [rate for step in zip(*sides, strict=True) for rate in step]


def _gains(best: BestRates) -> dict[int, Gain]:
    gains = {}
    for optimum in best.optima:
        if (fit := best.fits.get(optimum.batch_size)) is not None:
            lr = 2.0 ** float(np.clip(math.log2(optimum.lr), fit.curve.log2_lrs[0], fit.curve.log2_lrs[-1]))
            most = min(rate_regret(fit, lr, best.critical_deviance).high, float(fit.curve.errors.min()))
            gains[optimum.batch_size] = Gain(_expected_cost(fit, lr, best.critical_deviance, best.fit_noise), most)
    return gains


def _expected_cost(fit: Fit, lr: float, critical: float, noise: Noise) -> float:
    """Return the mean cost of a rate over what is likely, weighted with the likelihood; an error is at least 0."""
    costs = np.minimum(
        fit.amplitudes[:, None, None] * all_shapes(math.log2(lr) - fit.log2_lrs), fit.curve.errors.min()
    )
    deviance, nu = fit.deviance - fit.deviance.min(), noise.degrees_of_freedom
    likely = deviance <= critical
    return float(
        np.average(
            np.minimum(costs[likely], fit.curve.errors.min()), weights=(1 + deviance[likely] / nu) ** (-(nu + 1) / 2)
        )
    )
