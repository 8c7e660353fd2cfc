"""Which configuration to repeat next until the best one is separated from all others.

**Allocation.** Every configuration begins with two runs. Then, in rounds, the best configuration and its closest
rival get further runs, where the closest rival is the one whose difference is smallest in standard errors (top-two
allocation: Russo 2016, arXiv 1602.08448; Jourdan et al. 2022, arXiv 2206.05979). A round has several pairs of picks,
in which earlier picks count as runs, so that several workers have something to do. The size of a round depends on
the number of configurations alone: the number of workers changes no decision.

**Verdict.** Let K be the number of configurations, t = 1 / Var(difference), s2 the variance between seeds and
rho = 3 / s2. With probability 1 - alpha all differences stay at all times within
sqrt((t + rho) / t^2 * 2 ln(2 (K - 1) sqrt((t + rho) / rho) / alpha)) of the true ones (the normal mixture of
Robbins 1970; Howard et al. 2021, arXiv 1810.08240, eq. 14). The best configuration is separated once all differences
exceed this radius.

**Limits.** s2 is pooled over the configurations near the best; for its few degrees of freedom the radius is widened
as Student's t is against the normal distribution. Diverged and failed runs put a configuration out of the contest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from results.insight.runs import Floats
from trainable.config import FIRST_REPEATS

ALPHA = 0.05
PRIOR_RUNS = 3.0
"""rho in units of 1 / s2: at how many runs the radius is tightest."""
NEAR_BEST = 1.5
"""Configurations within this multiple of the least mean error tell the variance between seeds."""
PICKS_PER_ROUND = 8
"""Number of configurations over which a round has one pair of picks."""
MIN_VARIANCE = 1e-6
"""Least variance of a run in squared points, for runs that are equal."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far configurations are repeated."""

    max_runs: int
    """Largest number of runs of a configuration."""
    budget: float = 1.0
    """Largest number of runs in all, as a share of `max_runs` for every configuration."""

    @property
    def start(self) -> int:
        """Number of runs that every configuration begins with."""
        return min(FIRST_REPEATS, self.max_runs)

    def max_total(self, num_configurations: int) -> int:
        """Return the largest number of runs of all configurations."""
        wanted = math.floor(self.budget * self.max_runs * num_configurations + 1e-9)
        return max(wanted, self.start * num_configurations)


@dataclass(frozen=True, slots=True)
class Contest:
    """State of the contest for the best configuration."""

    num_runs: tuple[int, ...]
    """Runs that every configuration is to have now."""
    best: int | None
    """The configuration with the least mean error; None while runs are missing, or if all are out."""
    rivals: tuple[int, ...]
    """Configurations that are not separated from the best, the closest one first."""
    largest_gap: float
    """Largest difference in mean error (points) between a rival and the best; 0 without rivals."""
    is_over: bool
    """Whether the best is separated, or no further run is allowed."""


def contest(errors: Sequence[Sequence[float]], limits: Limits) -> Contest:
    """Decide which runs are to be done: a function of the errors alone, in which a resumed sweep finds its decisions.

    Args:
        errors: final errors in percent of every configuration, in the order of its runs as far as they have ended;
            not finite for a run that diverged or failed. Runs beyond those that were decided are not looked at.
        limits: how far configurations are repeated.
    """
    num_runs = [limits.start] * len(errors)
    while all(len(found) >= number for found, number in zip(errors, num_runs, strict=True)):
        state = _State([found[:number] for found, number in zip(errors, num_runs, strict=True)])
        if math.isinf(state.means[state.best]):
            return Contest(tuple(num_runs), None, (), 0.0, is_over=True)
        rivals = state.rivals(np.array(num_runs, dtype=np.float64))
        picks = _round(state, num_runs, limits) if rivals else []
        if not picks:
            gap = max((float(state.means[rival] - state.means[state.best]) for rival in rivals), default=0.0)
            return Contest(tuple(num_runs), state.best, tuple(rivals), gap, is_over=True)
        for pick in picks:
            num_runs[pick] += 1
    return Contest(tuple(num_runs), None, (), 0.0, is_over=False)


class _State:
    """Mean errors and the variance between seeds after a round."""

    def __init__(self, errors: Sequence[Sequence[float]]) -> None:
        self.means: Floats = np.array([np.mean(found) if np.isfinite(found).all() else math.inf for found in errors])
        self.best = int(self.means.argmin())
        limit = NEAR_BEST * self.means.min()
        near = [found for found, mean in zip(errors, self.means, strict=True) if mean <= limit < math.inf]
        degrees = sum(len(found) - 1 for found in near)
        squares = sum(float(np.var(found) * len(found)) for found in near if len(found) > 1)
        self._variance = max(squares / degrees, MIN_VARIANCE) if degrees else math.inf
        self._widening = stdtrit(degrees, 1 - ALPHA / 2) / ndtri(1 - ALPHA / 2) if degrees else math.inf

    def rivals(self, num_runs: Floats) -> list[int]:
        """Return the configurations that are not separated from the best, the closest first."""
        variances = self._variance * (1 / num_runs + 1 / num_runs[self.best])
        gaps = self.means - self.means[self.best]
        order = np.argsort(gaps / np.sqrt(variances), kind="stable")
        is_open = gaps <= self._radii(variances)
        return [int(index) for index in order if is_open[index] and index != self.best]

    def _radii(self, variances: Floats) -> Floats:
        t, rho = 1 / variances, PRIOR_RUNS / self._variance
        level = 2 * max(len(variances) - 1, 1) * np.sqrt((t + rho) / rho) / ALPHA
        return np.asarray(self._widening * np.sqrt((t + rho) / t**2 * 2 * np.log(level)))


def _round(state: _State, num_runs: Sequence[int], limits: Limits) -> list[int]:
    """Return the configurations to run once more; none if no run is allowed that could settle anything."""
    counts = np.array(num_runs, dtype=np.float64)
    picks: list[int] = []
    for _ in range(math.ceil(len(counts) / PICKS_PER_ROUND)):
        pairs = [[k for k in (state.best, rival) if counts[k] < limits.max_runs] for rival in state.rivals(counts)]
        pair = next(filter(None, pairs), [])
        for pick in pair[: limits.max_total(len(counts)) - int(counts.sum())]:
            counts[pick] += 1
            picks.append(pick)
    return picks
