"""How far a search has come, from its log."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.store import Manifest, Store
from trainable.config import FIELD_NAMES, PlannedTrial, TrainConfig
from trainable.errors import counted
from trainable.ledger import read_standing, trial_status
from trainable.records import Purpose, Status
from trainable.search_log import ProposalRecord, SearchRecord, all_finite, best

NUM_TRIALS = "num_trials"
CONFIRM = "confirm"
OBJECTIVE = "objective"
PARAMETERS = "parameters"
TRIAL = "trial"
"""Keys of the settings (search_spaces.search writes them)."""


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Counts of trainings; what confirms the best is not among them."""

    wanted: int
    """Different configurations that are to be tried; those that were, where no more are proposed."""
    begun: int
    """Proposed and not ended."""
    statuses: Mapping[Status, int]
    """Of those that have ended."""

    @property
    def ended(self) -> int:
        return sum(self.statuses.values())

    @property
    def to_come(self) -> int:
        """Not proposed yet, at most."""
        return max(0, self.wanted - self.begun - self.ended)


def planned_trials(manifest: Manifest, record: SearchRecord) -> list[PlannedTrial]:
    """What the sweep's space lists, then what its search has proposed so far, then what that has chosen."""
    proposed = [
        PlannedTrial(one.config, 0, one.variables, Purpose.SEARCH, one.number)
        for one in record.proposals
        if one.config is not None and one.same_as is None
    ]
    confirmed = [
        PlannedTrial(one.config, one.repeat, one.variables, Purpose.CONFIRM, one.number)
        for one in record.confirmations
    ]
    searched = [*proposed, *confirmed]
    keys = {trial.config.trial_key for trial in searched}
    return [*(trial for trial in manifest.trials if trial.config.trial_key not in keys), *searched]


def search_progress(record: SearchRecord) -> SearchProgress:
    trained = [one for one in record.proposals if one.is_trained]
    ended = [one.status for one in trained if one.status is not None]
    return SearchProgress(
        wanted=record.settings.get(NUM_TRIALS, 0) if record.over is None else len(trained),
        begun=len(trained) - len(ended),
        statuses={status: ended.count(status) for status in Status if status in ended},
    )


def search_heading(sweep: str, dataset: str, record: SearchRecord) -> str:
    """`name: a search of 20 trials on digits, 3 done, 1 to go on with, 16 to propose`."""
    progress = search_progress(record)
    parts = [
        f"{progress.ended} done",
        f"{progress.begun} to go on with" if progress.begun else "",
        f"{progress.to_come} to propose",
    ]
    trials = counted(progress.wanted, "trial")
    return f"{sweep}: a search of {trials} on {dataset}, " + ", ".join(part for part in parts if part)


def best_words(record: SearchRecord) -> str | None:
    """`base_lr=0.21 batch_size=16: holdout_error_percent 2.5`; None where nothing ran to the end, or of several
    objectives. At a scale these are the values of the full size, as the space has them."""
    found = best(record)
    if len(record.settings.get(OBJECTIVE, ())) != 1 or not found:
        return None
    is_scaled = bool(record.settings.get(TRIAL, {}).get("scale"))
    return f"{_params_words(found[0])}{' (full size)' * is_scaled}: {_values_words(record, found[0])}"


def front_words(record: SearchRecord) -> list[str]:
    """`#4: holdout_error_percent 2.5, train_seconds 12.3 (base_lr=0.21 batch_size=16)` of each member of the front;
    none where there is one objective."""
    if len(record.settings.get(OBJECTIVE, ())) < 2:
        return []
    return [f"#{one.number}: {_values_words(record, one)} ({_params_words(one)})" for one in best(record)]


def _params_words(one: ProposalRecord) -> str:
    return " ".join(f"{name}={_rounded(given)}" for name, given in one.params.items())


def _values_words(record: SearchRecord, one: ProposalRecord) -> str:
    metrics = [objective["metric"] for objective in record.settings[OBJECTIVE]]
    values = all_finite(one.values) or ()
    return ", ".join(f"{metric} {_rounded(value)}" for metric, value in zip(metrics, values, strict=True))


def end_notes(record: SearchRecord) -> list[str]:
    """Why fewer were tried than asked for, and what could not be trained."""
    notes = [] if record.over is None else [record.over]
    errors = [one.error for one in record.proposals if one.error is not None]
    if errors:
        proposals = counted(len(record.proposals), "proposal")
        verb = "was" if len(errors) == 1 else "were"
        notes.append(f"{len(errors)} of {proposals} {verb} impossible, the last: {errors[-1]}")
    return notes


def lower_lr_words(record: SearchRecord) -> str:
    """What to lower where all trials diverge: the ranges of the parameters that make lr."""
    if not record.settings:
        return "lower the learning rates of the space"
    fixed = record.settings.get(TRIAL, {})
    if "lr" in fixed.get("set", {}):
        return "lower --set lr, under another --name"
    expressions = {**fixed.get("derive", {}), **(fixed.get("scale") or {}).get("derive", {})}
    parameters: Mapping[str, Any] = record.settings[PARAMETERS]
    named = {"lr"} | {*re.findall(r"[a-z_]\w*", expressions.get("lr", ""))}
    numbers = {name: ends for name in parameters if name in named and (ends := _ends(parameters[name])) is not None}
    rates = {name: ends for name, ends in numbers.items() if name == "lr" or name not in FIELD_NAMES}
    ranges = [f"{name} ({low:g} to {high:g})" for name, (low, high) in (rates or numbers).items()]
    what = f"the range of {' or '.join(ranges)}" if ranges else "lr in defaults"
    return f"lower {what}, under another --name"


def _ends(parameter: Mapping[str, Any]) -> tuple[float, float] | None:
    """The smallest and the largest value of a parameter; None where its values are no numbers."""
    values = parameter.get("choices") or [parameter["low"], parameter["high"]]
    return None if any(not isinstance(value, int | float) for value in values) else (min(values), max(values))


def _rounded(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def left_to_confirm(store: Store, planned: Sequence[PlannedTrial]) -> dict[str, TrainConfig]:
    """Trial key -> configuration of those that the store does not hold complete."""
    configs = {trial.config.trial_key: trial.config for trial in planned}
    store.refresh_trials(configs)
    return {
        key: config
        for key, config in configs.items()
        if not trial_status(read_standing(store.trial_folder(key))).is_final
    }


def status_in_search(record: SearchRecord, trial: PlannedTrial, status: Status) -> Status:
    """How a trial stands in this sweep: what its search stopped or saw fail is so, whoever trains it later."""
    if trial.purpose is Purpose.SEARCH and trial.proposal is not None:
        ended = record.proposals[trial.proposal].status
        if ended in (Status.STOPPED, Status.FAILED):
            return ended
    return status


def num_to_come(record: SearchRecord) -> int:
    """Trainings that are neither proposed nor chosen yet, at most."""
    progress = search_progress(record)
    confirm = record.settings.get(CONFIRM)
    if not confirm or record.confirmations:
        return progress.to_come
    num_chosen = min(int(confirm["top"]), progress.wanted)
    if not progress.begun and not progress.to_come:
        num_chosen = min(num_chosen, len(best(record)))
    return progress.to_come + num_chosen * int(confirm["repeats"])
