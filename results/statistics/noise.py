"""How far the test errors of two runs of one configuration lie apart by chance.

**What varies.** The error of run r is e_r = mean over the n test images of X_ri, 1 where image i is missed. Our run
and the published one are independent trainings that are measured on the SAME images, so image i is missed with
one and the same probability p_i in both, and

    Var(e_ours - e_published) = Var(e_ours | images) + Var(e_published | images).

The draw of the images is common to both and cancels. The binomial p(1-p)/n is therefore not to be added: it holds
the spread between images as well, Var(p_i)/n, which repeated trainings never show. What they do show is, where
images are missed independently of each other given the training (Jordan 2023 finds this for CIFAR-10),

    Var(e_r | images) = sum p_i (1 - p_i) / n^2 = phi * p (1 - p) / n      with 0 <= phi <= 1.

**What is estimated.** phi, the dispersion factor of quasi-binomial models (McCullagh and Nelder 1989, section 4.5):
the sample variance of every configuration with repeats over its p(1-p)/n, averaged by degrees of freedom nu. So the
binomial carries the noise from one error (and test set size) to another, and the repeats say how much of it is
there. With normal errors nu * phi_hat / phi is chi-squared with nu degrees of freedom, independent of all means:
differences over their standard errors follow Student's t with nu. Nothing bounds phi_hat by 1: where trainings are
close to divergence the images are not missed independently.

**What is pooled.** Our repeats and the published ones: configurations that stand in the published tables with
different errors. That our runs vary as the published do is assumed as soon as either is used for a difference of
both; pooled, a second seed never makes a verdict weaker than no repeats at all.

Sources: K. Jordan, 'On the Variance of Neural Network Training with respect to Test Sets and Distributions'
(arXiv 2304.01910); P. McCullagh and J. A. Nelder, 'Generalized Linear Models', 2nd ed., 1989.
"""

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL = statistics.NormalDist()


@dataclass(frozen=True, slots=True)
class Repeats:
    """Independent runs of one configuration."""

    test_errors: Sequence[float]
    """Percent, one a run."""
    num_test_images: int


@dataclass(frozen=True, slots=True)
class Dispersion:
    """The variance of a run over the binomial variance of its test set."""

    factor: float
    degrees_of_freedom: int

    def run_variance(self, test_error_percent: float, num_test_images: int) -> float:
        """Of one run of this error, in squared points."""
        return float(self.factor * binomial_variance(test_error_percent, num_test_images))


def binomial_variance(test_error_percent: Any, num_test_images: Any) -> Floats:  # noqa: ANN401 (as numpy)
    """p(1-p)/n in squared points (percent squared), elementwise."""
    share = np.asarray(test_error_percent, dtype=np.float64) / 100
    return np.asarray(share * (1 - share) / num_test_images * 100**2)


def dispersion_factor(variances: Floats, binomial_variances: Floats, degrees_of_freedom: Floats) -> Floats:
    """The pooled phi over the last axis: one entry a configuration with repeats.

    Args:
        variances: sample variances between repeats, in squared points.
        binomial_variances: of the same configurations, in squared points, all above 0.
        degrees_of_freedom: repeats less one.
    """
    return np.asarray(
        (degrees_of_freedom * variances / binomial_variances).sum(-1) / degrees_of_freedom.sum(-1), dtype=np.float64
    )


def pooled_dispersion(groups: Sequence[Repeats]) -> Dispersion:
    """From all configurations with at least two runs, none of which missed no image or every image.

    Raises:
        ValueError: there are none.
    """
    used = [group for group in groups if len(group.test_errors) > 1 and 0 < statistics.fmean(group.test_errors) < 100]
    if not used:
        raise ValueError("no configuration with repeats to estimate the noise from")
    degrees = [len(group.test_errors) - 1 for group in used]
    factor = dispersion_factor(
        np.array([statistics.variance(group.test_errors) for group in used]),
        binomial_variance(
            [statistics.fmean(group.test_errors) for group in used],
            np.array([group.num_test_images for group in used]),
        ),
        np.array(degrees, dtype=np.float64),
    )
    return Dispersion(float(factor), sum(degrees))


@functools.cache
def median_variance_factor(num_runs: int) -> float:
    """Variance of the median of independent normal runs over the variance of one run.

    The integral of x^2 over the density of the middle order statistic (David and Nagaraja, 'Order Statistics',
    2003, section 2.1); for three runs 1 - sqrt(3)/pi = 0.6698^2, where the mean has 1/3.

    Raises:
        ValueError: no odd number of runs: the published medians are of one and of three.
    """
    if num_runs < 1 or num_runs % 2 == 0:
        raise ValueError(f"the median of an odd number of runs is meant, got {num_runs}")
    below = num_runs // 2
    orders = num_runs * math.comb(num_runs - 1, below)
    step = 0.05  # the trapezoid rule is exact to rounding for a smooth density that has died away at both ends
    points = [index * step for index in range(-200, 201)]
    return step * sum(x * x * orders * (NORMAL.cdf(x) * NORMAL.cdf(-x)) ** below * NORMAL.pdf(x) for x in points)
