"""Other libraries' searches on the problems of `search_problems.py`, in an environment of their own.

    python3.11 -m venv PEERS && PEERS/bin/pip install -r benchmarks/requirements-peers.txt
    PYTHONHASHSEED=0 PEERS/bin/python benchmarks/search_peers.py --cache FILE [--arms A,B] [--problems P,Q] ...

Each line of the cache is a run; a run that is there is not done again, so that the command may be interrupted. SMAC
repeats a run only with the same PYTHONHASHSEED. Runs are budgeted, simulated and judged as ours are: every epoch
takes one unit of time on one of the workers, 810 epochs end the run, and `search_problems.regrets` judges what would
be chosen.

All searches have their library's defaults, with 1 to 27 epochs and a reduction factor of 3:

- `syne tune ...`: the scheduler is called as the library's `Tuner` calls it. `suggest` for each free worker, then
  `on_trial_add` for a new trial, or the paused trial continues; `on_trial_result` after each epoch, `on_trial_remove`
  if the decision is STOP or PAUSE, and `on_trial_complete` after the last epoch if it is neither. The library's first
  trial is the middle of the space. Version 0.13.0, because later ones have neither promotion nor MOBSTER. By default
  MOBSTER fits its Gaussian process's hyperparameters anew for each proposal, which takes 3 minutes of CPU a run and
  more; here from 30 observations on for every fifth (`opt_skip_init_length`, `opt_skip_period`).
- `dehb`: `ask` for each free worker and `tell` at the end, as `DEHB.run` does.
- `smac multi-fidelity`, `smac hpo`: the facades' `ask` and `tell`. `n_trials`, of which a quarter may be the initial
  design, is about what the budget affords: 160 (Hyperband) and 30. Without fidelities the forest is fitted anew for
  each batch of workers, in place of every 8 of so few configurations.

DEHB and SMAC train a configuration again from its first epoch for a larger budget. Here they pay for the epochs
alone that the same configuration has not had, as if each had a checkpoint. A training that diverges reports 100 %
in that epoch and, at no cost, in all later ones that are asked for. Syne Tune has no conditions: a parameter that is
not in use is proposed all the same, and ignored.
"""

import argparse
import datetime
import itertools
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import search_problems
from benchmarks.search_functions import EPOCHS, Axis
from benchmarks.search_problems import BUDGET, WORST, Curve, Problem, Report, problem, record_of

MOBSTER: dict[str, Any] = {"debug_log": False, "opt_skip_init_length": 30, "opt_skip_period": 5}
SMAC_TRIALS = 160
RETRAIN_AFTER = 8
"""Configurations after which SMAC fits its forest anew, by default."""
MAX_FREE = 1000
"""Jobs in a row that train nothing, after which a run ends: the peer proposes only what it has proposed before."""
RUNGS: dict[str, Any] = {"grace_period": 1, "reduction_factor": 3}


@dataclass(slots=True, eq=False)
class Job:
    """A training, or a part of one, that a peer asks for."""

    trial: int
    params: dict[str, Any]
    epochs: int
    """Epoch at which the job ends at the latest."""
    ticket: Any
    """What the peer needs to be told of the job."""
    told: int = 0
    """Last epoch that the peer was told of."""


class Peer(Protocol):
    """A search of another library."""

    def ask(self) -> Job | None:
        """Return what a free worker is to train, or None if there is nothing now."""

    def tell(self, job: Job, value: float) -> bool:
        """Tell of epoch `job.told`; return whether the job ends."""


def ours(chosen: Problem, proposed: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that are in use, as plain Python values."""
    params: dict[str, Any] = {}
    for axis in chosen.axes:
        if not axis.is_active(params):
            continue
        value = proposed[axis.name]
        if axis.kind == "categorical":
            params[axis.name] = axis.choices[axis.choices.index(value)]
        else:
            params[axis.name] = int(value) if axis.kind == "int" else float(value)
    return params


class SyneTune:
    """A scheduler of Syne Tune."""

    def __init__(self, chosen: Problem, seed: int, class_name: str, **options: Any) -> None:  # noqa: ANN401
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer import baselines

        self._new_trial = Trial
        self._problem = chosen
        self._jobs: list[Job] = []
        self._scheduler = getattr(baselines, class_name)(
            {axis.name: self._domain(axis) for axis in chosen.axes},
            metric="error",
            mode="min",
            resource_attr="epoch",
            random_seed=seed,
            **RUNGS,
            **options,
        )

    @staticmethod
    def _domain(axis: Axis) -> Any:  # noqa: ANN401
        from syne_tune import config_space

        if axis.kind == "categorical":
            return config_space.choice(list(axis.choices))
        kinds = {"float": ("uniform", "loguniform"), "int": ("randint", "lograndint")}
        return getattr(config_space, kinds[axis.kind][axis.log])(axis.low, axis.high)

    def ask(self) -> Job | None:
        suggestion = self._scheduler.suggest(len(self._jobs))
        if suggestion is None:
            return None
        if not suggestion.spawn_new_trial_id:
            return self._jobs[int(suggestion.checkpoint_trial_id)]
        trial = self._new_trial(len(self._jobs), suggestion.config, datetime.datetime.now(datetime.UTC))
        job = Job(trial.trial_id, ours(self._problem, suggestion.config), EPOCHS, trial)
        self._jobs.append(job)
        self._scheduler.on_trial_add(trial)
        return job

    def tell(self, job: Job, value: float) -> bool:
        result = {"error": value, "epoch": job.told}
        if self._scheduler.on_trial_result(job.ticket, result) in ("STOP", "PAUSE"):
            self._scheduler.on_trial_remove(job.ticket)
            return True
        if job.told == EPOCHS:
            self._scheduler.on_trial_complete(job.ticket, result)
        return job.told == EPOCHS


class Numbers:
    """Numbers of configurations: the same configuration is the same trial, with more epochs."""

    def __init__(self, chosen: Problem) -> None:
        self._problem = chosen
        self._numbers: dict[tuple[Any, ...], int] = {}

    def job(self, config: Any, budget: float, ticket: Any) -> Job:  # noqa: ANN401
        params = ours(self._problem, dict(config))
        number = self._numbers.setdefault(tuple(params.items()), len(self._numbers))
        return Job(number, params, round(budget), ticket)


def config_space(chosen: Problem) -> Any:  # noqa: ANN401
    """Return the problem's axes with their conditions."""
    import ConfigSpace

    space = ConfigSpace.ConfigurationSpace()
    for axis in chosen.axes:
        if axis.kind == "categorical":
            space.add(ConfigSpace.Categorical(axis.name, axis.choices))
        else:
            kind = ConfigSpace.Float if axis.kind == "float" else ConfigSpace.Integer
            space.add(kind(axis.name, (axis.low, axis.high), log=axis.log))
        if axis.when is not None:
            name, _, choice = axis.when.partition(" == ")
            space.add(ConfigSpace.EqualsCondition(space[axis.name], space[name], choice.strip("'")))
    return space


class Dehb:
    """Differential evolution with Hyperband."""

    def __init__(self, chosen: Problem, seed: int, folder: Path) -> None:
        from dehb import DEHB

        self._numbers = Numbers(chosen)
        self._dehb = DEHB(
            cs=config_space(chosen),
            min_fidelity=1,
            max_fidelity=EPOCHS,
            eta=RUNGS["reduction_factor"],
            n_workers=1,  # of `run`, which is not used: more would start processes
            seed=seed,
            output_path=folder,
            save_freq="end",
            log_level="ERROR",
        )
        self._dehb.logger.remove()  # each instance opens a file of its own

    def ask(self) -> Job | None:
        asked = self._dehb.ask()
        return self._numbers.job(asked["config"], asked["fidelity"], asked)

    def tell(self, job: Job, value: float) -> bool:
        if job.told == job.epochs:
            self._dehb.tell(job.ticket, {"fitness": value, "cost": job.epochs})
        return job.told == job.epochs


class Smac:
    """A facade of SMAC."""

    def __init__(self, chosen: Problem, seed: int, folder: Path, num_workers: int, facade: str) -> None:
        import smac

        multi = facade == "MultiFidelityFacade"
        budgets = {"min_budget": 1, "max_budget": EPOCHS} if multi else {}
        scenario = smac.Scenario(
            config_space(chosen),
            output_directory=folder,
            deterministic=True,
            n_workers=num_workers,
            n_trials=SMAC_TRIALS if multi else search_problems.NUM_FULL,
            seed=seed,
            **budgets,
        )
        self._numbers = Numbers(chosen)
        used = getattr(smac, facade)
        retrain_after = RETRAIN_AFTER if multi else min(RETRAIN_AFTER, num_workers)
        selector = used.get_config_selector(scenario, retrain_after=retrain_after)
        self._facade = used(scenario, None, config_selector=selector, logging_level=False, overwrite=True)

    def ask(self) -> Job | None:
        try:
            info = self._facade.ask()
        except StopIteration:
            return None
        return self._numbers.job(info.config, info.budget or EPOCHS, info)

    def tell(self, job: Job, value: float) -> bool:
        from smac.runhistory import TrialValue

        if job.told == job.epochs:
            self._facade.tell(job.ticket, TrialValue(cost=value, time=job.epochs), save=False)
        return job.told == job.epochs


def make(arm: str, chosen: Problem, num_workers: int, seed: int, folder: Path) -> Peer:
    """Make a peer by its name in ARMS."""
    if arm == "dehb":
        return Dehb(chosen, seed, folder)
    if arm.startswith("smac"):
        facade = "MultiFidelityFacade" if arm == "smac multi-fidelity" else "HyperparameterOptimizationFacade"
        return Smac(chosen, seed, folder, num_workers, facade)
    if arm == "syne tune hyperband":
        return SyneTune(chosen, seed, "SyncHyperband", max_resource_level=EPOCHS)
    name, _, kind = arm.removeprefix("syne tune ").partition(" ")
    options: dict[str, Any] = {"asha": {}, "bohb": {"debug_log": False}, "mobster": MOBSTER}[name]
    return SyneTune(chosen, seed, name.upper(), max_t=EPOCHS, type=kind.strip("()"), search_options=options)


ARMS = (
    "syne tune asha (promotion)",
    "syne tune asha (stopping)",
    "syne tune bohb (promotion)",
    "syne tune bohb (stopping)",
    "syne tune hyperband",
    "dehb",
    "smac multi-fidelity",
    "smac hpo",
    "syne tune mobster (promotion)",
)


class Run:
    """A simulated run: workers side by side, every epoch one unit of time."""

    def __init__(self, peer: Peer, chosen: Problem, num_workers: int, seed: int) -> None:
        self.history: list[Report] = []
        self.curves: dict[int, Curve] = {}
        """Number of a trial -> its curve, in the order of the proposals."""
        self._peer, self._problem, self._num_workers, self._seed = peer, chosen, num_workers, seed
        self._trained: dict[int, int] = {}
        """Number of a trial -> epochs that were paid."""
        self._training: deque[Job] = deque()

    def run(self) -> None:
        """Train until the budget is used up, or nothing is proposed any more."""
        self._fill()
        while self._training and len(self.history) < BUDGET:
            job = self._training.popleft()
            if self._report(job) or self._report_known(job):
                self._fill()
            else:
                self._training.append(job)

    def _fill(self) -> None:
        for _ in range(MAX_FREE):
            if len(self._training) == self._num_workers or (job := self._peer.ask()) is None:
                return
            if job.trial not in self.curves:
                self.curves[job.trial] = self._problem.curve(job.params, self._seed)
                self._trained[job.trial] = 0
            if not self._report_known(job):
                self._training.append(job)

    def _report_known(self, job: Job) -> bool:
        """Report the epochs that cost nothing; return whether the job has ended."""
        curve = self.curves[job.trial]
        while job.told < self._trained[job.trial] or (curve.diverged and job.told >= len(curve.values)):
            if self._report(job):
                return True
        return False

    def _report(self, job: Job) -> bool:
        """Report the next epoch; return whether the job has ended."""
        job.told += 1
        values = self.curves[job.trial].values
        value = values[job.told - 1] if job.told <= len(values) else WORST
        if self._trained[job.trial] < job.told <= len(values):
            self._trained[job.trial] = job.told
            self.history.append((job.trial, job.params, job.told, value))
        return self._peer.tell(job, value)


def record(arm: str, name: str, num_workers: int, seed: int) -> dict[str, Any]:
    """Do a run and return its line."""
    chosen, begun = problem(name), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(make(arm, chosen, num_workers, seed, Path(folder)), chosen, num_workers, seed)
        run.run()
        seconds = time.process_time() - begun
    return record_of((arm, name, num_workers, seed), chosen, run.history, list(run.curves.values()), seconds)


def wanted(given: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    """Yield the runs of this shard, all arms and problems of one seed before the next seed."""
    number, _, shards = given.shard.partition("/")
    for index, seed in enumerate(range(given.seeds)):
        if index % int(shards) != int(number):
            continue
        for arm, name in itertools.product(given.arms, given.problems):
            first = search_problems.FIRST_SEED["held_out" if name in search_problems.HELD_OUT else "development"]
            yield arm, name, given.workers, first + seed


def names(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return chosen

    return parse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, metavar="FILE", help="JSON lines, one a run")
    parser.add_argument("--arms", type=names(ARMS), default=list(ARMS), help="separated by commas; default: all")
    parser.add_argument(
        "--problems",
        type=names((*search_problems.DEVELOPMENT, *search_problems.HELD_OUT)),
        default=list(search_problems.HELD_OUT),
    )
    parser.add_argument("--workers", type=int, default=4, help="default: 4")
    parser.add_argument("--seeds", type=int, default=30, help="number of seeds; default: 30")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="every Nth seed from the Ith on")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    given.cache.parent.mkdir(parents=True, exist_ok=True)
    lines = given.cache.read_text().splitlines() if given.cache.exists() else []
    keys = ("arm", "problem", "workers", "seed")
    known = {tuple(line[key] for key in keys) for line in map(json.loads, lines)}
    for run in wanted(given):
        if run not in known:
            line = json.dumps(record(*run))
            with given.cache.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
