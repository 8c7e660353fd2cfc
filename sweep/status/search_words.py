"""Describe a search in words, from its log."""

import re
from collections.abc import Mapping
from typing import Any

from results.parquet.axes import zero_if_none
from results.store.configurations import best, num_seeds
from results.store.search_log import ProposalRecord, SearchRecord, all_finite
from results.store.search_progress import search_progress
from results.store.search_settings import (
    CHOICES,
    DERIVE,
    FULL_SCALE,
    HIGH,
    LOW,
    METRIC,
    OBJECTIVE,
    OVERRIDES,
    PARAMETERS,
    SCALE,
    TRIAL,
    trained_params,
    value_text,
)
from trainable.config import FIELD_NAMES
from trainable.records import Status
from trainable.wording import counted, format_value


def search_heading(sweep: str, dataset: str, record: SearchRecord) -> str:
    """Return `name: a search of 20 trials on digits, 3 done, 1 to resume, 16 to propose`; what failed is resumed.

    Trials that wait for a promotion are `2 paused`.
    """
    progress = search_progress(record)
    failed = progress.statuses.get(Status.FAILED, 0)
    to_resume = progress.begun - progress.paused + failed
    parts = [
        f"{progress.ended - failed} done",
        f"{to_resume} to resume" if to_resume else "",
        f"{progress.paused} paused" if progress.paused else "",
        f"{progress.to_come} to propose",
    ]
    seeds = num_seeds(record)
    trials = counted(progress.wanted, "trial") + (f", {seeds} for each configuration," if seeds > 1 else "")
    return f"{sweep}: a search of {trials} on {dataset}, " + ", ".join(part for part in parts if part)


def best_words(record: SearchRecord) -> str | None:
    """Return the best trial with its value: `base_lr=0.21 batch_size=16: holdout error 2.5 %`.

    At a scale the parameters are those of the full size, as the space declares them. Over several seeds it is a mean.

    Returns:
        None if no trial has run to its end, or if there are several objectives.
    """
    found = best(record)
    if len(record.settings.get(OBJECTIVE, ())) != 1 or not found:
        return None
    is_scaled = bool(record.settings.get(TRIAL, {}).get(SCALE))
    seeds = f", mean of {num_seeds(record)} seeds" if num_seeds(record) > 1 else ""
    return f"{_params_words(record, found[0])}{' (full size)' * is_scaled}: {_values_words(record, found[0])}{seeds}"


def front_words(record: SearchRecord) -> list[str]:
    """Return the members of the front of a search with several objectives.

    Each reads `#4: holdout error 2.5 %, training time 12.3 s (base_lr=0.21 batch_size=16)`.
    """
    if len(record.settings.get(OBJECTIVE, ())) < 2:
        return []
    return [
        f"#{trial.number}: {_values_words(record, trial)} ({_params_words(record, trial)})" for trial in best(record)
    ]


def _params_words(record: SearchRecord, trial: ProposalRecord) -> str:
    """Return the values that the trial was trained with, like its own line; one that is None is left out."""
    params, config = dict(trial.params), trial.config
    if config is not None:
        at_scale = (record.settings.get(TRIAL, {}).get(SCALE) or {}).get(DERIVE, {})
        names = [name for name in params if name in FULL_SCALE or name not in at_scale]
        trained = trained_params(names, config, trial.variables)
        known = [name for name in names if name in FIELD_NAMES or name in trial.variables]
        params |= {name: zero_if_none(name, trained[name]) for name in known}
    return " ".join(f"{name}={format_value(value, digits=4)}" for name, value in params.items() if value is not None)


def _values_words(record: SearchRecord, trial: ProposalRecord) -> str:
    metrics = [objective[METRIC] for objective in record.settings[OBJECTIVE]]
    values = all_finite(trial.values) or ()
    return ", ".join(value_text(metric, value) for metric, value in zip(metrics, values, strict=True))


def end_notes(record: SearchRecord) -> list[str]:
    """Return why the search ended early, and how many proposals could not be trained."""
    notes = [] if record.over is None else [record.over]
    errors = [proposal.error for proposal in record.proposals if proposal.error is not None]
    if errors:
        proposals = counted(len(record.proposals), "proposal")
        verb = "was" if len(errors) == 1 else "were"
        notes.append(f"{len(errors)} of {proposals} {verb} impossible, the last: {errors[-1]}")
    return notes


def lower_lr_words(record: SearchRecord) -> str:
    """Return what to lower if all trials diverge: the ranges of the parameters that determine lr."""
    if not record.settings:
        return "lower the learning rates of the space"
    fixed = record.settings.get(TRIAL, {})
    if "lr" in fixed.get(OVERRIDES, {}):
        return "lower --set lr, under another --name"
    expressions = {**fixed.get(DERIVE, {}), **(fixed.get(SCALE) or {}).get(DERIVE, {})}
    parameters: Mapping[str, Any] = record.settings[PARAMETERS]
    named = {"lr"} | {*re.findall(r"[a-z_]\w*", expressions.get("lr", ""))}
    numbers = {name: ends for name in parameters if name in named and (ends := _ends(parameters[name])) is not None}
    rates = {name: ends for name, ends in numbers.items() if name == "lr" or name not in FIELD_NAMES}
    ranges = [f"{name} ({low:g} to {high:g})" for name, (low, high) in (rates or numbers).items()]
    what = f"the range of {' or '.join(ranges)}" if ranges else "lr in defaults"
    return f"lower {what}, under another --name"


def _ends(parameter: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the smallest and the largest value of a parameter; None if its values are not numbers."""
    values = parameter.get(CHOICES) or [parameter[LOW], parameter[HIGH]]
    return None if any(not isinstance(value, int | float) for value in values) else (min(values), max(values))
