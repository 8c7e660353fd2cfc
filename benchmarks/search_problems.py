"""The problems on which searches are compared, what a search chooses, and its regret.

`problem(name)` returns a training whose best configuration is known. The problems in HELD_OUT were not looked at
while the searches were developed (CONTRIBUTING.md, "Decisions"). Every epoch costs one unit of time. What is seen is
the error plus the noise of the training (one value for all of its epochs) and that of each evaluation; noise is a
function of the seed and of the parameters, so that all searches see the same. It needs numpy alone.

A history is the reports of a run in the order of time: (trial, params, epoch, value). The epoch in which a training
diverges is reported as 100 percent.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import search_functions as functions
from benchmarks.search_functions import EPOCHS, Axis, Errors, Params

TABLES = Path(__file__).resolve().parent / "results" / "search_tables"
NUM_FULL = 30
BUDGET = NUM_FULL * EPOCHS
"""Epochs of a run, all trials together."""
SHARES = (25, 50, 100)
"""Percentages of the budget after which the regret is taken."""
WORST = 100.0
"""What is reported of the epoch in which a training diverges."""
DEVELOPMENT = (
    "training", "sparse", "plateau", "crossing", "conditional", "hartmann_3", "hartmann_6", "published", "digits_mlp",
)  # fmt: skip
HELD_OUT = ("borehole", "currin", "branin", "training_4d", "digits_adamw", "cifar_cnn")
FIRST_SEED = {"development": 0, "held_out": 1000}

Report = tuple[int, Params, int, float]
History = Sequence[Report]

LR = Axis("lr", "float", 1e-3, 10, log=True)
WEIGHT_DECAY = Axis("weight_decay", "float", 1e-6, 1e-1, log=True)
MOMENTUM = Axis("momentum", "float", 0.0, 0.99)
SGD_AXES = (LR, Axis("batch_size", "categorical", choices=(8, 16, 32, 64, 128)), Axis("momentum", "float", 0, 0.98))
TABLE_AXES: dict[str, tuple[Axis, ...]] = {
    "digits_mlp": (*SGD_AXES, WEIGHT_DECAY),
    "digits_adamw": (
        Axis("lr", "float", 1e-5, 1, log=True),
        Axis("batch_size", "categorical", choices=(8, 16, 32, 64, 128)),
        Axis("weight_decay", "float", 1e-4, 10, log=True),
        Axis("beta1", "float", 0.0, 0.99),
    ),
    "cifar_cnn": (
        LR,
        Axis("batch_size", "categorical", choices=(32, 64, 128, 256)),
        Axis("momentum", "float", 0.0, 0.98),
        WEIGHT_DECAY,
    ),
}


@dataclass(frozen=True, slots=True)
class Curve:
    """What a search sees of a training."""

    values: tuple[float, ...]
    """Percent after epoch 1, 2, ...; of a training that diverges the last is 100, of the epoch in which it does."""
    diverged: bool


@dataclass(frozen=True)
class Problem:
    """A training of at most 27 epochs whose errors are known for all parameters."""

    name: str
    axes: tuple[Axis, ...]
    optimum: float
    """Smallest true error."""
    errors: Callable[[Params], Errors]
    """Errors without noise by epoch; fewer than `epochs` where the training diverges."""
    run_noise: float = 0.25
    evaluation_noise: float = 0.4
    """Standard deviations in points."""
    epochs: int = EPOCHS

    def curve(self, params: Params, seed: int) -> Curve:
        """Return what a search with this seed sees."""
        noise = self._generator(params, seed).standard_normal(EPOCHS + 1)
        errors = np.asarray(self._seen(params, noise[0]), dtype=float)
        seen = errors + self._run_noise(errors) * noise[0] + self.evaluation_noise * noise[1 : len(errors) + 1]
        seen[errors == functions.CHANCE] = functions.CHANCE
        values = [float(value) for value in np.clip(seen, 0, 100)]
        diverged = len(values) < self.epochs
        return Curve((*values, WORST) if diverged else tuple(values), diverged)

    def true_error(self, params: Params) -> float:
        """Return the error at the end without noise, or 100 where the training diverges."""
        errors = self.errors(params)
        return float(errors[-1]) if len(errors) == self.epochs else WORST

    def random_params(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw parameters uniformly, on the scale of each axis."""
        params: dict[str, Any] = {}
        for axis in self.axes:
            if axis.is_active(params):
                params[axis.name] = axis.value(float(rng.random()))
        return params

    def _generator(self, params: Params, seed: int) -> np.random.Generator:
        axes = [axis for axis in self.axes if axis.name in params]
        texts = (str(params[axis.name]) if axis.choices else f"{params[axis.name]:.12g}" for axis in axes)
        digest = hashlib.sha256(f"{self.name} {seed} {' '.join(texts)}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def _seen(self, params: Params, _noise: float) -> Errors:
        return self.errors(params)

    def _run_noise(self, _errors: NDArray[np.float64]) -> float:
        return self.run_noise


@dataclass(frozen=True)
class TableProblem(Problem):
    """Really trained networks: the answer is that of the nearest point of a table.

    A search sees the curve of one of the two seeds that were trained, so the noise of a run is the real one. The true
    error is the mean of both; a point is lost if one of them diverged.
    """

    curves: Callable[[Params], NDArray[np.float64]] = lambda params: np.empty(0)
    """Errors by seed and epoch; NaN from the epoch on in which a training diverges."""

    def _seen(self, params: Params, noise: float) -> Errors:
        chosen = self.curves(params)[int(noise > 0)]
        return np.asarray(chosen[np.isfinite(chosen)])

    def _run_noise(self, _errors: NDArray[np.float64]) -> float:
        return 0.0


def _table(name: str) -> TableProblem:
    with np.load(TABLES / f"{name}.npz") as table:
        units, errors = table["units"].astype(float), table["errors"].astype(float)
    axes = TABLE_AXES[name]

    def curves(params: Params) -> NDArray[np.float64]:
        at = np.array([axis.unit(params[axis.name]) for axis in axes])
        return np.asarray(errors[:, ((units - at) ** 2).sum(1).argmin()])

    def true(params: Params) -> Errors:
        mean = curves(params).mean(0)  # NaN where one of them has diverged
        return np.asarray(mean[np.isfinite(mean)])

    optimum = float(np.nanmin(errors[..., -1].mean(0)))
    return TableProblem(name, axes, optimum, true, evaluation_noise=0.2, curves=curves)


def _cube(num: int) -> tuple[Axis, ...]:
    return tuple(Axis(f"x{index + 1}", "float", 0.0, 1.0) for index in range(num))


def _sizes(first: int, last: int) -> Axis:
    return Axis("batch_size", "categorical", choices=tuple(2**power for power in range(first, last + 1)))


_BOREHOLE = {
    "rw": (0.05, 0.15), "r": (100, 50000), "tu": (63070, 115600), "hu": (990, 1110), "tl": (63.1, 116),
    "hl": (700, 820), "l": (1120, 1680), "kw": (9855, 12045),
}  # fmt: skip
_CONDITIONAL = (
    Axis("optimizer", "categorical", choices=("sgd", "adamw")),
    Axis("lr", "float", 1e-4, 10, log=True),
    Axis("momentum", "float", 0.0, 0.99, when="optimizer == 'sgd'"),
)
_FUNCTIONS: dict[str, tuple[tuple[Axis, ...], float, Callable[[Params], Errors]]] = {
    "training": ((LR, _sizes(4, 10)), 8.19135, functions.training),
    "sparse": ((LR, WEIGHT_DECAY), 8.44807, functions.sparse),
    "plateau": ((Axis("lr", "float", 1e-4, 10, log=True), MOMENTUM, WEIGHT_DECAY), 9.50392, functions.plateau),
    "crossing": ((LR, WEIGHT_DECAY), 8.11519, functions.crossing),
    "conditional": (_CONDITIONAL, 8.36112, functions.conditional),
    "hartmann_3": (_cube(3), 8.0, functions.hartmann(functions.HARTMANN_3)),
    "hartmann_6": (_cube(6), 8.0, functions.hartmann(functions.HARTMANN_6)),
    "published": ((Axis("lr", "float", 0.006, 25.6, log=True), _sizes(3, 12)), 7.32004, functions.published),
    "borehole": (
        tuple(Axis(name, "float", low, high) for name, (low, high) in _BOREHOLE.items()), 8.0, functions.borehole,
    ),
    "currin": (_cube(2), 7.99957, functions.currin),
    "branin": ((Axis("x1", "float", -5, 10), Axis("x2", "float", 0, 15)), 8.0, functions.branin),
    "training_4d": (
        (LR, Axis("batch_size", "int", 16, 1024, log=True), MOMENTUM, WEIGHT_DECAY), 8.18568, functions.training_4d,
    ),
}  # fmt: skip
"""Axes, optimum and errors. The optima were found numerically."""


@functools.cache
def problem(name: str) -> Problem:
    """Return a problem by its name."""
    if name in TABLE_AXES:
        return _table(name)
    axes, optimum, errors = _FUNCTIONS[name]
    return Problem(name, axes, optimum, errors)


def incumbent(history: History) -> Params:
    """Return the parameters that would be chosen after these reports.

    It is the trial with the lowest value at the last epoch, of those trained to their end; before any was, the lowest
    last value of those with the most epochs. A training that diverged comes after all others.
    """
    last: dict[int, tuple[bool, int, float]] = {}
    params = {}
    for trial, given, epoch, value in history:
        last[trial] = (epoch < EPOCHS and value == WORST, -epoch, value)
        params[trial] = given
    return params[min(last, key=last.__getitem__)]


def regrets(chosen: Problem, history: History) -> dict[str, float]:
    """Return the true error of the incumbent less the optimum, by percentage of the budget."""
    return {
        str(share): chosen.true_error(incumbent(history[: BUDGET * share // 100])) - chosen.optimum
        for share in SHARES
    }


def record_of(
    key: tuple[str, str, int, int], chosen: Problem, history: History, curves: Sequence[Curve], seconds: float
) -> dict[str, Any]:
    """Return the record of a run.

    Args:
        key: arm, problem, workers and seed.
        curves: those of the trials, in the order in which they were begun.
        seconds: processor time of the run.
    """
    arm, name, workers, seed = key
    last = curves[len(curves) * 3 // 4 :]
    return {
        "arm": arm,
        "problem": name,
        "workers": workers,
        "seed": seed,
        "regret": {share: round(value, 5) for share, value in regrets(chosen, history).items()},
        "trials": len(curves),
        "diverged_last_quarter": round(sum(curve.diverged for curve in last) / len(last), 4),
        "cpu_seconds": round(seconds, 3),
    }
