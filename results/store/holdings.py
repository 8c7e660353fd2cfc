"""What the store holds of a sweep's trials already, and whose runs trained it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from results.store.manifest import Manifest
from results.store.store import Store
from trainable.config import PlannedTrial
from trainable.ledger.reading import trial_status
from trainable.records import TrialFiles, TrialSummary

SHOWN = 3
"""Other sweeps that are named; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Of the trials of a sweep, before a run."""

    sweep: str
    trained_by: dict[str | None, int]
    """Sweep -> how many of the trials that are COMPLETE, STOPPED or DIVERGED its runs trained; None: no sweep."""
    begun: list[PlannedTrial]
    """With epochs or an attempt, and nothing final: gone on with."""
    untouched: list[PlannedTrial]
    left: list[PlannedTrial]
    """Both of these, in the order of the plan."""

    @property
    def done(self) -> int:
        return sum(self.trained_by.values())


def holdings(store: Store, manifest: Manifest) -> Holdings:
    """Look; nothing is written."""
    trained_by: Counter[str | None] = Counter()
    begun: list[PlannedTrial] = []
    untouched: list[PlannedTrial] = []
    left: list[PlannedTrial] = []
    for trial, (_, files) in zip(manifest.trials, store.read_trials(manifest.keys), strict=True):
        if trial_status(files).is_final:
            trained_by[last_sweep(files)] += 1
            continue
        left.append(trial)
        (begun if has_begun(files) else untouched).append(trial)
    return Holdings(manifest.name, dict(trained_by), begun, untouched, left)


def holdings_text(held: Holdings) -> str:
    """`4 done, 5 to train`, or `1 done, 3 reused (2 of quickstart, 1 of other), 2 to go on with, 3 to train`."""
    reused = reused_text(held.sweep, held.trained_by)
    own = held.done - num_reused(held.sweep, held.trained_by)
    parts = [
        f"{own} done" if own or not reused else "",
        reused,
        f"{len(held.begun)} to go on with" if held.begun else "",
        f"{len(held.untouched)} to train",
    ]
    return ", ".join(part for part in parts if part)


def num_reused(sweep: str, trained_by: Mapping[str | None, int]) -> int:
    """Trials that the runs of other sweeps trained."""
    return sum(count for name, count in trained_by.items() if name not in (None, sweep))


def reused_text(sweep: str, trained_by: Mapping[str | None, int]) -> str:
    """`3 reused (2 of quickstart, 1 of other)`; empty where other sweeps trained none."""
    others = sorted(
        ((name, count) for name, count in trained_by.items() if name is not None and name != sweep),
        key=lambda item: (-item[1], item[0]),
    )
    if not others:
        return ""
    names = [f"{count} of {name}" for name, count in others[:SHOWN]]
    if len(others) > SHOWN:
        names.append(f"{sum(count for _, count in others[SHOWN:])} of {len(others) - SHOWN} more")
    return f"{num_reused(sweep, trained_by)} reused ({', '.join(names)})"


def last_sweep(trial: TrialFiles | TrialSummary) -> str | None:
    """The sweep whose run worked last on the trial; None where it was trained alone."""
    return trial.attempts[-1].sweep if trial.attempts else None


def has_begun(trial: TrialFiles | TrialSummary) -> bool:
    return bool(trial.epochs_done or trial.attempts)
