"""The origin of every number: what all trials share, and a row for every trial with the rest."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.parquet.axes import axis_value
from results.parquet.search_results import Objective
from results.parquet.trials import Cell, Trial
from results.report.formatting import Facts, config_words, moment, named_values, plain, trial_anchor
from results.tables.layout import Column, format_seconds, number_column, percent, row_values
from results.tables.trial_table import proposal_column
from trainable.config import FIELD_NAMES


@dataclass(frozen=True, slots=True)
class Group:
    """A configuration with its repeats."""

    anchor: str
    """Anchor that the results of the configuration link to, unique in the report."""
    heading: str
    trial_anchors: list[str]
    """Anchor of each repeat, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class TrialList:
    """All trials of a sweep, grouped by configuration."""

    shared: Facts
    """Values that are the same for all trials."""
    columns: list[Column]
    groups: list[Group]

    @property
    def rows(self) -> list[list[str]]:
        return row_values(self.columns)


def trial_list(cells: Sequence[Cell], objectives: Sequence[Objective] = ()) -> TrialList:
    """Return the trials of the configurations, in the given order, with the values of a search's objectives."""
    trials = [trial for cell in cells for trial in cell.trials]
    own = [Column(name, "left", list(map(value_of, trials))) for name, value_of in VALUES_OF_TRIAL.items()]
    columns: list[Column] = []
    shared: Facts = []
    for column in [*_outcome(trials, objectives), *own]:
        is_shared = column.header in VALUES_OF_TRIAL or (len(trials) > 1 and column.header in OUTCOMES_OFTEN_SHARED)
        if is_shared and len({*column.values}) == 1:
            shared.append((column.header, column.values[0]))
        else:
            columns.append(column)
    groups = [
        Group(f"runs-{number}", config_words(cell), [trial_anchor(trial) for trial in cell.trials])
        for number, cell in enumerate(cells, start=1)
    ]
    return TrialList(shared, columns, groups)


def _field(name: str) -> Callable[[Trial], str]:
    return lambda trial: plain(axis_value(trial.config, name))


VALUES_OF_TRIAL: dict[str, Callable[[Trial], str]] = {
    **{name: _field(name) for name in FIELD_NAMES},
    "variables": lambda trial: named_values(trial.row.variables),
    "precision used": lambda trial: trial.row.precision_resolved,
    "device": lambda trial: trial.row.device,
    "host": lambda trial: trial.row.host,
    "threads": lambda trial: str(trial.row.num_threads),
    "GPUs": lambda trial: plain(trial.row.gpus),
    "versions": lambda trial: named_values(trial.row.versions),
    "code (commit/source)": lambda trial: trial.row.code,
    "attempts differ in": lambda trial: ", ".join(json.loads(trial.row.attempts_differ or "{}")) or "-",
    "damaged files": lambda trial: trial.row.damage or "-",
}
"""Name -> value of a trial that tells where its numbers come from."""
OUTCOMES_OFTEN_SHARED = ("status", "epochs done", "attempts")
"""Outcomes that take no column if several trials have the same, as do the values above."""


def _outcome(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Column]:
    rows = [trial.row for trial in trials]
    is_search = any(row.proposal is not None for row in rows)
    return [
        Column("trial", "left", [row.trial_key for row in rows]),
        *([proposal_column(rows)] if is_search else []),
        Column("status", "left", [row.status.lower() for row in rows]),
        *(
            number_column(objective.label, [_value_text(row.objective_values, index) for row in rows])
            for index, objective in enumerate(objectives)
        ),
        number_column("test error %", [percent(_final(trial, trial.row.test_error_percent)) for trial in trials]),
        number_column(
            "median of last 5", [percent(_final(trial, trial.row.test_error_percent_last5)) for trial in trials]
        ),
        number_column("epochs done", [str(row.epochs_done) for row in rows]),
        number_column("training", [format_seconds(row.train_seconds) for row in rows]),
        number_column("evaluation", [format_seconds(row.eval_seconds) for row in rows]),
        number_column("images/s", ["-" if (n := row.images_per_second) is None else f"{n:.0f}" for row in rows]),
        number_column("attempts", [str(row.attempts) for row in rows]),
        Column("start (UTC)", "left", [moment(row.start_time) for row in rows]),
        Column("end (UTC)", "left", [moment(row.end_time) for row in rows]),
    ]


def _value_text(values: Sequence[float | None] | None, index: int) -> str:
    """Return the value of the objective of this index; `-` for a trial that has none."""
    value = values[index] if values else None
    return "-" if value is None else f"{value:.4g}"


def _final(trial: Trial, error: float | None) -> float | None:
    """Return the error only if it is final: the last one of a failed or unfinished trial is not a result."""
    return error if trial.status.is_final else None
