"""Delete a sweep and those of its trials that no other sweep uses."""

from collections import Counter
from dataclasses import dataclass

from results.store.search_log import read_log
from results.store.search_progress import planned_trials
from results.store.store import Store
from sweep.status.listing import Footprints, format_bytes, trial_keys
from trainable.errors import UserError
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting a sweep would remove and keep."""

    sweep: str
    keys: list[str]
    """Keys of the trials that no other sweep uses."""
    shared: dict[str, int]
    """Other sweep -> how many of this sweep's trials it uses; these trials stay."""
    num_shared: int
    size_bytes: int
    """Bytes that are freed."""


def deletion_of(store: Store, sweep: str) -> Deletion:
    """Find out what deleting a sweep would remove. Nothing is written.

    Raises:
        UserError: there is no such sweep, a driver works on it, or another sweep is damaged, so that nobody can tell
            which trials it uses.
    """
    planned = planned_trials(store.manifest(sweep), read_log(store.search_log(sweep)))  # its log may be deleted
    keys = [trial.config.trial_key for trial in planned]
    if store.is_running(sweep):
        raise UserError(f"a process is running the sweep {sweep!r}: stop it, or wait for it")
    used: Counter[str] = Counter()
    users: dict[str, int] = {}
    for other in store.sweeps():
        if other != sweep and (common := set(keys) & set(trial_keys(store, store.manifest(other)))):
            users[other] = len(common)
            used.update(common)
    own = [key for key in keys if key not in used]
    size_bytes, _ = Footprints(store).of(sweep, own)
    return Deletion(sweep, own, users, len(used), size_bytes)


def deletion_text(deletion: Deletion) -> str:
    """Say what would be deleted, and what stays for other sweeps."""
    trials = counted(len(deletion.keys), "trial")
    also = f" and {trials} that no other sweep uses" if deletion.keys else ""
    lines = [
        f"{deletion.sweep}: its tables, figures and logs{also}: {format_bytes(deletion.size_bytes)} would be freed"
    ]
    if deletion.shared:
        users = ", ".join(f"{name} ({count})" for name, count in deletion.shared.items())
        lines.append(f"kept: {counted(deletion.num_shared, 'trial')} that other sweeps use: {users}")
    return "\n".join(lines)


def delete_sweep(store: Store, deletion: Deletion) -> None:
    """Delete the trials, then the sweep; interrupted, the same call does the rest.

    Raises:
        UserError: a driver has begun to work on the sweep, or a process on one of the trials.
    """
    with store.driving(store.manifest(deletion.sweep)):
        store.check_free(deletion.keys)
        store.delete_trials(deletion.keys)
        store.delete_sweep(deletion.sweep)
