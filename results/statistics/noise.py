"""How much the test errors of two runs of one configuration differ by chance.

**What varies.** The error of run r is e_r = mean over the n test images of X_ri, 1 where image i is missed. Our run
and the published one are independent trainings measured on the SAME images, so image i is missed with the same
probability p_i in both, and

    Var(e_ours - e_published) = Var(e_ours | images) + Var(e_published | images).

The sampling of the images is common to both and cancels. The binomial p(1-p)/n must therefore not be added: it also
contains the variance between images, Var(p_i)/n, which repeated trainings never show. If images are missed
independently of each other given the training (Jordan 2023 finds this for CIFAR-10), repeated trainings show

    Var(e_r | images) = sum p_i (1 - p_i) / n^2 = phi * p (1 - p) / n      with 0 <= phi <= 1.

**What is estimated.** phi, the dispersion factor of quasi-binomial models (McCullagh and Nelder 1989, section 4.5):
the sample variance of every configuration with repeats over its p(1-p)/n, averaged with the degrees of freedom nu as
weights. The binomial carries the noise from one error (and test set size) to another, and the repeats tell how
large it is. With normal errors nu * phi_hat / phi is chi-squared with nu degrees of freedom, independent of all
means: differences divided by their standard errors follow Student's t with nu. Nothing bounds phi_hat by 1: if
trainings are close to divergence, images are not missed independently.

**What is pooled.** Our repeats and the published ones, which are configurations printed in the published tables with
several errors, of single runs or medians of three, on one GPU or two. The median of three normal runs has 0.45 times
the variance of one and weighs accordingly. Whether runs of a median are printed, too, is not stated; phi_hat would be
the same within 1 %. Using either for the difference between both already assumes that our runs vary as the
published ones do; pooling ensures that a second seed never makes a verdict weaker than no repeats at all.

Sources: K. Jordan, 'On the Variance of Neural Network Training with respect to Test Sets and Distributions'
(arXiv 2304.01910); P. McCullagh and J. A. Nelder, 'Generalized Linear Models', 2nd ed., 1989.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Repeats:
    """Independent runs of one configuration."""

    test_errors: Sequence[float]
    """Percent, one per run or median of runs."""
    num_test_images: int
    variance_factors: Sequence[float] = ()
    """Variance of each error divided by that of a single run; empty if all are of single runs."""

    @property
    def spread(self) -> tuple[float, float]:
        """Mean error, and the variance of a single run in squared points."""
        factors = np.array(self.variance_factors or [1.0] * len(self.test_errors))
        mean, variance = mean_and_variance(np.array(self.test_errors, dtype=np.float64), factors)
        return float(mean), float(variance)


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Variance of a run's error as a multiple of the binomial variance of its test set."""

    factor: float
    degrees_of_freedom: int

    def run_variance(self, test_error_percent: float, num_test_images: int) -> float:
        """Return the variance of one run with this error, in squared points."""
        return float(self.factor * binomial_variance(test_error_percent, num_test_images))


def binomial_variance(test_error_percent: Any, num_test_images: Any) -> Floats:  # noqa: ANN401 (as numpy)
    """Return p(1-p)/n in squared points (percent squared), elementwise."""
    share = np.asarray(test_error_percent, dtype=np.float64) / 100
    return np.asarray(share * (1 - share) / num_test_images * 100**2)


def mean_and_variance(errors: Floats, variance_factors: Floats) -> tuple[Floats, Floats]:
    """Return the mean error over the last axis, with inverse variances as weights, and the variance of a single run.

    Args:
        errors: percent, of at least two runs or medians.
        variance_factors: variance of each error divided by that of a single run.
    """
    weights = 1 / variance_factors
    means = np.asarray((weights * errors).sum(-1) / weights.sum())
    squares = weights * (errors - means[..., None]) ** 2
    return means, np.asarray(squares.sum(-1) / (errors.shape[-1] - 1))


def dispersion_factor(variances: Floats, binomial_variances: Floats, degrees_of_freedom: Floats) -> Floats:
    """Return phi pooled over the last axis, which has one entry per configuration with repeats.

    Args:
        variances: sample variances between repeats, in squared points.
        binomial_variances: binomial variances of the same configurations, in squared points, all above 0.
        degrees_of_freedom: numbers of repeats minus one.
    """
    return np.asarray(
        (degrees_of_freedom * variances / binomial_variances).sum(-1) / degrees_of_freedom.sum(-1), dtype=np.float64
    )


def pooled_dispersion(groups: Sequence[Repeats]) -> Dispersion:
    """Estimate the noise from all configurations with at least two runs and a mean error between 0 and 100 %.

    Raises:
        ValueError: there is no such configuration.
    """
    used = [group for group in groups if len(group.test_errors) > 1 and 0 < statistics.fmean(group.test_errors) < 100]
    if not used:
        raise ValueError("no configuration with repeats to estimate the noise from")
    degrees = [len(group.test_errors) - 1 for group in used]
    means, variances = np.array([group.spread for group in used]).T
    factor = dispersion_factor(
        variances,
        binomial_variance(means, np.array([group.num_test_images for group in used])),
        np.array(degrees, dtype=np.float64),
    )
    return Dispersion(float(factor), sum(degrees))
