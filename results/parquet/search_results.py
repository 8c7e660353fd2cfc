"""A search as its Parquet files tell it: what was asked for, what was proposed, and what came of it."""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from results.parquet.lineage import lineage
from results.parquet.schema import SEARCH_METADATA
from results.parquet.trials import Cell, Trial, group_repeats, trials_from_table, varying_fields
from results.store import search_settings as keys
from results.store.pareto import pareto_front
from trainable.config import FIELD_NAMES, TrainConfig
from trainable.records import (
    PUBLISHED_BATCH_SIZE,
    PUBLISHED_EPOCHS,
    PUBLISHED_MODEL,
    EpochRecord,
    Purpose,
    Status,
)
from trainable.rounding import round_significant
from trainable.wording import counted

Scalar = bool | int | float | str | None
METRIC_WORDS = {
    "holdout_error_percent": ("error on held-out images", "%"),
    "holdout_loss": ("loss on held-out images", "nats"),
    "train_seconds": ("training time", "s"),
}
"""Metric -> its name and unit."""
CUMULATED = ("train_seconds",)
"""Metrics that add up over the epochs."""
FULL_SCALE = {"model": PUBLISHED_MODEL, "epochs": PUBLISHED_EPOCHS, "batch_size": PUBLISHED_BATCH_SIZE}
"""Field -> the variable that holds what was proposed, where a scale has put another value in its place."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What was searched for: a range, or choices."""

    name: str
    low: float = 0.0
    high: float = 0.0
    """`low` and `high` mean nothing where there are choices."""
    log: bool = False
    choices: tuple[Scalar, ...] | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """What was made small."""

    metric: str
    """A field of EpochRecord."""

    @property
    def name(self) -> str:
        return METRIC_WORDS.get(self.metric, (self.metric, ""))[0]

    @property
    def unit(self) -> str:
        return METRIC_WORDS.get(self.metric, (self.metric, ""))[1]

    @property
    def words(self) -> str:
        """As an axis is labelled: `training time (s)`."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def told(self, value: float) -> str:
        """As a sentence has it: `training time 12.5 s`."""
        return f"{self.name} {value:.4g} {self.unit}".rstrip()

    def after(self, epochs: Sequence[EpochRecord], epoch: int) -> float | None:
        """Its value after that epoch; None where the trial did not come so far, or it is not finite."""
        known = [getattr(record, self.metric) for record in epochs[:epoch]]
        if len(known) < epoch or known[-1] is None:
            return None
        return float(sum(known) if self.metric in CUMULATED else known[-1])


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """A proposal that was trained."""

    number: int
    """Of the proposal, from 0."""
    trial: Trial
    params: Mapping[str, Scalar]
    """Parameter -> its value, at the space's full size."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """One an objective, at the end or where it was stopped; None where one is missing."""
        values = self.trial.row.objective_values
        known = [value for value in values or () if value is not None]
        return tuple(known) if values is not None and len(known) == len(values) else None

    @property
    def is_complete(self) -> bool:
        return self.trial.status is Status.COMPLETE and self.values is not None


@dataclass(frozen=True, slots=True)
class SearchResults:
    """All of a search."""

    algorithm: str
    num_trials: int
    """That were asked for."""
    seed: int
    scheduler: Mapping[str, Any]
    """As the space gives it: `type` and what belongs to it."""
    objectives: tuple[Objective, ...]
    parameters: tuple[Parameter, ...]
    warm_start: str | None
    """Where it began from."""
    trials: list[SearchTrial]
    """In the order of their proposals; superseded ones left out."""
    confirmed: Mapping[int, Cell]
    """Number of a proposal -> its configuration trained on all of the training images."""

    @property
    def stopped(self) -> list[SearchTrial]:
        return [one for one in self.trials if one.trial.row.stopped_epoch is not None]

    @property
    def parents(self) -> dict[str, str | None]:
        """Trial key -> that of the trial from whose last state it goes on; None where it begins anew."""
        return {one.trial.row.trial_key: one.trial.config.parent for one in self.trials}

    @property
    def is_population(self) -> bool:
        """Whether trials go on from others, as generations do in population based training."""
        return any(self.parents.values())

    @property
    def is_settled(self) -> bool:
        """Whether all that was asked for has ended, or what it chose is being confirmed: the best stays the best."""
        running = any(one.trial.status is Status.INCOMPLETE for one in self.trials)
        return bool(self.confirmed) or (len(self.trials) >= self.num_trials and not running)

    @property
    def has_ranges(self) -> bool:
        """Whether values were drawn from ranges, so that hardly two trials share one."""
        return any(parameter.choices is None for parameter in self.parameters)

    @property
    def num_generations(self) -> int:
        """Of the best training; 1 where no trial goes on from another, 0 where none ran to the end."""
        return len(self.training(self.best[0])) if self.best else 0

    @property
    def method(self) -> str:
        """`tpe, scheduler asha`."""
        generations = f", {counted(self.num_generations, 'generation')}" if self.num_generations > 1 else ""
        return f"{self.algorithm}, scheduler {self.scheduler[keys.SCHEDULER_TYPE]}{generations}"

    @property
    def finalists(self) -> list[SearchTrial]:
        """Those that ran to the end; of a population those of its last generation, with which its trainings end."""
        complete = [one for one in self.trials if one.is_complete]
        parents = self.parents
        lengths = [len(lineage(parents, one.trial.row.trial_key)) for one in complete]
        longest = max(lengths, default=0)
        return [one for one, length in zip(complete, lengths, strict=True) if length == longest]

    def training(self, last: SearchTrial) -> list[SearchTrial]:
        """The trials that make one training, `last` the last; empty where the row of one is missing."""
        by_key = {one.trial.row.trial_key: one for one in self.trials}
        keys = lineage(self.parents, last.trial.row.trial_key)
        return [by_key[key] for key in keys] if all(key in by_key for key in keys) else []

    @property
    def best(self) -> list[SearchTrial]:
        """The finalists, best first; of several objectives those that no other is better than in all."""
        scored = [(one.values, one) for one in self.finalists if one.values is not None]
        scored.sort(key=lambda pair: (pair[0], pair[1].number))
        if len(self.objectives) == 1:
            return [one for _, one in scored]
        return [trial for _, trial in pareto_front(scored, lambda pair: pair[0])]

    @property
    def chosen(self) -> list[SearchTrial]:
        """Those whose confirmation was begun, best first; the best where none was."""
        best = self.best
        confirmed = [one for one in best if one.number in self.confirmed]
        return confirmed or (best if len(self.objectives) > 1 else best[:1])


@dataclass(frozen=True, slots=True)
class Spent:
    """What the proposals took, and what they would have taken had none been stopped."""

    epochs: int
    full_epochs: int
    seconds: float
    """Training and evaluation, of one device each."""
    full_seconds: float
    """A stopped trial's further epochs counted like the mean of those that it did."""


def read_search(table: pa.Table) -> SearchResults | None:
    """From the `trials` table; None where the sweep is no search."""
    text = (table.schema.metadata or {}).get(SEARCH_METADATA.encode())
    if text is None:
        return None
    settings = json.loads(text)
    parameters = tuple(_parameter(name, values) for name, values in settings[keys.PARAMETERS].items())
    by_purpose: dict[str, list[Trial]] = collections.defaultdict(list)
    for trial in trials_from_table(table):
        by_purpose[trial.row.purpose].append(trial)
    proposed = [
        SearchTrial(trial.row.proposal, trial, _params(trial, parameters))
        for trial in by_purpose[Purpose.SEARCH]
        if trial.row.proposal is not None
    ]
    return SearchResults(
        algorithm=settings[keys.ALGORITHM],
        num_trials=settings[keys.NUM_TRIALS],
        seed=settings[keys.SEED],
        scheduler=settings[keys.SCHEDULER],
        objectives=tuple(Objective(objective[keys.METRIC]) for objective in settings[keys.OBJECTIVE]),
        parameters=parameters,
        warm_start=settings[keys.WARM_START],
        trials=sorted(proposed, key=lambda one: one.number),
        confirmed=_confirmed(by_purpose[Purpose.CONFIRM]),
    )


def _parameter(name: str, values: Mapping[str, Any]) -> Parameter:
    if keys.CHOICES in values:
        return Parameter(name, choices=tuple(values[keys.CHOICES]))
    return Parameter(name, values[keys.LOW], values[keys.HIGH], values[keys.LOG])


def _params(trial: Trial, parameters: Iterable[Parameter]) -> dict[str, Scalar]:
    variables = json.loads(trial.row.variables)
    found: dict[str, Scalar] = {}
    for parameter in parameters:
        name = parameter.name
        if name not in FIELD_NAMES:
            found[name] = variables.get(name)
        else:
            found[name] = variables.get(FULL_SCALE.get(name, ""), getattr(trial.config, name))
    return found


def _confirmed(trials: Sequence[Trial]) -> dict[int, Cell]:
    """Repeats of one proposal are one cell, whatever their seeds."""
    found: dict[int, Cell] = {}
    for cell in group_repeats(trials):
        number = cell.trials[0].row.proposal
        if number is not None:
            found[number] = cell
    return found


def best_so_far(search: SearchResults, index: int) -> list[tuple[int, float]]:
    """(number, best value up to it) of one objective, where it becomes better; of trials that ran to the end."""
    steps: list[tuple[int, float]] = []
    for one in search.trials:
        if one.is_complete and one.values is not None:
            value = one.values[index]
            if not steps or value < steps[-1][1]:
                steps.append((one.number, value))
    return steps


def stopped_by_epoch(search: SearchResults) -> dict[int, list[SearchTrial]]:
    """Epoch -> the trials that the scheduler stopped after it, in rising order of both."""
    found: dict[int, list[SearchTrial]] = collections.defaultdict(list)
    for one in search.stopped:
        found[one.trial.row.stopped_epoch or 0].append(one)
    return dict(sorted(found.items()))


def reached(search: SearchResults, epoch: int) -> int:
    """How many trials did this epoch."""
    return sum(one.trial.row.epochs_done >= epoch for one in search.trials)


def spent(search: SearchResults) -> Spent:
    """Confirmations left out; only what the scheduler stopped counts as saved, not what diverged."""

    def total(value: Callable[[Trial], float]) -> float:
        return sum(value(one.trial) for one in search.trials)

    def share_done(trial: Trial) -> float:
        row = trial.row
        return row.epochs_done / trial.config.epochs if row.stopped_epoch and row.epochs_done else 1.0

    return Spent(
        epochs=round(total(lambda trial: trial.row.epochs_done)),
        full_epochs=round(total(lambda trial: trial.row.epochs_done / share_done(trial))),
        seconds=total(lambda trial: trial.row.total_seconds),
        full_seconds=total(lambda trial: trial.row.total_seconds / share_done(trial)),
    )


def free_fields(search: SearchResults) -> list[str]:
    """The training fields that differ between trials of equal choices: drawn from a range, or following from it."""
    choices = [parameter.name for parameter in search.parameters if parameter.choices is not None]
    groups: dict[tuple[Scalar, ...], list[TrainConfig]] = collections.defaultdict(list)
    for one in search.trials:
        groups[tuple(one.params[name] for name in choices)].append(one.trial.config)
    found = {name for configs in groups.values() for name in varying_fields(configs)}
    return [name for name in FIELD_NAMES if name in found]


def attributes(search: SearchResults, one: SearchTrial) -> dict[str, Any]:
    """What else is to be seen of a proposal: what was derived from it, and errors on test images. Plain JSON."""
    fields = varying_fields([other.trial.config for other in search.trials])
    derived = {name: getattr(one.trial.config, name) for name in fields if name not in one.params}
    confirmed = search.confirmed.get(one.number)
    return {
        **derived,
        "test_error_percent": one.trial.row.test_error_percent,
        "confirmed_test_error_percent": None if confirmed is None else confirmed.test_errors,
    }


def rounded(value: Scalar) -> Scalar:
    """Round a float to four digits, which is what a reader compares."""
    return round_significant(value, 4) if isinstance(value, float) else value


def param_words(one: SearchTrial) -> str:
    """`base_lr 0.1234, batch_size 64`."""
    return ", ".join(f"{name} {rounded(value)}" for name, value in one.params.items())


def with_rounded(cell: Cell) -> Cell:
    """The cell as a table for people shows it: drawn values have 17 digits."""
    fields: dict[str, Any] = {name: rounded(getattr(cell.config, name)) for name in FIELD_NAMES}
    return dataclasses.replace(cell, config=dataclasses.replace(cell.config, **fields))
