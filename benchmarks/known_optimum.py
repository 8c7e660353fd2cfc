"""A made-up training over learning rate and batch size whose best configuration is known.

With u = log10(lr / (0.1 B / 128)), the distance of the learning rate from the best one for batch size B (linear
scaling), the true error (percent) after epoch t of T = 27 is

    floor(u, B) = 8 + 6 u^2 + 0.2 log2(B / 64)^2
    error(t)    = floor + (90 - floor) (1 + t / tau)^-p + 10 max(0, u) (1 - t / T)
                  with tau = 0.25 sqrt(B / 128) epochs and p = 1.2 + 0.3 u

so that large batches and small learning rates learn slowly, large ones look worse than they are until the schedule
has lowered them, and curves cross. With u > 0.7 (5 times the best learning rate) the training diverges in its
second epoch. What is seen is the true error plus noise: of the training (0.25 points, the same in all its epochs) and
of every evaluation (0.4 points, about that of 5,000 held-out images at 9 %). An epoch takes 10 + 2560 / B seconds.
"""

import functools
import math

import numpy as np

from search_spaces.parameters import SearchParameter
from sweep.search.curves import TrialCurve
from trainable.records import Status

EPOCHS = 27
LR = SearchParameter("lr", "float", 0.001, 10.0, log=True)
BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024)
BATCH_SIZE = SearchParameter("batch_size", "categorical", choices=BATCH_SIZES)
PARAMETERS = (LR, BATCH_SIZE)
TRAINING_NOISE, EVALUATION_NOISE = 0.25, 0.4
"""Standard deviations in points."""
CHANCE = 90.0
"""Error of a classifier that has learnt nothing, in percent."""


def distance(lr: float, batch_size: int) -> float:
    """Return u: the decades between a learning rate and the best one for this batch size."""
    return math.log10(lr / (0.1 * batch_size / 128))


def diverges(lr: float, batch_size: int) -> bool:
    return distance(lr, batch_size) > 0.7


def true_error(lr: float, batch_size: int, epoch: int = EPOCHS) -> float:
    """Return the error in percent without noise, for a configuration that does not diverge."""
    u = distance(lr, batch_size)
    floor = 8 + 6 * u**2 + 0.2 * math.log2(batch_size / 64) ** 2
    tau = 0.25 * math.sqrt(batch_size / 128)
    decay = math.pow(1 + epoch / tau, -(1.2 + 0.3 * u))
    return floor + (CHANCE - floor) * decay + 10 * max(0.0, u) * (1 - epoch / EPOCHS)


@functools.cache
def optimum() -> float:
    """Return the smallest true error at the end, to 0.001 points."""
    rates = np.geomspace(LR.low, LR.high, 4001)
    return min(true_error(float(lr), size) for size in BATCH_SIZES for lr in rates if not diverges(float(lr), size))


def curve(lr: float, batch_size: int, seed: int, number: int) -> TrialCurve:
    """Return what a search sees of a training; its noise depends on the seed and the trial's number."""
    noise = np.random.default_rng((seed, number)).standard_normal(EPOCHS + 1)
    seconds = 10 + 2560 / batch_size
    if diverges(lr, batch_size):
        return TrialCurve((CHANCE, None), (seconds,) * 2, EPOCHS, Status.DIVERGED)
    seen = (
        true_error(lr, batch_size, epoch) + TRAINING_NOISE * noise[0] + EVALUATION_NOISE * noise[epoch]
        for epoch in range(1, EPOCHS + 1)
    )
    values = tuple(float(np.clip(value, 0, 100)) for value in seen)
    return TrialCurve(values, (seconds,) * EPOCHS, EPOCHS, Status.COMPLETE)
