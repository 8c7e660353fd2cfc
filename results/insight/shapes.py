"""The shapes that error against log2 learning rate is allowed to have around its least point.

Every shape g(u), u in octaves from the best rate, has g(0) = 0 and g ~ u^2 near 0 (on the left for the two-sided
quadratics), so that the factor A before it is about the points that one octave costs.
"""

import functools
import itertools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RATIOS = tuple(2.0**power for power in range(-1, 6))
"""Right over left steepness of the two-sided quadratics."""
LEFT_RATES = (0.2, 0.5, 1.0)
RIGHT_RATES = (0.25, 0.5, 1.0, 2.0, 3.5)
"""Doublings per octave on either side of the exponential shapes."""
EXPONENTIALS = tuple(itertools.product(LEFT_RATES, RIGHT_RATES))
NUM_SHAPES = len(RATIOS) + len(EXPONENTIALS)

AMPLITUDE_SPREAD = 0.3
"""Standard deviation of ln A between batch sizes."""
RIGHT_SPREAD = 0.7
"""Standard deviation of the logarithm of the right steepness between batch sizes."""
LEFT_SPREAD = RIGHT_SPREAD / 2
MAX_EXPONENT = 40.0
"""Doublings beyond which an exponential is cut off: nothing measured lies there."""


def quadratic(u: Floats, ratio: float) -> Floats:
    """Return u^2 to the left of 0 and ratio * u^2 to the right."""
    return np.asarray(np.where(u > 0, ratio, 1.0) * u**2)


def exponential(u: Floats, left: float, right: float) -> Floats:
    """Return q 2^(-p u) + p 2^(q u) - p - q, normalised to curvature 2 at 0 (p: left, q: right)."""
    falling = np.exp2(np.minimum(-left * u, MAX_EXPONENT))
    rising = np.exp2(np.minimum(right * u, MAX_EXPONENT))
    scale = 2 / (np.log(2) ** 2 * left * right * (left + right))
    return np.asarray(scale * (right * falling + left * rising - left - right))


def all_shapes(u: Floats) -> Floats:
    """Return g(u) for every shape, on a new first axis."""
    shapes = [quadratic(u, ratio) for ratio in RATIOS]
    return np.stack(shapes + [exponential(u, left, right) for left, right in EXPONENTIALS])


@functools.cache
def shape_penalties() -> Floats:
    """Return -2 ln prior of a batch size's shape (second axis) given the shared one (first).

    It is infinite across families.
    """
    families = np.array([0] * len(RATIOS) + [1] * len(EXPONENTIALS))
    left = np.log([1.0] * len(RATIOS) + [left for left, _ in EXPONENTIALS])
    right = np.log([*RATIOS, *(right for _, right in EXPONENTIALS)])
    squares = ((left[:, None] - left) / LEFT_SPREAD) ** 2 + ((right[:, None] - right) / RIGHT_SPREAD) ** 2
    return np.asarray(np.where(families[:, None] == families, squares, np.inf))
