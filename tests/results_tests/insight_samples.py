"""Simulated sweeps with a known truth for the tests of `results.insight`."""

import math
from collections.abc import Callable, Iterable

import numpy as np

from results.insight.runs import Run

NOISE = 0.15
"""Standard deviation between seeds in points."""


def simulated_runs(
    best_lrs: dict[int, float], octaves: Iterable[float], seed: int = 0, shape: Callable[[float], float] | None = None
) -> list[Run]:
    """Draw a run per batch size at 0.8 times 2 to each power in `octaves`; errors grow as u^2 / 2 or as the shape."""
    random = np.random.default_rng(seed)
    height = shape or (lambda u: u**2 / 2)
    return [
        Run(size, lr, 8.0 + height(math.log2(lr / best)) + NOISE * random.standard_normal())
        for size, best in best_lrs.items()
        for lr in (0.8 * 2.0**step for step in octaves)
    ]


def power_law(exponent: float, sizes: Iterable[int] = (64, 128, 256, 512, 1024, 2048)) -> dict[int, float]:
    """Return best rates that are 0.8 at batch size 362."""
    return {size: 0.8 * (size / 362) ** exponent for size in sizes}


def levelling(lr_max: float, noise_size: float, sizes: Iterable[int]) -> dict[int, float]:
    return {size: lr_max / (1 + noise_size / size) for size in sizes}
