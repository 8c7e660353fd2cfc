"""Shares of proposals that diverge, by quarter of the proposals, where searches were once drawn to them.

    few complete      lr from 0.001 to 10, all above 1 diverges at once; one trial of 25 is trained to its end, the
                      others are stopped after an epoch
    sparse, training  problems of `search_problems.py` under ASHA: many diverge; the space of batch size and lr
    shipped           under ASHA, the parameters of the shipped `lr_batch_tpe_asha`, with an edge at three times the
                      best lr
    loss              the held-out loss, which has no worst value, with an edge at twice the best lr; no scheduler
    two objectives    the same with the error and the training time

Where the sampler has to be told a finite worst value or a rank, the share falls; at random it stays as it is.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.search_arms import ASHA, ERROR, NONE, Driver, Run, SearchDriver, run
from benchmarks.search_functions import CHANCE, Axis, Errors, Params, learning
from benchmarks.search_problems import BUDGET, LR, WEIGHT_DECAY, Problem, problem
from search_spaces.schema import ObjectiveSpec
from search_spaces.search_checks import LEARN_FROM_COMPLETE, ONE_OBJECTIVE
from sweep.search.optuna_samplers import quiet
from trainable.records import Status

NUM_PROPOSALS = 200
TWO_OBJECTIVES = "two objectives"
ALGORITHMS = ("random", "tpe", "gp", "mfgp")
LOSS = ObjectiveSpec(metric="holdout_loss")
SECONDS = ObjectiveSpec(metric="train_seconds")


def _beside_the_edge(params: Params, best: float = 0.5) -> Errors:
    """Return errors that are lowest at the best lr; all above 1 diverge at once."""
    if params["lr"] > 1:
        return []
    u, v = math.log10(params["lr"] / best), math.log10(params["weight_decay"] / 5e-4)
    return learning(8 + 8 * u**2 + v**2, 0.5, 1.3)


def _shipped(params: Params) -> Errors:
    """Return errors that depend on base_lr / (1 - momentum); all above 1 diverges in its second epoch."""
    rate = params["base_lr"] / (1 - params["momentum"])
    if rate > 1:
        return [CHANCE]
    u, v = math.log10(rate / 0.3), math.log10(params["weight_decay"]) + 3.7
    return learning(8 + 6 * u**2 + 2 * v**2 + 0.15 * math.log2(params["batch_size"] / 64) ** 2, 0.3, 1.2)


EDGE = Problem("edge", (LR, WEIGHT_DECAY), 8.0, _beside_the_edge)
SHIPPED = Problem(
    "shipped",
    (
        Axis("base_lr", "float", 0.01, 1.0, log=True),
        Axis("batch_size", "categorical", choices=(32, 64, 128, 256, 512)),
        Axis("momentum", "float", 0.8, 0.98),
        Axis("weight_decay", "float", 1e-5, 1e-3, log=True),
    ),
    8.0,
    _shipped,
)
ONE_AXIS = Problem("few complete", (LR,), 8.0, lambda params: _beside_the_edge({**params, "weight_decay": 5e-4}, 0.1))


class _FewComplete:
    """Stops all but one of 25 trials after their first epoch."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.next, self.end = driver.next, driver.end

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        self._driver.report(number, epoch, value)
        if value is not None and number % 25:
            self._driver.end(number, Status.STOPPED)
            return True
        return False


def _under_asha(chosen: Problem) -> Callable[[Any, int], Run]:
    def form(algorithm: Any, seed: int) -> Run:  # noqa: ANN401 (one of Algorithm)
        return run(SearchDriver(chosen, algorithm, ASHA, seed), chosen, seed, workers=4)

    return form


def _beside_edge(*objectives: ObjectiveSpec) -> Callable[[Any, int], Run]:
    def form(algorithm: Any, seed: int) -> Run:  # noqa: ANN401
        return run(SearchDriver(EDGE, algorithm, NONE, seed, objectives), EDGE, seed, workers=4, budget=2 * BUDGET)

    return form


def _few_complete(algorithm: Any, seed: int) -> Run:  # noqa: ANN401
    driver = _FewComplete(SearchDriver(ONE_AXIS, algorithm, NONE, seed))
    return run(driver, ONE_AXIS, seed, workers=1, budget=NUM_PROPOSALS * 2)


FORMS: dict[str, Callable[[Any, int], Run]] = {
    "few complete": _few_complete,
    "sparse": _under_asha(problem("sparse")),
    "training": _under_asha(problem("training")),
    "shipped": _under_asha(SHIPPED),
    "loss": _beside_edge(LOSS),
    TWO_OBJECTIVES: _beside_edge(ERROR, SECONDS),
}

LEFT_OUT = {"loss": (), TWO_OBJECTIVES: ONE_OBJECTIVE}
"""Algorithms that are not for a form; for the others those that learn nothing from stopped trials."""


def shares(form: str, algorithm: str, num_seeds: int) -> list[float]:
    """Return the mean share of diverging proposals in each quarter, in percent."""
    found = []
    with quiet():
        for seed in range(num_seeds):
            done = FORMS[form](algorithm, seed)
            found.append([100 * done.diverging(part) for part in range(4)])
    return [round(float(value), 1) for value in np.mean(found, axis=0)]


def write(folder: Path, algorithms: Sequence[str], num_seeds: int) -> Path:
    """Print the table and write search_faults.json."""
    found = {
        form: {
            name: shares(form, name, num_seeds)
            for name in algorithms
            if name not in LEFT_OUT.get(form, LEARN_FROM_COMPLETE)
        }
        for form in FORMS
    }
    rows = {
        f"{form}: {name}": dict(zip(("1st", "2nd", "3rd", "4th"), quarters, strict=True))
        for form, by_name in found.items()
        for name, quarters in by_name.items()
    }
    harness.print_figures("percent of the proposals that diverge, by quarter", rows)
    figures = {"num_seeds": num_seeds, "percent_diverging_by_quarter": found}
    return harness.write_report("search_faults", "python benchmarks/search_quality.py --faults", figures, folder)
