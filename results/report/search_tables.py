"""The tables of a report about a search."""

import itertools
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results.figures.parameter_importance import basis
from results.parquet.axes import axis_value, zero_if_none
from results.parquet.search_results import SearchResults, SearchTrial, reached, stopped_by_epoch
from results.parquet.trials import varying_fields
from results.report.formatting import trial_anchor
from results.report.linked_table import LinkedTable
from results.statistics.importance import Importance
from results.tables.layout import Column, number_column, percent
from trainable.records import Status
from trainable.wording import counted, format_value, listed

MOST_LISTED = 10
"""Largest number of trials that a cell names."""


def standard_error_words(errors: Sequence[float]) -> str:
    """Return the standard error of the mean; `-` for a single error."""
    return f"{statistics.stdev(errors) / len(errors) ** 0.5:.2f}" if len(errors) > 1 else "-"


def chosen_table(search: SearchResults) -> LinkedTable:
    """Return the chosen trials (the whole front for two objectives), with their test errors if confirmed."""
    is_front = len(search.objectives) > 1
    chosen = search.best if is_front else search.chosen
    columns = [number_column("proposal", [str(trial.number) for trial in chosen])]
    columns += _setting_columns(dict.fromkeys([*search.parameter_names, "lr", "batch_size"]), chosen)
    columns += _objective_columns(search, chosen)
    note = "Not confirmed: not yet retrained on all training images, so not judged by test error."
    if search.confirmed:
        cells = [search.confirmed.get(trial.number) for trial in chosen]
        errors = [cell.test_errors if cell else [] for cell in cells]
        columns += [
            number_column("test error %", [percent(statistics.fmean(own) if own else None) for own in errors]),
            number_column("standard error", [standard_error_words(own) for own in errors]),
            number_column("n", [str(len(own)) if own else "-" for own in errors]),
        ]
        note = (
            "Test error at the last epoch, mean of n seeds, retrained on all training images"
            f"{' (-: not confirmed)' if not all(errors) else ''}. The order is that "
            "of the search: choosing among the rows by test error would be selecting on the test set."
        )
    anchors = [_anchor(search, trial) for trial in chosen]
    best = "Choice of the search" if search.is_settled else "The best so far"
    return LinkedTable(columns, anchors, "Pareto front" if is_front else best, note)


def schedule_table(search: SearchResults) -> LinkedTable | None:
    """Return the generations of the best training of a population; None if it is a single or incomplete one."""
    last = search.chosen[0]
    training = search.training(last)
    if len(training) < 2:
        return None
    varying = varying_fields([trial.trial.config for trial in training])
    ends = list(itertools.accumulate(trial.trial.config.epochs for trial in training))
    begins = [1, *(end + 1 for end in ends[:-1])]
    columns = [
        number_column("generation", [str(number) for number, _ in enumerate(training, 1)]),
        number_column("epochs", [f"{begin} to {end}" for begin, end in zip(begins, ends, strict=True)]),
        *_setting_columns(dict.fromkeys([*search.parameter_names, "lr", *varying]), training),
        *_objective_columns(search, training),
        Column("trial", "left", [trial.trial.row.trial_key for trial in training]),
    ]
    note = (
        f"Settings of the best trial of the last generation (proposal {last.number}) and of its ancestors, and their "
        "objectives at the end of each generation; test images were not used."
    )
    anchors = [trial_anchor(trial.trial) for trial in training]
    return LinkedTable(columns, anchors, "The schedule found", note)


def _objective_columns(search: SearchResults, trials: Sequence[SearchTrial]) -> list[Column]:
    return [
        number_column(objective.label, [f"{trial.values[index]:.4g}" if trial.values else "-" for trial in trials])
        for index, objective in enumerate(search.objectives)
    ]


def _setting_columns(names: Iterable[str], trials: Sequence[SearchTrial]) -> list[Column]:
    """Return a column for each parameter or training field; a field that is searched has its proposed values."""

    def text(trial: SearchTrial, name: str) -> str:
        value = trial.params[name] if name in trial.params else axis_value(trial.trial.config, name)
        return format_value(zero_if_none(name, value), digits=4)

    return [number_column(name, [text(trial, name) for trial in trials]) for name in names]


def _anchor(search: SearchResults, trial: SearchTrial) -> str:
    """Return the anchor of the first confirmation, or of the trial itself."""
    cell = search.confirmed.get(trial.number)
    return trial_anchor(cell.trials[0] if cell else trial.trial)


def stopped_table(search: SearchResults) -> LinkedTable:
    """Return how many and which trials were stopped at each rung."""
    rungs = stopped_by_epoch(search)
    columns = [
        number_column("after epoch", [str(epoch) for epoch in rungs]),
        number_column("reached by", [str(reached(search, epoch)) for epoch in rungs]),
        number_column("stopped", [str(len(trials)) for trials in rungs.values()]),
        Column("stopped proposals", "left", [_numbers(trials) for trials in rungs.values()]),
    ]
    num_complete = sum(trial.is_complete for trial in search.trials)
    num_diverged = sum(trial.status is Status.DIVERGED for trial in search.trials)
    diverged = f", {num_diverged} diverged" if num_diverged else ""
    note = f"{counted(num_complete, search.noun)} completed, {len(search.stopped)} stopped early{diverged}."
    return LinkedTable(columns, [None] * len(rungs), "Trials stopped at each rung", note)


def _numbers(trials: Sequence[SearchTrial]) -> str:
    return listed([str(trial.number) for trial in trials], MOST_LISTED)


def importance_table(words: str, shares: Importance, search: SearchResults, space: Mapping[str, Any]) -> LinkedTable:
    """Return the importance of each parameter for the objective that `words` names."""
    names = sorted(shares.total, key=lambda name: -shares.total[name])
    columns = [
        Column("parameter", "left", names),
        number_column("alone %", [f"{100 * shares.main[name]:.0f}" for name in names]),
        number_column("with interactions %", [f"{100 * shares.total[name]:.0f}" for name in names]),
    ]
    note = (
        f"Share of the variance of {words} over the searched space, as predicted by a random forest "
        f"(functional analysis of variance) from {basis(shares)}. {_caveat(search, space)}"
    )
    return LinkedTable(columns, [None] * len(names), f"Parameter importance for {words}", note.strip())


def _caveat(search: SearchResults, space: Mapping[str, Any]) -> str:
    """Return a warning that importances belong to the parameters and not to the fields derived from them."""
    derive = space.get("derive")
    lines = []
    for field, text in derive.items() if isinstance(derive, dict) else ():
        used = [name for name in search.parameter_names if re.search(rf"\b{re.escape(name)}\b", str(text))]
        if used:
            lines.append(f"This is the importance of {' and '.join(used)}, not of {field} = {text}.")
    return " ".join(lines)
