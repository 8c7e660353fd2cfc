"""The files of a store that belong to a sweep: its own, and those of its trials."""

from collections.abc import Iterable
from datetime import UTC, datetime

from results.store.manifest import Manifest
from results.store.search_log import read_log
from results.store.search_progress import planned_trials
from results.store.store import Store
from trainable.ledger.files import SUPERSEDED
from trainable.sweep_name import TRIALS


class Footprints:
    """Sizes and times of the files of a store, read in one listing."""

    def __init__(self, store: Store) -> None:
        self._by_owner: dict[str, list[tuple[int, int]]] = {}
        for path, size_and_time in store.files().items():
            top, _, rest = path.partition("/")
            is_trial = top == TRIALS
            owner = f"{TRIALS}/{rest.partition('/')[0].partition(SUPERSEDED)[0]}" if is_trial else top
            self._by_owner.setdefault(owner, []).append(size_and_time)

    def of(self, sweep: str, trial_keys: Iterable[str]) -> tuple[int, str | None]:
        """Return the bytes of a sweep with these trials, and when a file of them changed last (UTC, ISO 8601)."""
        owners = [sweep, *(f"{TRIALS}/{key}" for key in trial_keys)]
        files = [file for owner in owners for file in self._by_owner.get(owner, ())]
        latest = max((mtime_ns for _, mtime_ns in files), default=None)
        changed = None
        if latest is not None:
            changed = datetime.fromtimestamp(latest / 1e9, UTC).isoformat(timespec="seconds")
        return sum(size for size, _ in files), changed


def trial_keys(store: Store, manifest: Manifest) -> list[str]:
    """Return the keys of all trials of a sweep, those that its search has proposed or chosen included.

    Raises:
        UserError: the log of the search is damaged.
    """
    record = read_log(store.search_log(manifest.name))
    return [trial.config.trial_key for trial in planned_trials(manifest, record)]
