"""Verdicts on differences between two noisy values: a t test, an equivalence test (TOST), and Holm's correction.

'differs' rejects 'the difference is 0' (two-sided t test). 'reproduced' rejects 'the difference is at least the
margin, in either direction' by two one-sided t tests (Schuirmann 1987): not having found a difference is never the
reason for it. If neither is rejected, the verdict is 'cannot tell'. A difference that exists but lies inside the
margin is 'reproduced': the margin defines what matters.

The tests of one kind over the rows of one comparison are a family, corrected by Holm (1979), which is valid under
any dependence: the tests share one estimate of the noise. In a whole table the chance of any wrong 'differs'
is at most alpha, and so is the chance of any wrong 'reproduced' (measured by `benchmarks/verdict_errors.py`).

A mean over rows says little if the rows differ from each other by more than their noise. `equality_p` tests this with
Cochran's Q. The noise is estimated, too, so that Q divided by its degrees of freedom is compared with an F
distribution: a chi-squared distribution would find too many disagreements.

Sources: D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657-680; S. Holm, Scand. J. Statist. 6 (1979) 65-70;
W. G. Cochran, Biometrics 10 (1954) 101-129.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from results.statistics.noise import Floats


class Verdict(StrEnum):
    """Conclusion of one row of a comparison."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot tell"
    NOT_COMPARABLE = "not comparable"
    """Our runs were trained with other settings than the published one."""
    NO_RESULT = "no result"
    """No run of the configuration has finished."""
    NOT_RUN = "not run"
    """The sweep does not contain the configuration."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Test results of a family of differences (the last axis), with p values adjusted by Holm's method."""

    p_differs: Floats
    p_reproduced: Floats
    alpha: float

    @property
    def reproduced(self) -> NDArray[np.bool_]:
        return np.asarray(self.p_reproduced <= self.alpha)

    @property
    def differs(self) -> NDArray[np.bool_]:
        return np.asarray((self.p_differs <= self.alpha) & ~self.reproduced)

    def verdicts(self) -> list[Verdict]:
        """Return one verdict per difference; the judgement must have a single axis."""
        return [
            Verdict.REPRODUCED if reproduced else Verdict.DIFFERS if differs else Verdict.CANNOT_TELL
            for reproduced, differs in zip(self.reproduced, self.differs, strict=True)
        ]


def judge(
    differences: Floats,
    standard_errors: Floats,
    degrees_of_freedom: float | Floats,
    *,
    margin: float,
    alpha: float,
    choices: NDArray[np.int64] | None = None,
) -> Judgement:
    """Run both tests on every difference; the last axis is a family.

    Args:
        differences: in points.
        standard_errors: in points, of the same shape.
        degrees_of_freedom: degrees of freedom of the noise estimates behind the standard errors.
        margin: largest difference, in points, that would not matter; above 0.
        alpha: chance of any wrong verdict of a kind in a family, in (0, 1).
        choices: of a single family, for each difference the number of configurations of which the reference is the
            best, and the number of those of which the other side is; None if nothing was chosen.

    Raises:
        ValueError: a standard error of 0.
    """
    if not np.all(standard_errors > 0):
        raise ValueError("a standard error must be above 0")
    differs = two_sided_p(differences, standard_errors, degrees_of_freedom)
    reproduced = equivalence_p(differences, standard_errors, degrees_of_freedom, margin)
    if choices is not None:
        differs = np.minimum(1, np.where(differences < 0, choices[:, 1], choices[:, 0]) * differs)
        reproduced = np.minimum(1, choices.max(axis=1) * reproduced)
    return Judgement(holm(differs), holm(reproduced), alpha)


def two_sided_p(differences: Floats, standard_errors: Floats, degrees_of_freedom: float | Floats) -> Floats:
    """Return the p values of Student's t test of 'the difference is 0'."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(degrees_of_freedom, -np.abs(differences) / standard_errors))


def equivalence_p(
    differences: Floats, standard_errors: Floats, degrees_of_freedom: float | Floats, margin: float
) -> Floats:
    """Return the larger p value of two one-sided t tests of 'the difference is at least `margin` points'."""
    from scipy.special import stdtr

    return np.asarray(stdtr(degrees_of_freedom, (np.abs(differences) - margin) / standard_errors))


def equality_p(differences: Floats, standard_errors: Floats, degrees_of_freedom: float) -> float:
    """Return the p value of 'all these independent differences are equal'; 1 for fewer than two."""
    from scipy.special import fdtrc

    num_free = len(differences) - 1
    if num_free < 1:
        return 1.0
    weights = standard_errors**-2
    mean = (weights * differences).sum() / weights.sum()
    q = (weights * (differences - mean) ** 2).sum()
    return float(fdtrc(num_free, degrees_of_freedom, q / num_free))


def holm(p_values: Floats) -> Floats:
    """Adjust the p values over the last axis: the i-th smallest of m times m - i + 1, made monotone, at most 1."""
    order = np.argsort(p_values, axis=-1, kind="stable")
    factors = np.arange(p_values.shape[-1], 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.take_along_axis(p_values, order, -1) * factors, axis=-1), 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, -1)
    return result


def t_quantile(probability: float | Floats, degrees_of_freedom: float | Floats) -> Floats:
    """Return quantiles of Student's t distribution."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(degrees_of_freedom, probability))
