"""What a report says of a search; its figures apart."""

import itertools
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.figures.parameter_importance import basis
from results.figures.pareto_front import hours_name
from results.parquet.search_results import (
    SearchResults,
    SearchTrial,
    param_words,
    reached,
    rounded,
    spent,
    stopped_by_epoch,
)
from results.parquet.trials import varying_fields
from results.report.trial_list import Facts, percent, trial_anchor
from results.statistics.importance import MIN_TRIALS, Importance
from results.store.search_settings import SCHEDULER_TYPE
from results.tables.layout import Column
from results.tables.search_table import nothing_ended
from trainable.records import Status
from trainable.wording import counted, listed

MOST_LISTED = 10
"""Trials that a line names."""


@dataclass(frozen=True, slots=True)
class SearchTable:
    """A table with a heading, of which each row leads to an anchor; None where there is nothing to lead to."""

    heading: str
    columns: list[Column]
    anchors: list[str | None]
    note: str = ""

    @property
    def rows(self) -> list[list[str]]:
        """The columns' values, row by row."""
        return [list(values) for values in zip(*(column.values for column in self.columns), strict=True)]


@dataclass(frozen=True, slots=True)
class SearchSection:
    """All of it."""

    facts: Facts
    tables: list[SearchTable]


def search_section(
    search: SearchResults, importances: Sequence[tuple[str, Importance]], space: Mapping[str, Any]
) -> SearchSection:
    """
    Args:
        importances: words for an objective, and what decides it.
        space: the space's YAML, for what it derives.
    """
    tables = [_schedule(search) or _chosen(search)] if search.chosen else []
    if search.stopped:
        tables.append(_stopped(search))
    tables += [_importances(words, one, search, space) for words, one in importances]
    return SearchSection([*_facts(search), *_untold(search, importances)], tables)


def chosen_facts(search: SearchResults) -> Facts:
    """The first of what was chosen, and its error on the test images where it was confirmed."""
    if not search.chosen:
        return [("chosen", f"none: {nothing_ended(search)}")]
    first = search.chosen[0]
    num_generations = len(search.training(first))
    last_of = f", the last of {num_generations} generations" if num_generations > 1 else ""
    name = "chosen" if search.is_settled else "best so far"
    if len(search.objectives) > 1:
        name = "confirmed first" if first.number in search.confirmed else f"least {search.objectives[0].name}"
    facts = [
        (name, f"proposal {first.number}: {param_words(first)}{last_of}"),
        ("how it was chosen", _how(search, first)),
    ]
    if first.number in search.confirmed:
        text = _error_words(search.confirmed[first.number].test_errors)
        facts.append(("its test error", f"{text}, trained again on all training images"))
    return facts


def _how(search: SearchResults, first: SearchTrial) -> str:
    values = zip(search.objectives, first.values or (), strict=True)
    reached = ", ".join(objective.told(value) for objective, value in values)
    which = "the best of"
    if len(search.objectives) > 1:
        which = f"one of the {len(search.best)} on the Pareto front, which none is better than in both, of"
    among = f"{counted(len(search.finalists), 'trial')} that ran to the end"
    among += " in the last generation" * search.is_population
    return f"{which} {among}: {reached}; the test set had no part"


def _error_words(errors: Sequence[float]) -> str:
    """Mean and its standard error, percent."""
    if not errors:
        return "not known yet"
    spread = f" +- {_standard_error(errors)} (standard error)" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.2f}{spread} %, n = {len(errors)}"


def _standard_error(errors: Sequence[float]) -> str:
    return f"{statistics.stdev(errors) / len(errors) ** 0.5:.2f}" if len(errors) > 1 else "-"


def _num_complete(search: SearchResults) -> int:
    return sum(one.is_complete for one in search.trials)


def _facts(search: SearchResults) -> Facts:
    kind = search.scheduler[SCHEDULER_TYPE]
    scheduler = ", ".join(f"{key} {value}" for key, value in search.scheduler.items() if key != SCHEDULER_TYPE)
    facts = [
        ("algorithm", f"{search.algorithm}, seed {search.seed}, {counted(search.num_trials, 'trial')} asked for"),
        ("objective", " and ".join(f"minimize {one.words}" for one in search.objectives)),
        ("scheduler", f"{kind} ({scheduler})" if scheduler else kind),
        ("parameters", "; ".join(_parameter_words(search))),
    ]
    if search.warm_start:
        facts.append(("began with the results of", search.warm_start))
    used = spent(search)
    name = hours_name([trial.trial.row.device for trial in search.trials])
    hours, full = used.seconds / 3600, used.full_seconds / 3600
    without = ", confirmations not counted" if search.confirmed else ""
    if not search.stopped:
        return [*facts, ("epochs", f"{used.epochs}{without}"), (name, f"{hours:.3g}{without}")]
    epochs = f"{used.epochs} instead of {used.full_epochs} ({_share(used.epochs, used.full_epochs)} saved)"
    time = f"{hours:.3g} instead of {full:.3g} ({full - hours:.3g}, {_share(hours, full)} saved)"
    reckoned = "what stopped trials would have taken is reckoned from their own epochs"
    return [*facts, ("epochs", epochs), (name, f"{time}; {reckoned}{without}")]


def _untold(search: SearchResults, importances: Sequence[tuple[str, Importance]]) -> Facts:
    """Objectives of which nothing can be said that trials do not contradict."""
    told = [words for words, _ in importances]
    names = [one.name for one in search.objectives if one.words not in told]
    if search.is_population or len(search.trials) < MIN_TRIALS or not names:
        return []
    why = "too few trials can be compared, or what a forest fitted to them predicts does not hold for trials unseen"
    return [("what decides", f"cannot be told of the {' and '.join(names)}: {why}")]


def _share(used: float, full: float) -> str:
    return f"{100 * (1 - used / full):.0f} %" if full else "0 %"


def _parameter_words(search: SearchResults) -> list[str]:
    words = []
    for one in search.parameters:
        if one.choices is not None:
            words.append(f"{one.name} of {', '.join(map(str, one.choices))}")
        else:
            words.append(f"{one.name} {one.low:g} to {one.high:g}{' (log)' if one.log else ''}")
    return words


def _chosen(search: SearchResults) -> SearchTable:
    """A row each: its parameters, what it was chosen by, and its error on test where it was confirmed.

    Of two objectives the whole front, whether confirmed or not.
    """
    is_front = len(search.objectives) > 1
    chosen = search.best if is_front else search.chosen
    columns = [_numbers("proposal", [str(one.number) for one in chosen])]
    for parameter in search.parameters:
        columns.append(_numbers(parameter.name, [str(rounded(one.params[parameter.name])) for one in chosen]))
    derived = [name for name in ("lr", "batch_size") if name not in {one.name for one in search.parameters}]
    for name in derived:
        columns.append(_numbers(name, [str(rounded(getattr(one.trial.config, name))) for one in chosen]))
    for index, objective in enumerate(search.objectives):
        columns.append(_numbers(objective.words, [f"{one.values[index]:.4g}" for one in chosen if one.values]))
    note = "Not confirmed: not trained again on all training images yet, so not judged by test error."
    if search.confirmed:
        errors = [cell.test_errors if (cell := search.confirmed.get(one.number)) else [] for one in chosen]
        columns += [
            _numbers("test error %", [percent(statistics.fmean(one) if one else None) for one in errors]),
            _numbers("standard error", [_standard_error(one) for one in errors]),
            _numbers("n", [str(len(one)) if one else "-" for one in errors]),
        ]
        note = (
            "Test error at the last epoch, mean of n seeds, trained again on all training images"
            f"{' (-: not confirmed)' if not all(errors) else ''}. The order is that "
            "of the search: to choose among the rows by test error would be selecting on the test set."
        )
    anchors: list[str | None] = [_anchor(search, one) for one in chosen]
    one_best = "What it chose" if search.is_settled else "The best so far"
    return SearchTable("Pareto front" if is_front else one_best, columns, anchors, note)


def _schedule(search: SearchResults) -> SearchTable | None:
    """A row a generation of what was chosen; None where that is a single trial, or the row of one is lost."""
    last = search.chosen[0]
    training = search.training(last)
    if len(training) < 2:
        return None
    ends = list(itertools.accumulate(one.trial.config.epochs for one in training))
    begins = [1, *(end + 1 for end in ends[:-1])]
    columns = [
        _numbers("generation", [str(number) for number, _ in enumerate(training, 1)]),
        _numbers("epochs", [f"{begin} to {end}" for begin, end in zip(begins, ends, strict=True)]),
        *_perturbed(search, training),
    ]
    for index, objective in enumerate(search.objectives):
        columns.append(
            _numbers(objective.words, [f"{one.values[index]:.4g}" if one.values else "-" for one in training])
        )
    columns.append(Column("trial", "left", [one.trial.row.trial_key for one in training]))
    note = (
        f"What the best trial of the last generation (proposal {last.number}) and those that it goes on from were "
        "trained with, and what they came to at the end of each generation; the test set had no part."
    )
    return SearchTable("The schedule that was found", columns, [trial_anchor(one.trial) for one in training], note)


def _perturbed(search: SearchResults, training: Sequence[SearchTrial]) -> list[Column]:
    """What was searched for, then lr and whatever else follows from it."""
    searched = [parameter.name for parameter in search.parameters]
    varying = dict.fromkeys(["lr", *varying_fields([one.trial.config for one in training])])
    fields = [name for name in varying if name not in searched]
    return [
        *(_numbers(name, [str(rounded(one.params[name])) for one in training]) for name in searched),
        *(_numbers(name, [str(rounded(getattr(one.trial.config, name))) for one in training]) for name in fields),
    ]


def _anchor(search: SearchResults, one: SearchTrial) -> str:
    """The first of its confirmations, or the trial itself."""
    cell = search.confirmed.get(one.number)
    return trial_anchor(cell.trials[0] if cell else one.trial)


def _stopped(search: SearchResults) -> SearchTable:
    rungs = stopped_by_epoch(search)
    columns = [
        _numbers("after epoch", [str(epoch) for epoch in rungs]),
        _numbers("reached by", [str(reached(search, epoch)) for epoch in rungs]),
        _numbers("stopped", [str(len(trials)) for trials in rungs.values()]),
        Column("whom (number of the proposal)", "left", [_listed(trials) for trials in rungs.values()]),
    ]
    others = [one for one in search.trials if one.trial.status is Status.DIVERGED]
    diverged = f", {len(others)} diverged" if others else ""
    note = f"{_num_complete(search)} ran to the end, {len(search.stopped)} were stopped{diverged}."
    return SearchTable("Which rung stopped whom", columns, [None] * len(rungs), note)


def _listed(trials: Sequence[SearchTrial]) -> str:
    return listed([str(one.number) for one in trials], MOST_LISTED)


def _importances(words: str, one: Importance, search: SearchResults, space: Mapping[str, Any]) -> SearchTable:
    names = sorted(one.total, key=lambda name: -one.total[name])
    columns = [
        Column("parameter", "left", names),
        _numbers("alone %", [f"{100 * one.main[name]:.0f}" for name in names]),
        _numbers("with its interactions %", [f"{100 * one.total[name]:.0f}" for name in names]),
    ]
    note = (
        f"Share of the variance of {words} over the space that was searched, as a random forest predicts it "
        f"(functional analysis of variance), from {basis(one)}. {_caveat(search, space)}"
    )
    return SearchTable(f"What decides the {words}", columns, [None] * len(names), note.strip())


def _caveat(search: SearchResults, space: Mapping[str, Any]) -> str:
    """An importance is of what was proposed, not of what follows from it."""
    derive = space.get("derive")
    lines = []
    for field, text in derive.items() if isinstance(derive, dict) else ():
        used = [one.name for one in search.parameters if re.search(rf"\b{re.escape(one.name)}\b", str(text))]
        if used:
            lines.append(f"It is of {' and '.join(used)}, not of the {field} that follows from it: {field} = {text}.")
    return " ".join(lines)


def _numbers(header: str, values: list[str]) -> Column:
    return Column(header, "right", values, stop=len(header))
