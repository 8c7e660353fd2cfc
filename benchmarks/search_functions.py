"""Made-up and published functions as trainings: the error in percent after each of 27 epochs, without noise.

Each function takes parameters and returns its errors by epoch. Fewer than 27 of them mean that the training diverges
in the epoch after the last. It needs numpy alone, since the peers of `search_peers.py` are measured in environments
of their own.

Functions of the literature are scaled to 8 percent at their optimum, and the fidelity is z = epoch / 27.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

EPOCHS = 27
CHANCE = 90.0
"""Error of a classifier that has learnt nothing."""
EPOCH = np.arange(1, EPOCHS + 1)
Z = EPOCH / EPOCHS
Params = Mapping[str, Any]
Errors = Sequence[float] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter of a problem."""

    name: str
    kind: Literal["float", "int", "categorical"]
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    choices: tuple[Any, ...] = ()
    when: str | None = None
    """Condition `NAME == 'CHOICE'` on an axis before this one; None where the parameter is always there."""

    def value(self, unit: float) -> Any:  # noqa: ANN401 (float, int or a choice)
        """Return the value at a position from 0 to 1."""
        if self.kind == "categorical":
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        low, high = self._ends
        value = low * (high / low) ** unit if self.log else low + (high - low) * unit
        value = min(max(round(value) if self.kind == "int" else value, self.low), self.high)
        return int(value) if self.kind == "int" else float(value)

    def unit(self, value: Any) -> float:  # noqa: ANN401
        """Return the position of a value from 0 to 1; choices lie at equal distances, in their order."""
        if self.kind == "categorical":
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        low, high = self._ends
        return float(math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low))

    @property
    def _ends(self) -> tuple[float, float]:
        """The ends of the interval; every int has an interval of its own."""
        half = 0.5 if self.kind == "int" else 0.0
        return self.low - half, self.high + half

    def is_active(self, params: Params) -> bool:
        """Return whether the parameter is there, given those before it."""
        if self.when is None:
            return True
        name, _, choice = self.when.partition(" == ")
        return bool(params[name] == choice.strip("'"))


def learning(floor: float, tau: float, power: float) -> NDArray[np.float64]:
    """Return errors that fall from chance to a floor by a power law."""
    return floor + (CHANCE - floor) * np.power(1 + EPOCH / tau, -power)


def training(params: Params) -> Errors:
    """Return errors of a training by learning rate and batch size B.

    With u = log10(lr / (0.1 B / 128)), the distance of the learning rate from the best one (linear scaling), the
    error after epoch t of T is

        floor(u, B) = 8 + 6 u^2 + 0.2 log2(B / 64)^2
        error(t)    = floor + (90 - floor) (1 + t / tau)^-p + 10 max(0, u) (1 - t / T)
                      with tau = 0.25 sqrt(B / 128) epochs and p = 1.2 + 0.3 u

    so that large batches and small learning rates learn slowly, large ones look worse than they are until the
    schedule has lowered them, and curves cross. With u > 0.7 the training diverges in its second epoch.
    """
    size = params["batch_size"]
    u = math.log10(params["lr"] / (0.1 * size / 128))
    if u > 0.7:
        return [CHANCE]
    floor = 8 + 6 * u**2 + 0.2 * math.log2(size / 64) ** 2
    return learning(floor, 0.25 * math.sqrt(size / 128), 1.2 + 0.3 * u) + 10 * max(0.0, u) * (1 - Z)


def sparse(params: Params) -> Errors:
    """Return errors that are good only in a narrow band of lr around 0.5; all above 1 diverge at once."""
    if params["lr"] > 1:
        return []
    u, v = math.log10(params["lr"] / 0.5), math.log10(params["weight_decay"] / 5e-4)
    return learning(8 + 60 * (1 - math.exp(-((u / 0.25) ** 2) / 2)) + 1.5 * v**2, 0.5, 1.3)


def plateau(params: Params) -> Errors:
    """Return errors that are exactly at chance in 70 % of the space, and learn in a band of lr / (1 - momentum)."""
    u = math.log10(params["lr"] / (1 - params["momentum"]) / 0.3)
    if abs(u) > 0.75:
        return np.full(EPOCHS, CHANCE)
    v = math.log10(params["weight_decay"] / 5e-4)
    return learning(8 + 20 * u**2 + 1.5 * v**2, 1.0, 1.2)


def crossing(params: Params) -> Errors:
    """Return curves that cross: large learning rates and much weight decay look bad early and are best at the end."""
    u, v = math.log10(params["lr"] / 0.5), math.log10(params["weight_decay"] / 1e-3)
    if u > 0.8:
        return [CHANCE]
    early = 20 / (1 + math.exp(-4 * (u + 0.5))) + 8 / (1 + math.exp(-3 * (v + 0.5)))
    return learning(8 + 4 * u**2 + 1.5 * v**2, 0.25, 1.4) + early * (1 - Z)


def conditional(params: Params) -> Errors:
    """Return errors of SGD with its momentum, or of AdamW without one; they want other learning rates."""
    if params["optimizer"] == "sgd":
        u, edge = math.log10(params["lr"] / (1 - params["momentum"])), 0.6
        floor = 8 + 6 * u**2 + 10 * (params["momentum"] - 0.9) ** 2
    else:
        u, edge = math.log10(params["lr"] / 0.003), 1.2
        floor = 8.6 + 5 * u**2
    return [CHANCE] if u > edge else learning(floor, 0.3, 1.2 + 0.2 * max(u, -2))


def training_4d(params: Params) -> Errors:
    """Return errors of a training by lr, batch size, momentum and weight decay, with the optimum near the edge.

    About 40 % of the space diverges, the later the nearer to the edge.
    """
    size, momentum = params["batch_size"], params["momentum"]
    u = math.log10(params["lr"] / (1 - momentum) / (0.3 * size / 128))
    v = math.log10(params["weight_decay"] / 5e-4) + 0.5 * u
    floor = 8 + 5 * u**2 + 1.2 * v**2 + 0.2 * math.log2(size / 64) ** 2 + 6 * (momentum - 0.9) ** 2
    errors = learning(floor, 0.25 * math.sqrt(size / 128), 1.2 + 0.2 * max(u, -3)) + 10 * max(0.0, u) * (1 - Z)
    return errors if u <= 0.25 else errors[: max(0, round(5 - 8 * (u - 0.25)))]


PUBLISHED = (2.064, 0.0825, -0.2414, 0.0199, 0.2669, -0.1251)
"""Coefficients of log(error) in 1, b, l, b^2, l^2, b l, by least squares over the 59 published rows of 200 epochs."""


def published(params: Params) -> Errors:
    """Return errors by a quadratic surrogate of the published rows, with b = log2(B / 128) and l = log10(lr / 0.1).

    The rows hold final errors alone: the shape of the curves is that of `training`. A rate above 6.4, or above
    6.4 B / 128, diverges: four times the largest published ones or more.
    """
    b, rate = math.log2(params["batch_size"] / 128), math.log10(params["lr"] / 0.1)
    if rate > math.log10(64) + math.log10(2) * min(0.0, b):
        return [CHANCE]
    floor = math.exp(sum(c * x for c, x in zip(PUBLISHED, (1, b, rate, b * b, rate * rate, b * rate), strict=True)))
    return learning(min(floor, 80.0), 0.25 * 2 ** (b / 2), 1.2) + 8 * max(0.0, rate - 0.15 * b) * (1 - Z)


HARTMANN_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_3 = (
    np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
    1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
    3.86278,
)
HARTMANN_6 = (
    np.array(
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    ),
    1e-4
    * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    ),
    3.32237,
)
"""Matrices A and P, and the largest value."""


def hartmann(matrices: tuple[NDArray[Any], NDArray[Any], float]) -> Callable[[Params], Errors]:
    """Return the multi-fidelity Hartmann function of Kandasamy et al. (2017), alpha(z) = alpha - 0.1 (1 - z)."""
    a, p, largest = matrices

    def errors(params: Params) -> Errors:
        x = np.array([params[f"x{index + 1}"] for index in range(a.shape[1])])
        parts = np.exp(-(a * (x - p) ** 2).sum(1))
        values = (HARTMANN_ALPHA - 0.1 * (1 - Z)[:, None]) @ parts
        return np.asarray(8 + 82 * (1 - values / largest))

    return errors


def borehole(params: Params) -> Errors:
    """Return the borehole function (to be maximized), which changes linearly from the low to the high fidelity."""
    ratio = math.log(params["r"] / params["rw"])
    leak = 2 * params["l"] * params["tu"] / (ratio * params["rw"] ** 2 * params["kw"])
    head = params["tu"] * (params["hu"] - params["hl"])
    high = 2 * math.pi * head / (ratio * (1 + leak + params["tu"] / params["tl"]))
    low = 5 * head / (ratio * (1.5 + leak + params["tu"] / params["tl"]))
    return np.asarray(8 + 82 * (1 - (Z * high + (1 - Z) * low) / 309.5756))


def currin(params: Params) -> Errors:
    """Return the Currin exponential function (to be maximized); the low fidelity is the mean of four neighbours."""

    def high(x1: float, x2: float) -> float:
        factor = 1 - (math.exp(-1 / (2 * x2)) if x2 > 0 else 0.0)
        return factor * (2300 * x1**3 + 1900 * x1**2 + 2092 * x1 + 60) / (100 * x1**3 + 500 * x1**2 + 4 * x1 + 20)

    x1, x2 = params["x1"], params["x2"]
    low = sum(high(x1 + a, max(0.0, x2 + b)) for a in (-0.05, 0.05) for b in (-0.05, 0.05)) / 4
    return 8 + 82 * (1 - (Z * high(x1, x2) + (1 - Z) * low) / 13.79865)


def branin(params: Params) -> Errors:
    """Return the multi-fidelity Branin function of Kandasamy et al. (2017), flattened far from its minima."""
    x1, x2 = params["x1"], params["x2"]
    b = 5.1 / (4 * math.pi**2) - 0.01 * (1 - Z)
    c = 5 / math.pi - 0.1 * (1 - Z)
    t = 1 / (8 * math.pi) + 0.05 * (1 - Z)
    values = (x2 - b * x1**2 + c * x1 - 6) ** 2 + 10 * (1 - t) * math.cos(x1) + 10
    return np.asarray(8 + 82 * (1 - np.exp(-np.maximum(values - 0.397887, -20) / 60)))
