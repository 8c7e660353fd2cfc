"""How much runs differ by chance: what a finite test set explains of it, and which differences can be seen.

A run's error is the mean over n test images of X_i, 1 where image i is missed. Its variance between seeds is s2.
Were images missed independently of each other given the training, it would be V = sum p_i (1 - p_i) / n^2, the part
that the finite test set explains (Jordan 2023, arXiv 2304.01910); F = s2 / V then is 1. F well above 1 means that
whole trainings differ in quality, and a larger test set would not help.

Two seeds of one configuration must not be told apart by McNemar's test on their images: it takes V for all of the
variance, and calls chance a difference as soon as F exceeds 1. Compare configurations by their seeds.
"""

import bisect
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, nctdtr, stdtrit

from results.insight.runs import NO_NOISE_KNOWN, Noise

Bits = NDArray[np.bool_]

POWER = 0.8
LEVEL = 0.95
MAX_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Trial:
    """One training and the test images that it got right at its last epoch."""

    configuration: str
    """Name that trials share if they differ in their seed alone."""
    correct: Bits
    """One value per test image, in the same order for all trials."""

    @property
    def error_percent(self) -> float:
        return 100 * float(1 - self.correct.mean())


@dataclass(frozen=True, slots=True)
class NoiseComponents:
    """Variance between seeds and what explains it, in squared points of error."""

    seeds: Noise
    """Variance between seeds; without repeats 0 with no degrees of freedom."""
    low: float
    """Lower end of the 95 % interval of the variance between seeds; without repeats a rough lower bound."""
    high: float
    """Upper end of it; infinite without repeats."""
    test_set: float
    """V, the variance of a run that the finite test set explains. Without repeats it is estimated from the two
    configurations that disagree least, half of whose disagreement is V plus what their true chances differ by."""

    @property
    def ratio(self) -> float:
        """F, the variance between seeds over what the test set explains; NaN without repeats."""
        return self.seeds.variance / self.test_set if self.seeds.degrees_of_freedom and self.test_set else math.nan

    @property
    def p_value(self) -> float:
        """Probability of so large a ratio if images are missed independently (chi-squared); NaN without repeats."""
        degrees = self.seeds.degrees_of_freedom
        return float(chdtrc(degrees, degrees * self.ratio)) if degrees else math.nan


def noise_components(trials: Iterable[Trial]) -> NoiseComponents | None:
    """Estimate the variance between seeds and its part from the test set; None for fewer than two trials.

    Without repeats the lower bound is V itself: a positive correlation between images only adds to it.
    """
    groups: dict[str, list[Bits]] = {}
    for trial in trials:
        groups.setdefault(trial.configuration, []).append(trial.correct)
    repeated = [np.array(group) for group in groups.values() if len(group) > 1]
    if not repeated:
        return _without_repeats(groups)
    noise, parts, degrees = NO_NOISE_KNOWN, 0.0, 0
    for correct in repeated:
        num_runs, num_images = correct.shape
        errors = 100 * (1 - correct.mean(axis=1))
        noise = noise.pooled_with(Noise(float(errors.var(ddof=1)), num_runs - 1))
        chances = correct.mean(axis=0)
        unbiased = num_runs / (num_runs - 1) * chances * (1 - chances)
        parts += (num_runs - 1) * 1e4 * float(unbiased.sum()) / num_images**2
        degrees += num_runs - 1
    squares = noise.variance * degrees
    tail = (1 - LEVEL) / 2
    return NoiseComponents(
        noise, squares / float(chdtri(degrees, tail)), squares / float(chdtri(degrees, 1 - tail)), parts / degrees
    )


def _without_repeats(groups: Mapping[str, Sequence[Bits]]) -> NoiseComponents | None:
    """Take the pair of configurations that disagree least.

    The expected disagreement of two independent trainings is the mean over images of
    p (1 - p) + q (1 - q) + (p - q)^2, which is 2 V n for equal chances and more for others.
    """
    bits = [group[0] for group in groups.values()]
    if len(bits) < 2:
        return None
    least = min(float((first != second).mean()) for first, second in itertools.combinations(bits, 2))
    test_set = 1e4 * least / (2 * len(bits[0]))
    return NoiseComponents(NO_NOISE_KNOWN, test_set, math.inf, test_set)


def detectable_difference(noise: Noise, num_runs: int, power: float = POWER) -> float:
    """Return the smallest difference (points) of two configurations that a two-sided test finds with this power.

    It is infinite without degrees of freedom: what is not known from repeats shows no difference.

    Args:
        noise: variance of one run; its degrees of freedom are those of the test (Student's t).
        num_runs: runs of each configuration, with seeds of their own.
        power: probability of finding it.
    """
    degrees = noise.degrees_of_freedom
    if degrees < 1:
        return math.inf
    critical = float(stdtrit(degrees, (1 + LEVEL) / 2))
    low, high = 0.0, 2 * critical + 100.0
    for _ in range(100):
        middle = (low + high) / 2
        found = 1 - float(nctdtr(degrees, middle, critical))
        low, high = (middle, high) if found < power else (low, middle)
    return high * math.sqrt(2 * noise.variance / num_runs)


def runs_needed(noise: Noise, difference: float, power: float = POWER) -> int | None:
    """Return how many runs of each configuration show a difference (points); None if over MAX_RUNS.

    Besides the known noise, the runs themselves tell it: each adds a degree of freedom per configuration.
    """

    def is_shown(num_runs: int) -> bool:
        degrees = noise.degrees_of_freedom + 2 * (num_runs - 1)
        known = Noise(noise.variance, degrees)
        return degrees > 0 and detectable_difference(known, num_runs, power) <= difference

    needed = bisect.bisect_left(range(MAX_RUNS + 1), True, lo=1, key=is_shown)
    return needed if needed <= MAX_RUNS else None
