"""How good searches are at equal trials, on a training whose best configuration is known.

    algorithms  TPE and GP against random, every trial trained to its end
    asha        TPE with ASHA against itself without: what is lost, for which share of the epochs
    adapter     TPE with ASHA here against Ray's own OptunaSearch under the same scheduler, which tells Optuna that a
                stopped trial is COMPLETE with its half-trained error. A third arm shows how much that alone changes:
                OptunaSearch again, but with stopped trials told as PRUNED. In all arms a training that diverged is
                COMPLETE with 100 %. GP likewise.

The regret is the true error of the configuration that a search ends with, less the smallest possible one, in points.
The search chooses by what it sees, with its noise. Four trials at a time; no training and no running Ray: the events
come from sweep.search.simulation.

The training is made up. With u = log10(lr / (0.1 B / 128)), the distance of the learning rate from the best one for
batch size B (linear scaling), the true error (percent) after epoch t of T = 27 is

    floor(u, B) = 8 + 6 u^2 + 0.2 log2(B / 64)^2
    error(t)    = floor + (90 - floor) (1 + t / tau)^-p + 10 max(0, u) (1 - t / T)
                  with tau = 0.25 sqrt(B / 128) epochs and p = 1.2 + 0.3 u

so that large batches and small learning rates learn slowly, large ones look worse than they are until the schedule
has lowered them, and curves cross. With u > 0.7 (5 times the best learning rate) the training diverges in its
second epoch. What is seen is the true error plus noise: of the training (0.25 points, the same in all its epochs) and
of every evaluation (0.4 points, about that of 5,000 held-out images at 9 %). An epoch takes 10 + 2560 / B seconds.
"""

import functools
import logging
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from ray.tune.search.optuna import OptunaSearch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.finished_sweep import EPOCH
from results.store.journal import LocalJournal
from results.store.search_log import Params
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, Metric, ObjectiveSpec, SchedulerSpec, SearchSpec
from sweep.search.curves import TrialCurve
from sweep.search.scheduler import make_scheduler
from sweep.search.search import Search
from sweep.search.settings import SearchSettings
from sweep.search.simulation import simulate
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import Status

EPOCHS = 27
LR = SearchParameter("lr", "float", 0.001, 10.0, log=True)
BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024)
PARAMETERS = (LR, SearchParameter("batch_size", "categorical", choices=BATCH_SIZES))
TRAINING_NOISE, EVALUATION_NOISE = 0.25, 0.4
"""Standard deviations in points."""
CHANCE = 90.0
"""Error of a classifier that has learnt nothing, in percent."""
NUM_SEEDS, NUM_GP_SEEDS = 100, 60
NUM_TRIALS, NUM_WORKERS = 40, 4
NONE = SchedulerSpec(type="none")
ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=3)
METRIC: Metric = "holdout_error_percent"
WORST = 100.0
STOCK_PRUNED = "stock tpe + asha, told PRUNED"
PAIRS = (
    ("tpe", "random"),
    ("gp", "random"),
    ("tpe + asha", "tpe"),
    ("tpe + asha", "stock tpe + asha"),
    ("gp + asha", "stock gp + asha"),
    (STOCK_PRUNED, "stock tpe + asha"),
)
"""Searches that are compared."""
TARGETS = {"asha_extra_regret": 0.2, "asha_epochs_percent": 40.0}
"""Upper limits: points, and percent of the epochs without a scheduler."""


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


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of one search."""

    regret: float
    epochs: int


def regret(params: Params) -> float:
    """Return the regret in points, or WORST where the training diverges."""
    lr, batch_size = params["lr"], params["batch_size"]
    return WORST if diverges(lr, batch_size) else true_error(lr, batch_size) - optimum()


class OurDriver:
    """The Search that drives a sweep."""

    def __init__(
        self, algorithm: Algorithm, scheduler: SchedulerSpec, num_trials: int, seed: int, folder: Path
    ) -> None:
        settings = SearchSettings(
            name="search_quality",
            num_trials=num_trials,
            search=SearchSpec(algorithm=algorithm, num_trials=num_trials, seed=seed),
            parameters=PARAMETERS,
            objectives=[ObjectiveSpec(metric=METRIC)],
            scheduler=scheduler,
        )
        made = make_scheduler(scheduler, EPOCHS, seed)
        journal = LocalJournal(folder / "search.jsonl")
        self.search = Search(settings, journal, make_trial, lambda given, name: True, made)
        self._seed = seed
        self._keys: dict[int, str] = {}

    def next(self) -> tuple[int, TrialCurve] | None:
        proposal = self.search.next()
        if proposal is None:
            return None
        config = proposal.trial.config
        self._keys[proposal.number] = config.trial_key
        return proposal.number, curve(config.lr, config.batch_size, self._seed, proposal.number)

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        return self.search.report(self._keys[number], replace(EPOCH, epoch=epoch, holdout_error_percent=value))

    def end(self, number: int, status: Status) -> None:
        self.search.end(self._keys[number], status)


class StockDriver:
    """Ray's OptunaSearch, called as Tune's controller calls it (TuneController._process_trial_result, Ray 2.60)."""

    def __init__(self, sampler: BaseSampler, num_trials: int, seed: int, *, tell_pruned: bool = False) -> None:
        """Open Ray's searcher; with `tell_pruned` it is told no value of stopped trials, which it takes as PRUNED."""
        space = {
            "lr": FloatDistribution(LR.low, LR.high, log=True),
            "batch_size": CategoricalDistribution(BATCH_SIZES),
        }
        self._searcher = OptunaSearch(space=space, metric=METRIC, mode="min", sampler=sampler)
        self._scheduler = make_scheduler(ASHA, EPOCHS, seed)
        self._left = num_trials
        self._seed = seed
        self._tell_pruned = tell_pruned
        self.configs: list[dict[str, Any]] = []
        self.last: list[float] = []
        """The last report of each trial; WORST where it diverged."""

    def next(self) -> tuple[int, TrialCurve] | None:
        number = len(self.configs)
        if number == self._left:
            return None
        config = self._searcher.suggest(str(number))
        self.configs.append(config)
        self.last.append(WORST)
        self._scheduler.add(number, EPOCHS)
        return number, curve(config["lr"], config["batch_size"], self._seed, number)

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        stop = self._scheduler.report(number, epoch, value)
        self.last[number] = WORST if value is None else value
        is_last = stop or epoch == EPOCHS or value is None
        if not is_last or (stop and self._tell_pruned):
            self._searcher.on_trial_result(str(number), {METRIC: value, "training_iteration": epoch})
        return stop

    def end(self, number: int, status: Status) -> None:
        self._scheduler.end(number)
        pruned = status is Status.STOPPED and self._tell_pruned
        self._searcher.on_trial_complete(str(number), None if pruned else {METRIC: self.last[number]})

    @property
    def chosen(self) -> dict[str, Any]:
        """The configuration that ResultGrid.get_best_result chooses: the best by its last report."""
        return self.configs[min(range(len(self.last)), key=self.last.__getitem__)]

    def states(self) -> list[str]:
        """Return the state of each trial that Optuna was told."""
        return [trial.state.name for trial in self._searcher._ot_study.get_trials()]


def make_trial(params: Params) -> PlannedTrial:
    config = TrainConfig(epochs=EPOCHS, holdout=0.1, lr=params["lr"], batch_size=params["batch_size"])
    return PlannedTrial(config, 0, {})


def run_ours(algorithm: Algorithm, scheduler: SchedulerSpec, num_trials: int, seed: int) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        driver = OurDriver(algorithm, scheduler, num_trials, seed, Path(folder))
        done = simulate(driver, NUM_WORKERS)
    return Found(regret(driver.search.best(1)[0].params), done.epochs_trained)


def run_stock(sampler: BaseSampler, num_trials: int, seed: int, *, tell_pruned: bool = False) -> Found:
    driver = StockDriver(sampler, num_trials, seed, tell_pruned=tell_pruned)
    done = simulate(driver, NUM_WORKERS)
    return Found(regret(driver.chosen), done.epochs_trained)


def arms(num_trials: int) -> dict[str, Callable[[int], Found]]:
    """Return the searches by name, each as a function of its seed."""

    def ours(algorithm: Algorithm, scheduler: SchedulerSpec) -> Callable[[int], Found]:
        return lambda seed: run_ours(algorithm, scheduler, num_trials, seed)

    return {
        "random": ours("random", NONE),
        "tpe": ours("tpe", NONE),
        "gp": ours("gp", NONE),
        "tpe + asha": ours("tpe", ASHA),
        "gp + asha": ours("gp", ASHA),
        "stock tpe + asha": lambda seed: run_stock(TPESampler(seed=seed), num_trials, seed),
        STOCK_PRUNED: lambda seed: run_stock(TPESampler(seed=seed), num_trials, seed, tell_pruned=True),
        "stock gp + asha": lambda seed: run_stock(GPSampler(seed=seed), num_trials, seed),
    }


def summary(searches: Sequence[Found]) -> dict[str, Any]:
    regrets = [found.regret for found in searches]
    return {
        "num_seeds": len(searches),
        "median_regret": statistics.median(regrets),
        "mean_regret": statistics.fmean(regrets),
        "median_epochs": statistics.median(found.epochs for found in searches),
        "regrets": regrets,
    }


def contrast(ours: Sequence[Found], other: Sequence[Found]) -> dict[str, Any]:
    """Compare seed by seed: our regret less the other's, negative where ours is better."""
    pairs = list(zip(ours, other, strict=False))
    differences = [mine.regret - theirs.regret for mine, theirs in pairs]
    return {
        "num_seeds": len(pairs),
        "median_difference": statistics.median(differences),
        "mean_difference": statistics.fmean(differences),
        "standard_error_of_mean": statistics.stdev(differences) / math.sqrt(len(differences)),
        "median_epochs_percent": statistics.median(100 * mine.epochs / theirs.epochs for mine, theirs in pairs),
        "num_within_target": sum(value <= TARGETS["asha_extra_regret"] for value in differences),
    }


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=NUM_SEEDS, quick="two seeds of eight trials, to see that it works")
    arguments = parser.parse_args()
    num_seeds, num_trials = (2, 8) if arguments.quick else (arguments.rounds, NUM_TRIALS)
    if num_seeds < 2:
        parser.error("at least 2 rounds are needed for a spread")
    optuna.logging.set_verbosity(logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    busy_before = harness.busy_cores()
    started = time.perf_counter()
    searches = arms(num_trials)
    found: dict[str, list[Found]] = {name: [] for name in searches}
    for seed in range(num_seeds):
        for name, search in searches.items():
            if seed < NUM_GP_SEEDS or "gp" not in name.split():
                found[name].append(search(seed))
        print(f"seed {seed + 1} of {num_seeds} done, {time.perf_counter() - started:.0f} s", flush=True)
    summaries = {name: summary(searches_found) for name, searches_found in found.items()}
    compared = {f"{name} against {other}": contrast(found[name], found[other]) for name, other in PAIRS}
    columns = ["num_seeds", "median_regret", "mean_regret", "median_epochs"]
    harness.print_figures(f"{num_trials} trials of {EPOCHS} epochs: regret in points", summaries, columns)
    harness.print_figures("seed by seed: regret of the first less that of the second", compared)
    report = {
        "num_trials": num_trials,
        "num_workers": NUM_WORKERS,
        "num_epochs": EPOCHS,
        "optimum_percent": optimum(),
        "optuna": optuna.__version__,
        "busy_cores_before": busy_before,
        "seconds": time.perf_counter() - started,
        "targets": TARGETS,
        "searches": summaries,
        "contrasts": compared,
    }
    print(harness.write_report("search_quality", "python benchmarks/search_quality.py", report, arguments.to))


if __name__ == "__main__":
    main()
