"""The trials of a sweep that the store holds already, and the sweeps that trained them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from results.store.manifest import Manifest
from results.store.store import Store
from trainable.config import PlannedTrial
from trainable.ledger.reading import trial_status
from trainable.records import TrialFiles, TrialSummary

MAX_NAMED = 3
"""Number of other sweeps that are named; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The trials of a sweep before a run."""

    sweep: str
    """Name of the sweep."""
    trained_by: dict[str | None, int]
    """Number of finished trials by the sweep whose run trained them; None stands for trials that `train` trained."""
    begun: list[PlannedTrial]
    """Unfinished trials that have begun; they are resumed."""
    untouched: list[PlannedTrial]
    """Trials that have not begun."""
    left: list[PlannedTrial]
    """All unfinished trials, in the order of the plan."""

    @property
    def done(self) -> int:
        """Number of finished trials."""
        return sum(self.trained_by.values())


def holdings(store: Store, manifest: Manifest) -> Holdings:
    """Read what the store holds of the trials of a sweep. Nothing is written."""
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
    """Return `4 done, 5 to train`, or `1 done, 3 reused (2 of quickstart, 1 of other), 2 to resume, 3 to train`."""
    reused = reused_text(held.sweep, held.trained_by)
    own = held.done - num_reused(held.sweep, held.trained_by)
    parts = [
        f"{own} done" if own or not reused else "",
        reused,
        f"{len(held.begun)} to resume" if held.begun else "",
        f"{len(held.untouched)} to train",
    ]
    return ", ".join(part for part in parts if part)


def num_reused(sweep: str, trained_by: Mapping[str | None, int]) -> int:
    """Return the number of finished trials that other sweeps trained."""
    return sum(count for name, count in trained_by.items() if name not in (None, sweep))


def reused_text(sweep: str, trained_by: Mapping[str | None, int]) -> str:
    """Return `3 reused (2 of quickstart, 1 of other)`; empty if other sweeps trained none of the trials."""
    others = sorted(
        ((name, count) for name, count in trained_by.items() if name is not None and name != sweep),
        key=lambda item: (-item[1], item[0]),
    )
    if not others:
        return ""
    names = [f"{count} of {name}" for name, count in others[:MAX_NAMED]]
    if len(others) > MAX_NAMED:
        names.append(f"{sum(count for _, count in others[MAX_NAMED:])} of {len(others) - MAX_NAMED} more")
    return f"{num_reused(sweep, trained_by)} reused ({', '.join(names)})"


def last_sweep(trial: TrialFiles | TrialSummary) -> str | None:
    """Return the sweep whose run worked on the trial last; None if it was trained alone or has not begun."""
    return trial.attempts[-1].sweep if trial.attempts else None


def has_begun(trial: TrialFiles | TrialSummary) -> bool:
    """Return whether a process has worked on the trial."""
    return bool(trial.epochs_done or trial.attempts)
