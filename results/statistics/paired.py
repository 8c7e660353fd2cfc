"""Differences between configurations, paired over seeds and over test images.

**What varies.** Run s of a configuration misses image i or not: X_si is 100 or 0. The difference of two
configurations with k common seeds is the mean over seeds and images of D_si, the other's X_si minus the first's. It
would be another one with other seeds, and with other test images of the same kind: both are random, as readers and
cases are in radiology (Dorfman, Berbaum and Metz 1992). Its variance is

    F V + (T - V)    with    T = Var_i(mean_s D_si) / n    and    V = mean_i(Var_s D_si) / (k n).

T is that of a paired test over n images, McNemar's for several runs. V is the part of it that another training would
change, and T - V what the configurations do to single images. The bits of few runs tell both well. But seeds differ
by more than images that are missed independently explain: F = Var_s(mean_i D_si) / (k V) is often far above 1, and
never truly below. McNemar's test alone takes F for 1, and calls chance a difference.

**What is pooled.** A pair has few seeds, so that its F is uncertain. The F of other pairs moderate it, with the
weight that their agreement deserves (Smyth 2004: limma). The difference in standard errors then follows Student's t.
The images' part has so many degrees of freedom that it counts as known (Hillis 2007).

**Without common seeds** the runs of both sides take the place of D: V and F are theirs, T stays the same. Where a
side has a single run, V is not known and taken to be all of T, with the F of other pairs. Where no pair has repeats,
nothing tells F: the interval is that of F = 1, and the verdict is 'cannot tell'.

Sources: D. D. Dorfman, K. S. Berbaum, C. E. Metz, Invest. Radiol. 27 (1992) 723-731; S. L. Hillis, Stat. Med. 26
(2007) 596-619; G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004) 3.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from results.parquet.trials import Trial
from results.published.recipe import published_recipe
from results.statistics.compare import Difference, judged_family
from results.statistics.matching import num_test_images
from results.statistics.noise import Floats
from results.statistics.pairing import SWEEP, Arm, Pair, pair_arms
from results.statistics.sequel import effect
from results.statistics.verdicts import Verdict, equality_p
from trainable.errors import UserError
from trainable.grouping import grouped

Misses = NDArray[np.int8]
UNLIMITED = 1e9
"""Degrees of freedom of a normal distribution."""
COIN_FLIP = 0.25 * 100**2
"""Variance of an image that is missed by chance: at least one image is always uncertain."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A difference with the parts of its variance, in points and squared points."""

    points: float
    images: float
    """T, the variance over images of one mean over seeds."""
    training: float
    """V, the part of T that another training would change; T where a side has a single run."""
    excess: float
    """F of this pair alone; NaN without repeats."""
    degrees_of_freedom: int
    """Degrees of freedom of `excess`."""
    num_images: int


@dataclass(frozen=True, slots=True)
class Excess:
    """F of all pairs together, and how much it is worth for each of them."""

    factor: float
    """NaN if no pair has repeats."""
    weight: float
    """Degrees of freedom that it adds to those of a pair; infinite if the pairs differ by no more than chance."""
    degrees_of_freedom: int
    """Sum over all pairs."""

    def for_pair(self, measured: Measured) -> tuple[float, float]:
        """Return F of a pair with its degrees of freedom; 1 and 0 if nothing is known of it."""
        own, most = measured.degrees_of_freedom, self.degrees_of_freedom
        if not most:
            return 1.0, 0.0
        if math.isinf(self.weight):
            return max(self.factor, 1.0), most
        squares = self.weight * self.factor + (own * measured.excess if own else 0.0)
        return max(squares / (self.weight + own), 1.0), min(self.weight + own, most)


def measure(first: Misses, other: Misses, *, paired: bool) -> Measured:
    """Measure the difference of two configurations.

    Args:
        first: 1 where a run (first axis) misses an image (second axis), else 0.
        other: the same of the configuration that is compared.
        paired: whether equal rows have equal seeds.
    """
    groups = [other - first] if paired else [other, -first]
    return _measure([np.asarray(100.0 * rows, dtype=np.float64) for rows in groups])


def _measure(groups: Sequence[Floats]) -> Measured:
    """Measure a sum of means over runs, whose rows are in points."""
    means = sum(np.asarray(rows.mean(axis=0), dtype=np.float64) for rows in groups)
    num_images = groups[0].shape[1]
    least = COIN_FLIP / num_images**2
    images = max(float(np.var(means, ddof=1)) / num_images, least / max(len(rows) for rows in groups))
    training, ratios, degrees = 0.0, 0.0, 0
    for rows in groups:
        if len(rows) > 1:
            by_training = max(float(rows.var(axis=0, ddof=1).mean()) / num_images, least)
            training += by_training / len(rows)
            ratios += (len(rows) - 1) * float(rows.mean(axis=1).var(ddof=1)) / by_training
            degrees += len(rows) - 1
    return Measured(
        points=float(np.mean(means)),
        images=images,
        training=images if any(len(rows) == 1 for rows in groups) else training,
        excess=ratios / degrees if degrees else math.nan,
        degrees_of_freedom=degrees,
        num_images=num_images,
    )


def common_excess(measured: Sequence[Measured]) -> Excess:
    """Estimate F from all pairs with repeats, and its weight from how much theirs differ (Smyth 2004)."""
    from scipy.special import digamma, polygamma

    repeated = [item for item in measured if item.degrees_of_freedom]
    degrees = np.array([item.degrees_of_freedom for item in repeated], dtype=np.float64)
    if not repeated:
        return Excess(math.nan, 0.0, 0)
    excess = np.array([item.excess for item in repeated])
    total = int(degrees.sum())
    least = np.array([(100 / item.num_images) ** 2 / 12 / item.training for item in repeated])
    logs = np.log(np.maximum(excess, least)) - digamma(degrees / 2) + np.log(degrees / 2)
    spread = float(logs.var(ddof=1) - polygamma(1, degrees / 2).mean()) if len(repeated) > 1 else 0.0
    if spread <= 0:
        return Excess(float((degrees * excess).sum()) / total, math.inf, total)
    weight = 2 * _inverse_trigamma(spread)
    return Excess(math.exp(logs.mean() + digamma(weight / 2) - math.log(weight / 2)), weight, total)


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly linear."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        x += trigamma * (1 - trigamma / value) / float(polygamma(2, x))
    return x


def judge_pairs(
    measured: Sequence[Measured],
    excess: Excess,
    *,
    margin: float,
    alpha: float,
    choices: Sequence[tuple[int, int]] | None = None,
) -> list[Difference]:
    """Test a family of differences; without repeats anywhere every verdict is 'cannot tell'."""
    errors, degrees = [], []
    for item in measured:
        factor, known = excess.for_pair(item)
        seeds, images = factor * item.training, max(item.images - item.training, 0.0)
        errors.append(math.sqrt(seeds + images))
        degrees.append(known * ((seeds + images) / seeds) ** 2 if known else UNLIMITED)
    points = [item.points for item in measured]
    tests = judged_family(points, errors, degrees, margin=margin, alpha=alpha, choices=choices)
    if excess.degrees_of_freedom:
        return tests
    return [replace(test, p_differs=1.0, p_reproduced=1.0, verdict=Verdict.CANNOT_TELL) for test in tests]


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A pair of configurations with its difference."""

    arm: str
    """The arm of the other configuration."""
    pair: Pair
    runs: tuple[tuple[Trial, ...], tuple[Trial, ...]]
    """The runs that are compared; with common seeds these alone."""
    is_paired: bool
    """Whether the runs are paired over seeds."""
    test: Difference | None
    """None if a side has no run with a record of its test images."""

    @property
    def verdict(self) -> str:
        return Verdict.NO_RESULT if self.test is None else effect(self.test)

    @property
    def has_equal_bits(self) -> bool:
        """Whether runs with equal seeds get the same test images right."""
        bits = [[trial.row.test_correct_bits for trial in runs] for runs in self.runs]
        return self.test is not None and self.is_paired and bits[0] == bits[1]

    @property
    def errors(self) -> tuple[float | None, float | None]:
        """Mean error of the runs of both sides."""
        first, other = (
            statistics.fmean(trial.row.test_error_percent or 0.0 for trial in runs) if runs else None
            for runs in self.runs
        )
        return first, other


@dataclass(frozen=True, slots=True)
class Average:
    """The mean difference over all pairs of an arm, which have the same seeds."""

    arm: str
    num_pairs: int
    test: Difference
    p_equal: float
    """p value of 'the differences of the pairs are equal'."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Arms compared with the first of them."""

    first: str
    by: str
    """The field of which the arms are values; SWEEP for sweeps."""
    best: str | None
    margin_points: float
    alpha: float
    excess: Excess
    pairs: tuple[ComparedPair, ...]
    averages: tuple[Average, ...]
    notes: tuple[str, ...]


def compare_arms(
    arms: Sequence[Arm], *, by: str = SWEEP, best: str | None = None, margin: float = 0.5, alpha: float = 0.05
) -> PairedComparison:
    """Compare all arms with the first; `by` and `best` are those of `pair_arms`, margin and alpha those of `compare`.

    Raises:
        UserError: a wrong field, or nothing can be paired.
    """
    first, *others = arms
    pairings = [(other, pair_arms(first, other, by=by, best=best)) for other in others]
    notes = [note for _, pairing in pairings for note in pairing.notes]
    if not any(pairing.pairs for _, pairing in pairings):
        raise UserError(f"nothing to compare: {'; '.join(pairing.notes[0] for _, pairing in pairings)}")
    found = [_measured_pair(other.label, pair) for other, pairing in pairings for pair in pairing.pairs]
    judged = [(compared, *measured) for compared, measured in found if measured is not None]
    excess = common_excess([measured for _, measured, _ in judged])
    choices = [compared.pair.choices for compared, _, _ in judged]
    options = {"margin": margin, "alpha": alpha}
    tests = judge_pairs([measured for _, measured, _ in judged], excess, choices=choices, **options)
    by_pair = {id(compared): test for (compared, _, _), test in zip(judged, tests, strict=True)}
    return PairedComparison(
        first.label,
        by,
        best,
        margin,
        alpha,
        excess,
        tuple(replace(compared, test=by_pair.get(id(compared))) for compared, _ in found),
        tuple(_averages(judged, tests, excess, **options)) if best is None else (),
        tuple(notes),
    )


def _measured_pair(arm: str, pair: Pair) -> tuple[ComparedPair, tuple[Measured, Misses | None] | None]:
    """Return a pair with the measurement of its difference, and the D_si if it is paired over seeds."""
    recipe = published_recipe()
    numbers = {num_test_images(cell, recipe) for cell in pair.sides}
    first, other = (
        {trial.config.seed: trial for trial in cell.finished if trial.row.test_correct_bits} for cell in pair.sides
    )
    common = sorted(first.keys() & other.keys())
    is_paired = len(common) >= min(2, len(first), len(other)) > 0
    if is_paired:
        first, other = ({seed: side[seed] for seed in common} for side in (first, other))
    compared = ComparedPair(arm, pair, (tuple(first.values()), tuple(other.values())), is_paired, None)
    if not first or not other or len(numbers) > 1:
        return compared, None
    left, right = (_missed(runs, min(numbers)) for runs in compared.runs)
    return compared, (measure(left, right, paired=is_paired), right - left if is_paired else None)


def _missed(trials: Sequence[Trial], num_images: int) -> Misses:
    """Return 1 where a run (first axis) misses a test image (second axis), else 0."""
    bits = [np.frombuffer(trial.row.test_correct_bits or b"", np.uint8) for trial in trials]
    return np.asarray(1 - np.unpackbits(np.array(bits), axis=1, count=num_images).astype(np.int8))


def _averages(
    judged: Sequence[tuple[ComparedPair, Measured, Misses | None]],
    tests: Sequence[Difference],
    excess: Excess,
    *,
    margin: float,
    alpha: float,
) -> list[Average]:
    """Test the mean difference of each arm with several pairs, if all have the same seeds and test images."""
    members = grouped(zip(judged, tests, strict=True), lambda row: row[0][0].arm)
    found = []
    for arm, rows in members.items():
        differences = [rows_of for (_, _, rows_of), _ in rows if rows_of is not None]
        seeds = {tuple(trial.config.seed for trial in compared.runs[0]) for (compared, _, _), _ in rows}
        if 1 < len(rows) == len(differences) and len(seeds) == 1 and len({d.shape for d in differences}) == 1:
            mean = _measure([100 * np.mean(differences, axis=0)])
            found.append((arm, [test for _, test in rows], mean))
    means = judge_pairs([mean for _, _, mean in found], excess, margin=margin, alpha=alpha) if found else []
    averages = []
    for (arm, members_of, _), mean_test in zip(found, means, strict=True):
        points, errors = (
            np.array([getattr(test, name) for test in members_of]) for name in ("points", "standard_error")
        )
        p_equal = equality_p(points, errors, max(excess.degrees_of_freedom, 1))
        averages.append(Average(arm, len(members_of), mean_test, p_equal))
    return averages
