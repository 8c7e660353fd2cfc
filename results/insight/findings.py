"""What a sweep, or the published rows, tell: the functions of this room applied to groups of equal other settings."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from results.insight.critical import CriticalBatchSize, TunedCell, critical_batch_size
from results.insight.groups import Group
from results.insight.law import MIN_BATCH_SIZES, Law, law
from results.insight.noise import NoiseComponents, detectable_difference, noise_components
from results.insight.optima import MIN_RATES, BestRates, Optimum, Status, optima
from results.insight.regret import Regret, Rule, rule_regret
from results.insight.runs import NO_NOISE_KNOWN, Noise, Run, curves_of
from trainable.errors import UserError
from trainable.grouping import grouped
from trainable.wording import counted

COSTS = ("points", "low", "high")
NEAR_BEST = 1.5
"""Repeats tell the noise of good rates where their error is at most this many times the least of the batch size."""


@dataclass(frozen=True, slots=True)
class Insight:
    """What the runs of a group tell."""

    group: Group
    cautions: tuple[str, ...]
    """What limits all of the following; sentences without their full stop."""
    best: BestRates
    law: Law | None
    """Laws between batch size and best rate; None for fewer than three batch sizes with a fit."""
    anchor: int | None
    """Batch size from whose best rate the rules start; None if none has one."""
    regrets: Mapping[Rule, tuple[Regret, ...]]
    """Cost of each rule by batch size; empty without an anchor."""
    seed_noise: Noise
    """Variance between runs that differ in their seed, from repeats of good rates here and, scaled to the error of
    this group, in the other groups. It has no degrees of freedom without repeats."""
    components: NoiseComponents | None
    """What the test images tell of the noise of the test error; None for fewer than two runs with such a record."""

    @property
    def label(self) -> str:
        return self.group.label

    @property
    def tells_rates(self) -> bool:
        """Whether the best rate of any batch size is known, or a bound of it."""
        return any(optimum.status is not Status.CANNOT_TELL for optimum in self.best.optima)

    def detectable(self, num_runs: int = 1) -> float | None:
        """Return the difference (points) that this many runs of each configuration show; None without repeats."""
        return detectable_difference(self.seed_noise, num_runs) if self.seed_noise.degrees_of_freedom else None


@dataclass(frozen=True, slots=True)
class Critical:
    """The critical batch size of groups that differ in their epochs alone."""

    label: str
    """Label of the group with most epochs."""
    epochs: tuple[int, ...]
    found: CriticalBatchSize

    @property
    def is_told(self) -> bool:
        """Whether there is a band, or a bound."""
        return self.found.status is not Status.CANNOT_TELL


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a sweep or the published rows tell."""

    insights: tuple[Insight, ...]
    """The groups with the most batch sizes that tell a best rate first."""
    critical: tuple[Critical, ...]


def findings(groups: Sequence[Group], anchor: int | None = None) -> Findings:
    """Tell what groups of runs mean.

    Args:
        groups: of one sweep; the repeats of each tell the noise of the others, too.
        anchor: batch size from whose best rate the rules start; None chooses the smallest one that has one.

    Raises:
        UserError: no group has a best rate at the anchor.
    """
    noises = [_near_best_noise(group) for group in groups]
    insights = [
        _insight(group, noises[number], _scaled([*noises[:number], *noises[number + 1 :]], noises[number]), anchor)
        for number, group in enumerate(groups)
    ]
    if anchor is not None and all(insight.anchor is None for insight in insights):
        sizes = sorted({size for insight in insights for size in insight.best.fits})
        known = f": {', '.join(map(str, sizes))} have" if sizes else ", as no other has"
        raise UserError(f"--anchor {anchor}: this batch size has no best rate{known}")
    insights.sort(key=lambda insight: (-_num_told(insight), -len(insight.group.runs)))
    families = grouped(insights, lambda insight: (insight.group.family, insight.group.error))
    critical = [_critical(members) for members in families.values() if len({m.group.epochs for m in members}) > 1]
    return Findings(tuple(insights), tuple(critical))


@dataclass(frozen=True, slots=True)
class _Known:
    """Noise of good rates, and the error it was measured at."""

    noise: Noise
    error_percent: float


def _near_best_noise(group: Group) -> _Known:
    """Estimate the noise from repeats of rates that are near the best; others vary more."""
    near: list[Run] = []
    errors = []
    for curve in curves_of(group.runs, group.chance_error_percent)[0]:
        if len(curve.errors):
            limit = NEAR_BEST * curve.errors.min()
            good = set(np.round(curve.log2_lrs[curve.errors <= limit], 9))
            at_size = [run for run in group.runs if run.batch_size == curve.batch_size]
            near += [run for run in at_size if np.round(np.log2(run.lr), 9) in good]
            errors.append(float(curve.errors.min()))
    _, noise = curves_of(near, group.chance_error_percent)
    return _Known(noise, statistics.median(errors) if errors else 0.0)


def _scaled(others: Sequence[_Known], own: _Known) -> Noise:
    """Pool the noise of other groups; variances go with p (1 - p), as that of the binomial distribution."""
    pooled = NO_NOISE_KNOWN
    for known in others:
        if known.noise.degrees_of_freedom and 0 < known.error_percent < 100:
            factor = _binomial(own.error_percent) / _binomial(known.error_percent)
            pooled = pooled.pooled_with(Noise(known.noise.variance * factor, known.noise.degrees_of_freedom))
    return pooled


def _binomial(error_percent: float) -> float:
    return error_percent * (100 - error_percent)


def _insight(group: Group, own: _Known, others: Noise, anchor: int | None) -> Insight:
    best = optima(group.runs, others, group.chance_error_percent)
    start = _anchor(best, anchor)
    seed_noise = own.noise.pooled_with(others)
    return Insight(
        group,
        (*group.cautions, *_too_few(best, group.runs, seed_noise)),
        best,
        law(best),
        start,
        {} if start is None or len(best.fits) < 2 else {rule: _regrets(best, rule, start, group) for rule in Rule},
        seed_noise,
        noise_components(group.predictions),
    )


def _anchor(best: BestRates, wanted: int | None) -> int | None:
    known = [optimum.batch_size for optimum in best.optima if optimum.status is Status.INSIDE]
    if wanted is not None:
        return wanted if wanted in best.fits else None
    return known[0] if known else None


def _regrets(best: BestRates, rule: Rule, start: int, group: Group) -> tuple[Regret, ...]:
    """Return the costs of a rule, none of which makes a run worse than guessing."""
    least = {size: float(fit.curve.errors.min()) for size, fit in best.fits.items()}
    most = {size: max(group.chance_error_percent - error, 0.0) for size, error in least.items()}
    return tuple(
        replace(regret, **{name: min(getattr(regret, name), most[regret.batch_size]) for name in COSTS})
        if regret.is_measured
        else regret
        for regret in rule_regret(best, rule, start)
    )


def _num_rates(optimum: Optimum, runs: Sequence[Run]) -> int:
    return len({run.lr for run in runs if run.batch_size == optimum.batch_size})


def _too_few(best: BestRates, runs: Sequence[Run], noise: Noise) -> list[str]:
    """Return cautions about what the runs are too few for."""
    few = [str(item.batch_size) for item in best.optima if _num_rates(item, runs) < MIN_RATES]
    found = []
    if few and len(few) < len(best.optima):
        sizes = ", ".join(few)
        found.append(
            f"fewer than {MIN_RATES} rates at batch size {sizes}: try {MIN_RATES} or more, each twice the last"
        )
    if 0 < len(best.fits) < MIN_BATCH_SIZES:
        sizes = counted(len(best.fits), "batch size")
        found.append(f"only {sizes} with enough rates: a law between batch size and rate needs {MIN_BATCH_SIZES}")
    if not noise.degrees_of_freedom and best.fits:
        found.append("one seed per configuration: the noise between seeds is not known")
    return found


def _num_told(insight: Insight) -> int:
    return sum(optimum.status is not Status.CANNOT_TELL for optimum in insight.best.optima)


def _critical(insights: Sequence[Insight]) -> Critical:
    """Estimate the critical batch size from the groups of a family; untuned batch sizes count only if too few are."""
    cells = [
        TunedCell(optimum.batch_size, insight.group.epochs, _least_error(insight, optimum), is_tuned)
        for insight in insights
        for optimum in insight.best.optima
        for is_tuned in [optimum.status is Status.INSIDE]
    ]
    tuned = [cell for cell in cells if cell.is_tuned]
    enough = len({cell.epochs for cell in tuned}) > 1 and len({cell.batch_size for cell in tuned}) >= MIN_BATCH_SIZES
    longest = max(insights, key=lambda insight: insight.group.epochs)
    epochs = sorted({insight.group.epochs for insight in insights})
    return Critical(longest.label, tuple(epochs), critical_batch_size(tuned if enough else cells, longest.seed_noise))


def _least_error(insight: Insight, optimum: Optimum) -> float:
    """Return the fitted error at the best rate, or the least measured one."""
    if math.isfinite(optimum.error_percent):
        return optimum.error_percent
    return min(run.error_percent for run in insight.group.runs if run.batch_size == optimum.batch_size)
