"""Which trials of a sweep keep their weights, and the deletion of all others.

Every completed trial writes its weights before its result. The driver deletes those that no sweep of the store keeps,
while it runs and at its end; what a killed driver left, the next one deletes.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from models.costs import num_weights
from models.user_code import is_reference
from results.store.configurations import best
from results.store.manifest import Manifest
from results.store.search_log import SearchRecord
from results.store.search_progress import planned_trials, search_record
from results.store.search_settings import CONFIRM
from results.store.store import Store
from sweep.observers.observer import Observer
from sweep.search.settings import SearchSettings
from sweep.status.listing import format_bytes
from trainable.config import TrainConfig
from trainable.errors import UserError
from trainable.ledger.files import WEIGHTS
from trainable.ledger.reading import trial_status
from trainable.ledger.remote import RemoteError
from trainable.records import KeepWeights, Progress, Status
from trainable.wording import command, counted

NUM_BEST = 3
MIN_INTERVAL_SECONDS = 10.0
MAX_SHARE = 0.02
"""Largest share of the driver's time that the deletion may take while trials run."""


def ranked_keys(store: Store, manifest: Manifest, record: SearchRecord) -> list[str]:
    """Return the keys of the completed trials whose weights are worth keeping, the best first.

    Of a search these are its confirmations, in the order in which it chose them; without any to come, its proposals
    in the order of its objective. Of other sweeps all trials, by their error and then their key.
    """
    if record.settings.get(CONFIRM):
        keys = [chosen.config.trial_key for chosen in record.confirmations]
        summaries = store.summaries(keys)
        return [key for key in keys if trial_status(summaries[key]) is Status.COMPLETE]
    if manifest.is_search:
        return [proposal.config.trial_key for proposal in best(record) if proposal.config is not None]
    errors = {
        key: summary.ranking_error
        for key, summary in store.summaries(manifest.keys).items()
        if trial_status(summary) is Status.COMPLETE
    }
    return sorted(errors, key=lambda key: (errors[key] is None, errors[key], key))


def kept_keys(store: Store, manifest: Manifest, record: SearchRecord) -> set[str]:
    """Return the keys of the trials whose weights this sweep keeps."""
    if manifest.keep_weights == "none":
        return set()
    if manifest.keep_weights == "all":
        return set(_all_keys(manifest, record))
    ranked = ranked_keys(store, manifest, record)
    return set(ranked if record.settings.get(CONFIRM) else ranked[:NUM_BEST])


def writes_weights(keep: KeepWeights, search: SearchSettings | None) -> bool:
    """Return whether trials write their weights at all.

    Args:
        search: the search that proposes the trials; None for planned trials and for the confirmations of a search.
    """
    return keep == "all" or (keep == "best" and (search is None or search.confirm is None))


def weights_bytes(config: TrainConfig) -> int | None:
    """Return about how much disk space the weights of a trial take; None for an own model."""
    return None if is_reference(config.model) else 4 * num_weights(config.model)


def weights_lines(store: Store, keep: KeepWeights, configs: Sequence[TrainConfig]) -> Iterator[str]:
    """Yield what `plan` says of the weights of these trials, if all are kept."""
    if keep != "all":
        return
    sizes = [weights_bytes(config) for config in configs]
    size = "" if None in sizes else f", up to {format_bytes(sum(size or 0 for size in sizes))}"
    yield f"  keep   the weights of all trials{size} (keep_weights: all)"
    keys = list(dict.fromkeys(config.trial_key for config in configs))
    stored = store.holding(WEIGHTS, keys)
    summaries = store.summaries([key for key in keys if key not in stored])
    lacking = [key for key, summary in summaries.items() if trial_status(summary) is Status.COMPLETE]
    if lacking:
        whose = f"{counted(len(lacking), 'finished trial')} of these {'has' if len(lacking) == 1 else 'have'}"
        yield f"  keep   {whose} no weights: `{command('retry', 'KEY')}` and `run` train one again"


def drop_unkept(store: Store, manifest: Manifest, record: SearchRecord) -> None:
    """Delete the weights of the sweep's completed trials that neither it nor another sweep of the store keeps.

    Nothing is deleted while another sweep is damaged, since nobody can tell what it keeps.
    """
    stored = store.holding(WEIGHTS, _all_keys(manifest, record))
    if not stored or manifest.keep_weights == "all":
        return
    running = {
        proposal.config.trial_key
        for proposal in record.proposals
        if proposal.config is not None and proposal.status is None
    }
    ended = {key for key, summary in store.summaries(stored).items() if trial_status(summary).is_final}
    surplus = ended - running - kept_keys(store, manifest, record)
    for name in store.sweeps() if surplus else []:
        if name != manifest.name:
            try:
                other = store.manifest(name)
                surplus -= kept_keys(store, other, search_record(store, other))
            except UserError:
                return
    store.drop_files(WEIGHTS, sorted(surplus))


class WeightsKeeper(Observer):
    """Deletes weights soon after they are no longer among those to keep, and at the end of a run."""

    def __init__(self, store: Store, manifest: Manifest, record: Callable[[], SearchRecord] = SearchRecord) -> None:
        """
        Args:
            record: returns what the log of a search holds at the moment.
        """
        self._store = store
        self._manifest = manifest
        self._record = record
        self._dirty = False
        self._next = time.monotonic() + MIN_INTERVAL_SECONDS

    def on_progress(self, trial_key: str, progress: Progress) -> None:
        self._dirty |= progress.status is Status.COMPLETE

    def on_tick(self) -> None:
        started = time.monotonic()
        if self._dirty and started >= self._next:
            self._dirty = False
            with self._store.hurried():
                self.drop()
            seconds = time.monotonic() - started
            self._next = started + max(MIN_INTERVAL_SECONDS, seconds / MAX_SHARE)

    def drop(self) -> None:
        """Delete now what is not kept; what cannot be deleted is left to the next run."""
        with contextlib.suppress(OSError, RemoteError):
            drop_unkept(self._store, self._manifest, self._record())


def _all_keys(manifest: Manifest, record: SearchRecord) -> Sequence[str]:
    return [trial.config.trial_key for trial in planned_trials(manifest, record)]
