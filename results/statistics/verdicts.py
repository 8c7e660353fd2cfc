"""Verdicts on differences between two noisy figures: a t test, its opposite (TOST), and Holm's correction.

'differs' rejects 'the difference is 0' (two-sided t test). 'reproduced' rejects 'the difference is at least the
margin, to either side' by two one-sided t tests (Schuirmann 1987): that nothing was found is never the reason for
it. Where neither is rejected, the figures cannot tell. A difference that is there AND inside the margin is
'reproduced': the margin says what matters.

The tests of one kind over the rows of one comparison are a family, corrected by Holm (1979), which holds under any
dependence between them: they share one estimate of the noise. So in a whole table the chance of any wrong 'differs'
is at most alpha, and so is the chance of any wrong 'reproduced' (measured by `benchmarks/verdict_errors.py`).

Sources: D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657-680; S. Holm, Scand. J. Statist. 6 (1979) 65-70.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from results.statistics.noise import Floats


class Verdict(StrEnum):
    """What a row of a comparison says."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot tell"
    NOT_COMPARABLE = "not comparable"
    """Trained otherwise than the published row."""
    NO_RESULT = "no result"
    """No run of the configuration has finished."""
    NOT_RUN = "not run"
    """The sweep does not hold the configuration."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a family of differences (the last axis); p values are Holm's."""

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
        """One a difference, of a judgement with one axis."""
        return [
            Verdict.REPRODUCED if reproduced else Verdict.DIFFERS if differs else Verdict.CANNOT_TELL
            for reproduced, differs in zip(self.reproduced, self.differs, strict=True)
        ]


def judge(
    differences: Floats, standard_errors: Floats, degrees_of_freedom: int, *, margin: float, alpha: float
) -> Judgement:
    """Both tests on every difference; the last axis is a family.

    Args:
        differences, standard_errors: points, of equal shape.
        degrees_of_freedom: of the estimate of the noise behind the standard errors.
        margin: largest difference, in points, that would not matter; above 0.
        alpha: chance of any wrong verdict of a kind in a family, in (0, 1).

    Raises:
        ValueError: a standard error of 0.
    """
    if not np.all(standard_errors > 0):
        raise ValueError("a standard error must be above 0")
    differs = two_sided_p(differences, standard_errors, degrees_of_freedom)
    reproduced = equivalence_p(differences, standard_errors, degrees_of_freedom, margin)
    return Judgement(holm(differs), holm(reproduced), alpha)


def two_sided_p(differences: Floats, standard_errors: Floats, degrees_of_freedom: int) -> Floats:
    """Of Student's t test of 'the difference is 0'."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(degrees_of_freedom, -np.abs(differences) / standard_errors))


def equivalence_p(differences: Floats, standard_errors: Floats, degrees_of_freedom: int, margin: float) -> Floats:
    """Of two one-sided t tests of 'the difference is at least `margin` points to either side': the larger p."""
    from scipy.special import stdtr

    return np.asarray(stdtr(degrees_of_freedom, (np.abs(differences) - margin) / standard_errors))


def holm(p_values: Floats) -> Floats:
    """Adjusted p values over the last axis: the i-th smallest of m times m - i + 1, never falling, at most 1."""
    order = np.argsort(p_values, axis=-1, kind="stable")
    factors = np.arange(p_values.shape[-1], 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.take_along_axis(p_values, order, -1) * factors, axis=-1), 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, -1)
    return result


def t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """Of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))
