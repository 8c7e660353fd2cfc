"""Searches over made-up trainings: what a driver does with a Search, without Ray."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results.store.journal import LocalJournal
from results.store.search_log import Earlier, Params
from search_spaces.expressions import Expression
from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm, ConfirmSpec, ObjectiveSpec, SchedulerSpec, SearchSpec
from sweep.search.search import Proposal, Search
from sweep.search.settings import SearchSettings
from sweep.search.state import Scheduler
from trainable.config import FIELD_NAMES, PlannedTrial, TrainConfig
from trainable.errors import UserError
from trainable.records import EpochRecord, Status

EPOCHS = 4
LR = SearchParameter("lr", "float", 0.001, 1.0, log=True)
BATCH_SIZE = SearchParameter("batch_size", "categorical", choices=(16, 64, 256))
MOMENTUM = SearchParameter("momentum", "float", 0.5, 0.9, step=0.1, when=Expression("batch_size >= 64"))
SPACE = (LR, BATCH_SIZE, MOMENTUM)
WARMUP = SearchParameter("weight_decay", "float", 0.0, 0.01)
NUMBERS = (LR, WARMUP)
ERROR = ObjectiveSpec(metric="holdout_error_percent")
SECONDS = ObjectiveSpec(metric="train_seconds")

ErrorCurve = Callable[[TrainConfig, int], float | None]
"""Error of a configuration after an epoch; None where it diverges there."""


class Crash(Exception):  # noqa: N818 (it is no error)
    """The training's process fails."""


def settings(
    algorithm: Algorithm = "random",
    parameters: Sequence[SearchParameter] = SPACE,
    num_trials: int = 12,
    seed: int = 0,
    objectives: Sequence[ObjectiveSpec] = (ERROR,),
    confirm: ConfirmSpec | None = None,
    trial: Mapping[str, Any] | None = None,
) -> SearchSettings:
    search = SearchSpec(algorithm=algorithm, num_trials=num_trials, seed=seed)
    scheduler = SchedulerSpec(type="none")
    return SearchSettings("wide", num_trials, search, parameters, objectives, scheduler, confirm, trial or {})


def active_among(parameters: Sequence[SearchParameter]) -> Callable[[Params, str], bool]:
    conditions = {parameter.name: parameter.when for parameter in parameters}

    def active(assignment: Params, name: str) -> bool:
        when = conditions[name]
        return when is None or bool(when.compute({key: assignment[key] for key in when.names}))

    return active


def make_trial(params: Params) -> PlannedTrial:
    fields = {key: value for key, value in params.items() if key in FIELD_NAMES}
    config = TrainConfig(**{"epochs": EPOCHS, "holdout": 0.1, "nesterov": False, **fields})
    return PlannedTrial(config, 0, {key: value for key, value in params.items() if key not in FIELD_NAMES})


def open_search(
    folder: Path,
    wanted: SearchSettings,
    maker: Callable[[Params], PlannedTrial] = make_trial,
    scheduler: Scheduler | None = None,
    earlier: Sequence[Earlier] = (),
) -> Search:
    return Search(
        wanted, LocalJournal(folder / "search.jsonl"), maker, active_among(wanted.parameters), scheduler, earlier
    )


def bowl(config: TrainConfig, epoch: int) -> float:
    """Best at lr 0.1 and large batches; falls with the epochs."""
    distance = abs(math.log10(config.lr) + 1) + 0.1 * (256 / config.batch_size - 1) + config.weight_decay
    return min(100.0, 5 + 20 * distance + 30 / epoch)


def epoch_record(epoch: int, error: float | None, seconds: float = 1.0) -> EpochRecord:
    return EpochRecord(
        epoch=epoch, step=epoch, lr=0.1, train_loss=1.0, train_error_percent=1.0, holdout_loss=error,
        holdout_error_percent=error, test_loss=None, test_error_percent=None, train_seconds=seconds,
        eval_seconds=0.0, images_per_second=1.0, gradient_norm=None, attempt=1,
    )  # fmt: skip


class HalfStops:
    """Stops whoever is worse after an epoch than half of those that came as far."""

    def __init__(self) -> None:
        self.values: dict[int, list[float]] = {}
        self.calls: list[tuple[object, ...]] = []
        self.epochs: dict[int, int] = {}

    def add(self, number: int, epochs: int) -> None:
        self.calls.append(("add", number, epochs))
        self.epochs[number] = epochs

    def report(self, number: int, epoch: int, value: float | None, decision: bool | None = None) -> bool:
        self.calls.append(("report", number, epoch, value))
        if value is None:
            return False
        seen = sorted(self.values.setdefault(epoch, []))
        self.values[epoch].append(value)
        return len(seen) >= 3 and value > seen[len(seen) // 2] and epoch < self.epochs[number]

    def end(self, number: int) -> None:
        self.calls.append(("end", number))


@dataclasses.dataclass
class Worker:
    """A trial under way: an epoch a step, from the beginning, as a ledger is replayed."""

    proposal: Proposal
    epoch: int = 0

    def step(self, search: Search, curve: ErrorCurve, trained: list[tuple[str, int]]) -> bool:
        """Train one epoch; return False once the trial is over."""
        config = self.proposal.trial.config
        self.epoch += 1
        known = search.record.proposals[self.proposal.number].reports
        if self.epoch > len(known):
            trained.append((config.trial_key, self.epoch))
        try:
            error = curve(config, self.epoch)
        except Crash:
            search.end(config.trial_key, Status.FAILED)
            return False
        stop = search.report(config.trial_key, epoch_record(self.epoch, error, seconds=16 / config.batch_size))
        if error is None:
            search.end(config.trial_key, Status.DIVERGED)
        elif stop:
            search.end(config.trial_key, Status.STOPPED)
        elif self.epoch == config.epochs:
            search.end(config.trial_key, Status.COMPLETE)
        else:
            return True
        return False


def drive(
    search: Search, curve: ErrorCurve = bowl, num_workers: int = 1, num_steps: int | None = None
) -> list[tuple[str, int]]:
    """Train until nothing is left, or for `num_steps` epochs, with the workers in turn.

    Returns:
        The (trial key, epoch) that were trained, which the search did not know of.
    """
    trained: list[tuple[str, int]] = []
    workers: list[Worker] = []
    steps = 0
    while True:
        while len(workers) < num_workers and (proposal := search.next()) is not None:
            workers.append(Worker(proposal))
        if not workers or steps == num_steps:
            return trained
        worker = workers.pop(0)
        steps += 1
        if worker.step(search, curve, trained):
            workers.append(worker)


def params_of(search: Search) -> list[Params]:
    return [proposal.params for proposal in search.record.proposals]


def refuse_large_lr(params: Params) -> PlannedTrial:
    if params["lr"] > 0.1:
        raise UserError("lr is too large for this machine")
    return make_trial(params)
