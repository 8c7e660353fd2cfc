"""The searches that are compared: ours as a Search without Ray, and Optuna's own samplers with its pruners.

`measure(arm, problem, workers, seed)` runs one until the budget is used up, and returns its record. Optuna's own are
asked and told as its documentation shows. Their TPE is told that a training which diverged is PRUNED; their GP, which
would pass over that, that it is COMPLETE with 100 %.
"""

import collections
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, get_args

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import TrialState

from benchmarks.finished_sweep import EPOCH
from benchmarks.search_functions import EPOCHS, Params
from benchmarks.search_problems import BUDGET, WORST, Curve, Problem, Report, problem, record_of
from results.store.journal import Journal
from search_spaces.expressions import Expression
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, ObjectiveSpec, SchedulerSpec, SchedulerType, SearchSpec
from sweep.search.optuna_samplers import distributions_of, quiet, suggest
from sweep.search.scheduler import make_scheduler
from sweep.search.search import Search
from sweep.search.settings import SearchSettings
from trainable.config import PlannedTrial, TrainConfig
from trainable.records import Status

MAX_TRIALS = 1000
"""More than the budget can hold of trials that are compared after their first epoch and later."""
NONE = SchedulerSpec(type="none")
ASHA = SchedulerSpec(type="asha", grace_epochs=1, reduction_factor=3)
ERROR = ObjectiveSpec(metric="holdout_error_percent")


class Driver(Protocol):
    """Decides what is trained and for how long. Trials have numbers."""

    def next(self) -> tuple[int, Params] | None:
        """Return the next trial to begin or to resume, or None if there is none now."""

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        """Return whether the trial is stopped or paused after this epoch; the value is None where it diverged."""

    def end(self, number: int, status: Status) -> None:
        """End a trial as COMPLETE, STOPPED (it may be resumed later) or DIVERGED."""


@dataclass
class Run:
    """What a search did."""

    history: list[Report] = field(default_factory=list)
    proposals: list[Params] = field(default_factory=list)
    """The parameters of each trial, in the order in which they were begun."""
    curves: list[Curve] = field(default_factory=list)
    """The whole curve of each of them."""

    def diverging(self, part: int, num_parts: int = 4) -> float:
        """Return the share of the proposals of a part, counted from 0, that diverge."""
        first, last = (len(self.curves) * bound // num_parts for bound in (part, part + 1))
        found = self.curves[first:last]
        return sum(curve.diverged for curve in found) / max(1, len(found))


def run(driver: Driver, chosen: Problem, seed: int, workers: int, budget: int = BUDGET) -> Run:
    """Train with these workers side by side until the budget is used up, whatever still trains."""
    done, curves, epochs = Run(), {}, collections.Counter[int]()
    params: dict[int, Params] = {}
    training: collections.deque[int] = collections.deque()

    def fill() -> None:
        while len(training) < workers and (given := driver.next()) is not None:
            number = given[0]
            if number not in curves:
                params[number], curves[number] = given[1], chosen.curve(given[1], seed)
                done.proposals.append(given[1])
                done.curves.append(curves[number])
            training.append(number)

    fill()
    while training and len(done.history) < budget:
        number = training.popleft()
        epochs[number] += 1
        epoch, curve = epochs[number], curves[number]
        value, is_last = curve.values[epoch - 1], epoch == len(curve.values)
        is_lost = is_last and curve.diverged
        done.history.append((number, params[number], epoch, value))
        stop = driver.report(number, epoch, None if is_lost else value)
        if not is_last and not stop:
            training.append(number)
            continue
        driver.end(number, Status.DIVERGED if is_lost else Status.COMPLETE if is_last else Status.STOPPED)
        fill()
    return done


class _NoJournal(Journal):
    """A log that is not kept."""

    location = "nowhere"

    def read(self) -> bytes:
        return b""

    def append(self, lines: bytes, *, durable: bool = True) -> None:
        pass

    def flush(self) -> None:
        pass

    def truncate(self, num_bytes: int) -> None:
        pass


def parameters_of(chosen: Problem) -> list[SearchParameter]:
    return [
        SearchParameter(
            axis.name,
            axis.kind,
            axis.low,
            axis.high,
            log=axis.log,
            choices=axis.choices or None,
            when=None if axis.when is None else Expression(axis.when),
        )
        for axis in chosen.axes
    ]


def _make_trial(params: Params) -> PlannedTrial:
    """Return a trial whose key depends on the parameters alone, whatever they mean."""
    text = json.dumps(dict(params), sort_keys=True)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") // 2
    return PlannedTrial(TrainConfig(epochs=EPOCHS, holdout=0.1, seed=seed), 0, dict(params))


class SearchDriver:
    """The Search that drives a sweep."""

    def __init__(
        self,
        chosen: Problem,
        algorithm: Algorithm,
        scheduler: SchedulerSpec,
        seed: int,
        objectives: Sequence[ObjectiveSpec] = (ERROR,),
    ) -> None:
        axes = {axis.name: axis for axis in chosen.axes}
        settings = SearchSettings(
            name=f"search_quality_{seed}",
            num_trials=MAX_TRIALS,
            search=SearchSpec(algorithm=algorithm, num_trials=MAX_TRIALS, seed=seed),
            parameters=parameters_of(chosen),
            objectives=list(objectives),
            scheduler=scheduler,
        )
        self.search = Search(
            settings,
            _NoJournal(),
            _make_trial,
            lambda given, name: axes[name].is_active(given),
            make_scheduler(scheduler, EPOCHS, seed),
        )
        self._keys: dict[int, str] = {}

    def next(self) -> tuple[int, Params] | None:
        proposal = self.search.next()
        if proposal is None:
            return None
        self._keys[proposal.number] = proposal.trial.config.trial_key
        return proposal.number, self.search.record.proposals[proposal.number].params

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        loss = None if value is None else value / 30
        seconds = 10 + 2560 / self.search.record.proposals[number].params.get("batch_size", 128)
        record = replace(EPOCH, epoch=epoch, holdout_error_percent=value, holdout_loss=loss, train_seconds=seconds)
        return self.search.report(self._keys[number], record)

    def end(self, number: int, status: Status) -> None:
        self.search.end(self._keys[number], status)


class AskTell:
    """Optuna's ask and tell, with its pruner or with one of our schedulers."""

    def __init__(
        self,
        chosen: Problem,
        seed: int,
        sampler: BaseSampler,
        pruner: BasePruner | None = None,
        scheduler: SchedulerSpec | None = None,
        *,
        lost_is_complete: bool,
    ) -> None:
        """
        Args:
            pruner: None where none prunes or the scheduler does.
            scheduler: one of ours, as it was: equal values are all good.
            lost_is_complete: tell a training that diverged as COMPLETE with 100, else as PRUNED.
        """
        name = f"{chosen.name}_{seed}"  # HyperBand draws the bracket from the name
        self.study = optuna.create_study(study_name=name, sampler=sampler, pruner=pruner or NopPruner())
        self._axes = chosen.axes
        self._distributions = distributions_of(parameters_of(chosen))
        self._scheduler = None if scheduler is None else make_scheduler(scheduler, EPOCHS, seed)
        self._lost_is_complete = lost_is_complete
        self._num_reports = 0
        self._trials: dict[int, optuna.Trial] = {}
        self._last: dict[int, float] = {}

    def next(self) -> tuple[int, Params]:
        trial = self.study.ask()
        params: dict[str, Any] = {}
        for axis in self._axes:
            if axis.is_active(params):
                params[axis.name] = suggest(trial, self._distributions[axis.name], axis.name)
        self._trials[trial.number] = trial
        if self._scheduler is not None:
            self._scheduler.add(trial.number, EPOCHS)
        return trial.number, params

    def report(self, number: int, epoch: int, value: float | None) -> bool:
        self._last[number] = WORST if value is None else value
        if value is not None or not self._lost_is_complete:
            self._trials[number].report(self._last[number], epoch)
        if value is None or epoch == EPOCHS:
            return False
        if self._scheduler is not None:
            self._num_reports += 1  # values that are equal went on: the later is a little smaller here
            return bool(self._scheduler.report(number, epoch, value - 1e-9 * self._num_reports))
        return self._trials[number].should_prune()

    def end(self, number: int, status: Status) -> None:
        if status is Status.COMPLETE or (status is Status.DIVERGED and self._lost_is_complete):
            self.study.tell(number, self._last[number])
        else:
            self.study.tell(number, state=TrialState.PRUNED)
        if self._scheduler is not None:
            self._scheduler.end(number)


Maker = Callable[[Problem, int], Driver]
"""Makes the driver of an arm from a problem and a seed."""


def _ours(algorithm: Any, scheduler: SchedulerSpec) -> Maker:  # noqa: ANN401 (checked when it is made)
    return lambda chosen, seed: SearchDriver(chosen, algorithm, scheduler, seed)


def _tpe(pruner: Callable[[], BasePruner], **options: Any) -> Maker:  # noqa: ANN401 (options of TPESampler)
    def make(chosen: Problem, seed: int) -> Driver:
        return AskTell(chosen, seed, TPESampler(seed=seed, **options), pruner(), lost_is_complete=False)

    return make


def _as_it_was(chosen: Problem, seed: int) -> Driver:
    """TPE with ASHA as it was shipped before 2026-12: a training that diverged is COMPLETE with 100 %."""
    return AskTell(chosen, seed, TPESampler(seed=seed), scheduler=ASHA, lost_is_complete=True)


def _optuna_gp(chosen: Problem, seed: int) -> Driver:
    sampler = GPSampler(seed=seed, warn_independent_sampling=False)
    return AskTell(chosen, seed, sampler, lost_is_complete=True)


OURS: Mapping[str, tuple[str, str]] = {
    "random": ("random", "none"),
    "tpe": ("tpe", "none"),
    "gp": ("gp", "none"),
    "random + asha": ("random", "asha"),
    "tpe + asha": ("tpe", "asha"),
    "tpe + median": ("tpe", "median"),
    "random + promotion": ("random", "promotion"),
    "tpe + promotion": ("tpe", "promotion"),
    "mfgp": ("mfgp", "none"),
    "mfgp + median": ("mfgp", "median"),
    "mfgp + asha": ("mfgp", "asha"),
    "mfgp + promotion": ("mfgp", "promotion"),
}
"""Algorithm and scheduler."""
AS_IT_WAS = "tpe + asha (as it was)"


def scheduler_spec(name: str) -> SchedulerSpec:
    """Return a scheduler as it is compared: those with rungs have a grace of 1 and keep a third."""
    has_rungs = name in ("asha", "promotion")
    return SchedulerSpec.model_validate({"type": name, **({"reduction_factor": 3} if has_rungs else {})})


def makers() -> dict[str, Maker]:
    """Return the arms by name; those whose algorithm or scheduler is not known are left out."""
    known = (*get_args(Algorithm), *get_args(SchedulerType))
    ours = {
        name: _ours(algorithm, scheduler_spec(scheduler))
        for name, (algorithm, scheduler) in OURS.items()
        if algorithm in known and scheduler in known
    }
    return {
        **ours,
        AS_IT_WAS: _as_it_was,
        "optuna tpe + median": _tpe(MedianPruner),
        "optuna tpe + median (groups)": _tpe(MedianPruner, multivariate=True, group=True),
        "optuna tpe + hyperband": _tpe(lambda: HyperbandPruner(1, EPOCHS, 3)),
        "optuna tpe + successive halving": _tpe(lambda: SuccessiveHalvingPruner(1, 3)),
        "optuna gp": _optuna_gp,
    }


def measure(arm: str, name: str, workers: int, seed: int, budget: int = BUDGET) -> dict[str, Any]:
    """Run an arm on a problem and return its record."""
    chosen = problem(name)
    started = time.process_time()
    with quiet():
        done = run(makers()[arm](chosen, seed), chosen, seed, workers, budget)
    key = (arm, name, workers, seed)
    return record_of(key, chosen, done.history, done.curves, time.process_time() - started)
