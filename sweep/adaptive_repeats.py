"""Seeds that the errors decide: `repeats: {max: 10, until: separated}`.

Which trials a sweep has is a function of its space and of the errors in the store, so that a killed sweep finds all
of its decisions again. The manifest holds the trials that were decided so far.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from results.store.manifest import Manifest
from results.store.store import Store
from sweep.trial_label import describe, telling_fields
from trainable.config import PlannedTrial, TrainConfig
from trainable.ledger.reading import trial_status
from trainable.records import Status, TrialSummary
from trainable.wording import counted

if TYPE_CHECKING:
    from results.insight.separation import Contest, Limits
    from search_spaces.expansion import Expansion

MAX, BUDGET = "max", "budget"


def limits_of(expansion: "Expansion") -> dict[str, float] | None:
    """Return what a manifest holds of the limits; None if the errors decide nothing."""
    return None if expansion.repeats is None else {MAX: expansion.repeats.max, BUDGET: expansion.repeats.budget}


def with_decided_repeats(store: Store, manifest: Manifest) -> Manifest:
    """Return the manifest with all seeds that the errors in the store ask for.

    Trials that the sweep has in the store already stay, even if a failed one among them has ended otherwise since.
    """
    if manifest.repeats is None:
        return manifest
    existing = store.find_manifest(manifest.name)
    decided = set(() if existing is None else existing.keys)
    firsts = _firsts(manifest)
    limits, contest = _limits(manifest.repeats), _contest(store, manifest.repeats, firsts)
    trials = [
        repeated
        for first, number in zip(firsts, contest.num_runs, strict=True)
        for repeat in range(limits.max_runs)
        for repeated in [_repeat(first, repeat)]
        if repeat < number or repeated.config.trial_key in decided
    ]
    return dataclasses.replace(manifest, trials=trials)


def further_repeats(store: Store, manifest: Manifest) -> Manifest | None:
    """Return the manifest with the further seeds that the errors ask for; None if they ask for none."""
    decided = with_decided_repeats(store, manifest)
    return decided if len(decided.trials) > len(manifest.trials) else None


def separation_text(store: Store, manifest: Manifest) -> str | None:
    """Say whether the best configuration is separated from all others; None if the errors decide nothing."""
    if manifest.repeats is None:
        return None
    firsts = _firsts(manifest)
    contest = _contest(store, manifest.repeats, firsts)
    if contest.best is None or len(firsts) < 2:
        return None
    if not contest.rivals:
        return f"separated: {_name(firsts, contest.best)} is better than all others"
    rivals = counted(len(contest.rivals), "rival")
    is_spent = sum(contest.num_runs) >= _limits(manifest.repeats).max_total(len(firsts))
    why = "the budget is spent" if is_spent else "all of them have max seeds"
    gap = math.ceil(100 * contest.largest_gap) / 100
    return f"open: {_name(firsts, contest.best)} has {rivals} within {gap:.3g} points, and {why}"


def repeats_notes(manifest: Manifest) -> list[str]:
    """Say how many trials the sweep may come to have, if the errors decide that."""
    if manifest.repeats is None:
        return []
    most = _limits(manifest.repeats).max_total(len(_firsts(manifest)))
    further = most - len(manifest.trials)
    if further <= 0:
        return []
    return [f"the errors decide on up to {counted(further, 'further trial')}, {most} in all; times are without them"]


def _firsts(manifest: Manifest) -> list[PlannedTrial]:
    """Return the first trial of each configuration."""
    return [trial for trial in manifest.trials if trial.repeat == 0]


def _repeat(first: PlannedTrial, repeat: int) -> PlannedTrial:
    config = dataclasses.replace(first.config, seed=first.config.seed + repeat)
    return dataclasses.replace(first, config=config, repeat=repeat)


def _limits(repeats: Mapping[str, float]) -> "Limits":
    from results.insight.separation import Limits  # loads scipy, which few sweeps need

    return Limits(int(repeats[MAX]), repeats[BUDGET])


def _contest(store: Store, repeats: Mapping[str, float], firsts: Sequence[PlannedTrial]) -> "Contest":
    from results.insight.separation import contest

    limits = _limits(repeats)
    runs = [[_repeat(first, repeat).config.trial_key for repeat in range(limits.max_runs)] for first in firsts]
    summaries = store.summaries([key for keys in runs for key in keys])
    return contest([_errors([summaries[key] for key in keys]) for keys in runs], limits)


def _errors(summaries: list[TrialSummary]) -> list[float]:
    """Return the final errors of the runs of a configuration, up to the first that has none yet."""
    errors: list[float] = []
    for summary in summaries:
        status, error = trial_status(summary), summary.ranking_error
        if not status.is_final and status is not Status.FAILED:
            break
        errors.append(math.inf if status is not Status.COMPLETE or error is None else error)
    return errors


def _name(firsts: list[PlannedTrial], index: int) -> str:
    configs: list[TrainConfig] = [trial.config for trial in firsts]
    return describe(configs[index], telling_fields(configs))
