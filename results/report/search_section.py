"""The section of a report about a search: facts and tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.figures.pareto_front import hours_name
from results.parquet.search_results import SearchResults, SearchTrial, params_text, spent
from results.report.formatting import Facts
from results.report.linked_table import LinkedTable
from results.report.search_tables import (
    chosen_table,
    importance_table,
    schedule_table,
    standard_error_words,
    stopped_table,
)
from results.statistics.importance import MIN_TRIALS, Importance
from results.store.search_settings import SCHEDULER_TYPE
from results.tables.search_table import nothing_ended
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class SearchSection:
    """Content of the section."""

    facts: Facts
    tables: list[LinkedTable]


def search_section(
    search: SearchResults, importances: Sequence[tuple[str, Importance]], space: Mapping[str, Any]
) -> SearchSection:
    """Return the section about a search, from its results, its importances by objective, and its space as loaded."""
    tables = [schedule_table(search) or chosen_table(search)] if search.chosen else []
    if search.stopped:
        tables.append(stopped_table(search))
    tables += [importance_table(words, shares, search, space) for words, shares in importances]
    facts = [*_settings(search), *_spent(search), *_unknown_importances(search, importances)]
    return SearchSection(facts, tables)


def chosen_facts(search: SearchResults, *, is_scaled: bool = False) -> Facts:
    """Return the first chosen trial, how it was chosen, and its test error if it was confirmed.

    Args:
        is_scaled: whether the trials were trained at a scale of the space; parameters are those of the full size.
    """
    if not search.chosen:
        return [("chosen", f"none: {nothing_ended(search)}")]
    first = search.chosen[0]
    num_generations = len(search.training(first))
    last_of = f", the last of {num_generations} generations" if num_generations > 1 else ""
    name = "chosen" if search.is_settled else "best so far"
    if len(search.objectives) > 1:
        name = "confirmed first" if first.number in search.confirmed else f"least {search.objectives[0].name}"
    facts = [
        (name, f"proposal {first.number}: {params_text(first)}{last_of}{' (full size)' * is_scaled}"),
        ("how it was chosen", _how(search, first)),
    ]
    if first.number in search.confirmed:
        text = _error_words(search.confirmed[first.number].test_errors)
        facts.append(("its test error", f"{text}, retrained on all training images"))
    return facts


def _how(search: SearchResults, first: SearchTrial) -> str:
    values = zip(search.objectives, first.values, strict=True)
    reached = ", ".join(objective.value_text(value) for objective, value in values)
    which = "the best"
    if len(search.objectives) > 1:
        which = f"one of {counted(len(search.best), 'trial')} on the Pareto front"
    among = counted(len(search.finalists), f"completed {search.noun}")
    among += " in the last generation" * search.is_population
    return f"{which} of {among}: {reached}; test images were not used"


def _error_words(errors: Sequence[float]) -> str:
    """Return the mean and its standard error in percent."""
    if not errors:
        return "not known yet"
    spread = f" +- {standard_error_words(errors)} (standard error)" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.2f}{spread} %, n = {len(errors)}"


def _settings(search: SearchResults) -> Facts:
    kind = search.scheduler[SCHEDULER_TYPE]
    scheduler = ", ".join(f"{key} {value}" for key, value in search.scheduler.items() if key != SCHEDULER_TYPE)
    requested = counted(search.num_trials, search.noun)
    facts = [
        ("algorithm", f"{search.algorithm}, seed {search.seed}, {requested} requested"),
        (
            "objective",
            " and ".join(f"minimize {objective.label}" for objective in search.objectives) + search.mean_words,
        ),
        ("scheduler", f"{kind} ({scheduler})" if scheduler else kind),
        ("parameters", "; ".join(_parameter_words(search))),
    ]
    return [*facts, ("warm start", search.warm_start)] if search.warm_start else facts


def _spent(search: SearchResults) -> Facts:
    """Return the epochs and hours that were spent, and what stopping trials early saved."""
    used = spent(search)
    name = hours_name([trial.trial.row.device for trial in search.trials])
    hours, full = used.seconds / 3600, used.full_seconds / 3600
    without = ", without confirmations" if search.confirmed else ""
    if not search.stopped:
        return [("epochs", f"{used.epochs}{without}"), (name, f"{hours:.3g}{without}")]
    epochs = f"{used.epochs} instead of {used.full_epochs} ({_saved(used.epochs, used.full_epochs)} saved)"
    time = f"{hours:.3g} instead of {full:.3g} ({full - hours:.3g}, {_saved(hours, full)} saved)"
    estimated = "the full time of stopped trials is estimated from their own epochs"
    return [("epochs", epochs), (name, f"{time}; {estimated}{without}")]


def _saved(used: float, full: float) -> str:
    return f"{100 * (1 - used / full):.0f} %" if full else "0 %"


def _unknown_importances(search: SearchResults, importances: Sequence[tuple[str, Importance]]) -> Facts:
    """Return a fact about the objectives that have no importances although there are enough trials."""
    known = [words for words, _ in importances]
    names = [objective.name for objective in search.objectives if objective.label not in known]
    if search.is_population or len(search.trials) < MIN_TRIALS or not names:
        return []
    why = "too few trials can be compared, or a random forest fitted to them does not predict unseen trials"
    return [("parameter importance", f"unknown for {' and '.join(names)}: {why}")]


def _parameter_words(search: SearchResults) -> list[str]:
    words = []
    for parameter in search.parameters:
        if parameter.choices is not None:
            words.append(f"{parameter.name} in {', '.join(map(str, parameter.choices))}")
        else:
            log = " (log)" if parameter.log else ""
            words.append(f"{parameter.name} {parameter.low:g} to {parameter.high:g}{log}")
    return words
