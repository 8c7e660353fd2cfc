"""The results of a search, read from its Parquet files."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from results.parquet.schema import SEARCH_METADATA
from results.parquet.trials import Cell, Trial, group_repeats, trials_from_table, varying_fields
from results.store import search_settings as keys
from results.store.pareto import pareto_front
from results.store.search_settings import METRIC_NAMES, Scalar, check_settings, trained_params, value_text
from trainable.canonical import ZERO_IS_NONE
from trainable.config import TrainConfig, in_field_order, value_of
from trainable.grouping import grouped
from trainable.ledger.checksums import parse_json
from trainable.records import (
    EpochRecord,
    Purpose,
    Status,
)
from trainable.rounding import round_significant
from trainable.wording import counted, format_value, printable_line

UNSUCCESSFUL = (Status.DIVERGED, Status.STOPPED, Status.FAILED)
"""Ends of a training that are those of its configuration, the one that counts most first."""
CUMULATED = ("train_seconds",)
"""Metrics that add up over the epochs."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A searched parameter: a range, or a list of choices."""

    name: str
    low: float = 0.0
    high: float = 0.0
    """`low` and `high` are unused if there are choices."""
    log: bool = False
    """Whether the values were drawn on a logarithmic scale."""
    choices: tuple[Scalar, ...] | None = None
    """Possible values; None for a range."""


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective of the search, to be minimised."""

    metric: str
    """Name of a field of EpochRecord."""

    @property
    def name(self) -> str:
        """Name for people: `training time`."""
        return METRIC_NAMES.get(self.metric, (self.metric, ""))[0]

    @property
    def unit(self) -> str:
        """Unit of the metric; empty if it has none."""
        return METRIC_NAMES.get(self.metric, (self.metric, ""))[1]

    @property
    def label(self) -> str:
        """Name and unit, for an axis or a heading: `training time (s)`."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def value_text(self, value: float) -> str:
        """Return a value with its name and unit, for a sentence: `training time 12.5 s`."""
        return value_text(self.metric, value)

    def value_after(self, epochs: Sequence[EpochRecord], epoch: int) -> float | None:
        """Return the value after an epoch; None if the trial did not reach the epoch, or the value is not finite."""
        known = [getattr(record, self.metric) for record in epochs[:epoch]]
        if len(known) < epoch or known[-1] is None:
            return None
        return float(sum(known) if self.metric in CUMULATED else known[-1])


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """A configuration that was trained, with one seed or several."""

    number: int
    """Number of the proposal, from 0."""
    trial: Trial
    params: Mapping[str, Scalar]
    """Values of the parameters by name, at the full size of the space."""
    further: tuple[Trial, ...] = ()
    """Its trainings with further seeds, in the order of the seeds."""
    num_seeds: int = 1
    """Number of seeds with which it is to be trained."""

    @property
    def trainings(self) -> tuple[Trial, ...]:
        """All its trainings, in the order of their seeds."""
        return (self.trial, *self.further)

    @property
    def status(self) -> Status:
        """Status over all seeds: DIVERGED, STOPPED or FAILED if one of them is, COMPLETE if all of them are."""
        found = [training.status for training in self.trainings]
        ended = next((status for status in UNSUCCESSFUL if status in found), Status.COMPLETE)
        is_whole = len(found) == self.num_seeds or ended is not Status.COMPLETE
        return ended if is_whole and Status.INCOMPLETE not in found else Status.INCOMPLETE

    @property
    def values(self) -> tuple[float, ...]:
        """One value per objective at the end, the mean over the seeds; empty if one is missing."""
        values = [training.row.objective_values or () for training in self.trainings]
        is_known = all(values) and not any(None in own for own in values)
        if not is_known or (self.num_seeds > 1 and self.status is Status.INCOMPLETE):
            return ()
        return tuple(math.fsum(column) / len(column) for column in zip(*values, strict=True))

    @property
    def is_complete(self) -> bool:
        """Whether all seeds trained all epochs and have their values."""
        return self.status is Status.COMPLETE and bool(self.values)


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The settings of a search, its trials, and the trials that confirm the best."""

    algorithm: str
    num_trials: int
    """Number of trials that were asked for."""
    seed: int
    scheduler: Mapping[str, Any]
    """Settings of the scheduler, as in the space: `type` and the keys of that type."""
    objectives: tuple[Objective, ...]
    parameters: tuple[Parameter, ...]
    warm_start: str | None
    """Source of the earlier results that the search started from; None if there were none."""
    trials: list[SearchTrial]
    """Configurations in the order of their proposals, without superseded trainings."""
    confirmed: Mapping[int, Cell]
    """Retrainings of the chosen configurations on all training images, by the number of the proposal."""
    num_seeds: int = 1
    """Number of seeds with which each configuration is trained."""

    @property
    def trainings(self) -> list[Trial]:
        """The trainings of all configurations."""
        return [training for proposed in self.trials for training in proposed.trainings]

    @property
    def noun(self) -> str:
        """What one of `trials` is called."""
        return "trial" if self.num_seeds == 1 else "configuration"

    @property
    def per_seed(self) -> str:
        """Words for the seeds of each configuration, after a comma; empty for one."""
        return f", {self.num_seeds} seeds each" if self.num_seeds > 1 else ""

    @property
    def parameter_names(self) -> list[str]:
        """Names of the searched parameters."""
        return [parameter.name for parameter in self.parameters]

    @property
    def mean_words(self) -> str:
        """Words for how the objective is taken over the seeds, after a comma; empty for one seed."""
        return f", the mean of {self.num_seeds} seeds" if self.num_seeds > 1 else ""

    @property
    def stopped(self) -> list[SearchTrial]:
        """Trials that the scheduler stopped early."""
        return [proposed for proposed in self.trials if proposed.trial.row.stopped_epoch is not None]

    @property
    def parents(self) -> dict[str, str | None]:
        """Key of the trial whose final state a trial began with, by the trial's key; None if there is none."""
        return {proposed.trial.row.trial_key: proposed.trial.config.parent for proposed in self.trials}

    @property
    def is_population(self) -> bool:
        """Whether trials begin with the final state of others: population based training."""
        return any(self.parents.values())

    @property
    def is_settled(self) -> bool:
        """Whether the best can no longer change: all trials have ended, or the chosen ones are being confirmed."""
        running = any(proposed.status is Status.INCOMPLETE for proposed in self.trials)
        return bool(self.confirmed) or (len(self.trials) >= self.num_trials and not running)

    @property
    def has_ranges(self) -> bool:
        """Whether values were drawn from ranges, so that hardly any two trials share a value."""
        return any(parameter.choices is None for parameter in self.parameters)

    @property
    def num_generations(self) -> int:
        """Number of generations of the best training: 1 without a population, 0 if no trial is complete."""
        return len(self.training(self.best[0])) if self.best else 0

    @property
    def method(self) -> str:
        """Algorithm and scheduler: `tpe, scheduler asha`."""
        generations = f", {counted(self.num_generations, 'generation')}" if self.num_generations > 1 else ""
        return f"{self.algorithm}, scheduler {self.scheduler[keys.SCHEDULER_TYPE]}{generations}{self.per_seed}"

    @property
    def finalists(self) -> list[SearchTrial]:
        """Complete trials; in population based training only those of the last generation."""
        complete = [proposed for proposed in self.trials if proposed.is_complete]
        parents = self.parents
        lengths = [len(lineage(parents, proposed.trial.row.trial_key)) for proposed in complete]
        longest = max(lengths, default=0)
        return [proposed for proposed, length in zip(complete, lengths, strict=True) if length == longest]

    def training(self, last: SearchTrial) -> list[SearchTrial]:
        """Return the trials, oldest first, of the training that ends with `last`; empty if a row is missing."""
        by_key = {proposed.trial.row.trial_key: proposed for proposed in self.trials}
        keys = lineage(self.parents, last.trial.row.trial_key)
        return [by_key[key] for key in keys] if all(key in by_key for key in keys) else []

    @property
    def best(self) -> list[SearchTrial]:
        """Finalists, best first; with several objectives only the Pareto front."""
        ordered = sorted(self.finalists, key=lambda proposed: (proposed.values, proposed.number))
        return ordered if len(self.objectives) == 1 else pareto_front(ordered, lambda proposed: proposed.values)

    @property
    def chosen(self) -> list[SearchTrial]:
        """Trials that are being confirmed, best first. If there are none: the best one, or the Pareto front."""
        best = self.best
        confirmed = [proposed for proposed in best if proposed.number in self.confirmed]
        return confirmed or (best if len(self.objectives) > 1 else best[:1])


@dataclass(frozen=True, slots=True)
class Spent:
    """What the proposals took, and what they would have taken if none had been stopped."""

    epochs: int
    """Number of epochs trained."""
    full_epochs: int
    """Number of epochs without stopping."""
    seconds: float
    """Time of training and evaluation, in seconds, summed over the trials."""
    full_seconds: float
    """The same without stopping: the missing epochs of a stopped trial count like the mean of its others."""


def lineage(parents: Mapping[str, str | None], trial_key: str) -> list[str]:
    """Return the keys of a population's trials, oldest first, that make the training which ends with `trial_key`.

    `parents` has the key of each trial's parent, or None, by the trial's key.
    """
    keys = [trial_key]
    while (parent := parents.get(keys[-1])) is not None and parent not in keys:
        keys.append(parent)
    return keys[::-1]


def read_search(table: pa.Table) -> SearchResults | None:
    """Read the `trials` table of a search; None if the sweep is no search.

    Raises:
        ValueError: the settings of the search are damaged.
    """
    text = (table.schema.metadata or {}).get(SEARCH_METADATA.encode())
    if text is None:
        return None
    settings = check_settings(parse_json(text))
    parameters = tuple(_parameter(name, values) for name, values in settings[keys.PARAMETERS].items())
    trials = trials_from_table(table)
    num_seeds = max(int(objective.get(keys.SEEDS, 1)) for objective in settings[keys.OBJECTIVE])
    searched = [trial for trial in trials if trial.row.purpose == Purpose.SEARCH]
    cells = group_repeats(searched) if num_seeds > 1 else [Cell(trial.config, (trial,)) for trial in searched]
    proposed = [
        SearchTrial(number, cell.trials[0], _params(cell.trials[0], parameters), cell.trials[1:], num_seeds)
        for cell in cells
        if (number := cell.trials[0].row.proposal) is not None
    ]
    confirming = [trial for trial in trials if trial.row.purpose == Purpose.CONFIRM]
    return SearchResults(
        algorithm=settings[keys.ALGORITHM],
        num_trials=settings[keys.NUM_TRIALS],
        seed=settings[keys.SEED],
        scheduler=settings[keys.SCHEDULER],
        objectives=tuple(Objective(objective[keys.METRIC]) for objective in settings[keys.OBJECTIVE]),
        parameters=parameters,
        warm_start=settings[keys.WARM_START],
        trials=sorted(proposed, key=lambda proposed: proposed.number),
        confirmed={
            number: cell for cell in group_repeats(confirming) if (number := cell.trials[0].row.proposal) is not None
        },
        num_seeds=num_seeds,
    )


def _parameter(name: str, values: Mapping[str, Any]) -> Parameter:
    if keys.CHOICES in values:
        return Parameter(name, choices=tuple(values[keys.CHOICES]))
    return Parameter(name, values[keys.LOW], values[keys.HIGH], values[keys.LOG])


def _params(trial: Trial, parameters: Sequence[Parameter]) -> dict[str, Scalar]:
    names = [parameter.name for parameter in parameters]
    trained = trained_params(names, trial.config, parse_json(trial.row.variables))
    unset = [parameter for parameter in parameters if trained[parameter.name] is None]
    return trained | {parameter.name: _set_value(trial.config, parameter) for parameter in unset}


def _set_value(config: TrainConfig, parameter: Parameter) -> Scalar:
    """Return the value that a parameter which is None in a configuration can have been set to; None if it was not."""
    values = [parameter.low] if parameter.choices is None else parameter.choices
    if parameter.name in ZERO_IS_NONE and 0 in values:
        return 0
    if parameter.name == "ghost_batch_size" and None not in values:
        return next((size for size in values if isinstance(size, int) and size >= config.batch_size), None)
    return None


def best_so_far(search: SearchResults, index: int) -> list[tuple[int, float]]:
    """Return (number, value) of each complete trial that improved the objective of this index."""
    steps: list[tuple[int, float]] = []
    for proposed in search.trials:
        if proposed.is_complete and (not steps or proposed.values[index] < steps[-1][1]):
            steps.append((proposed.number, proposed.values[index]))
    return steps


def stopped_by_epoch(search: SearchResults) -> dict[int, list[SearchTrial]]:
    """Return the trials that the scheduler stopped, by the epoch after which it did, both in rising order."""
    return dict(sorted(grouped(search.stopped, lambda proposed: proposed.trial.row.stopped_epoch or 0).items()))


def reached(search: SearchResults, epoch: int) -> int:
    """Return the number of trials that trained this epoch."""
    return sum(proposed.trial.row.epochs_done >= epoch for proposed in search.trials)


def spent(search: SearchResults) -> Spent:
    """Sum up the proposals, without confirmations. Only stopped trials count as saved, not diverged ones."""

    def total(value: Callable[[Trial], float]) -> float:
        return sum(map(value, search.trainings))

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
    """Return the training fields that differ between trials of equal choices: those that depend on ranges."""
    choices = [parameter.name for parameter in search.parameters if parameter.choices is not None]
    groups = grouped(search.trials, lambda proposed: tuple(proposed.params[name] for name in choices)).values()
    found = {name for group in groups for name in varying_fields([proposed.trial.config for proposed in group])}
    return in_field_order(found)


def attributes(search: SearchResults, proposed: SearchTrial) -> dict[str, Any]:
    """Return derived fields and test errors of a proposal as JSON values, for Optuna's dashboard."""
    fields = varying_fields([other.trial.config for other in search.trials])
    derived = {name: value_of(proposed.trial.config, name) for name in fields if name not in proposed.params}
    confirmed = search.confirmed.get(proposed.number)
    return {
        **derived,
        "test_error_percent": proposed.trial.row.test_error_percent,
        "confirmed_test_error_percent": None if confirmed is None else confirmed.test_errors,
    }


def rounded(value: Scalar) -> Scalar:
    """Round a float to four digits, which is what a reader compares."""
    return round_significant(value, 4) if isinstance(value, float) else value


def params_text(proposed: SearchTrial) -> str:
    """Return `base_lr 0.1234, batch_size 64`."""
    return printable_line(
        ", ".join(f"{name} {format_value(value, digits=4)}" for name, value in proposed.params.items())
    )
