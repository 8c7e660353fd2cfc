"""Open the search of a sweep: its settings, the earlier results that it begins with, and how far it has come.

Ray and Optuna are imported only where a search is opened: `plan` looks at a search without them.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.store.configurations import best
from results.store.manifest import Manifest
from results.store.search_log import (
    REPAIR,
    SEARCH_LOG,
    Earlier,
    ProposalRecord,
    SearchRecord,
    parse_log,
    read_log,
)
from results.store.search_progress import BEGIN_ANEW, LOST, has_lost_log
from results.store.search_settings import FINGERPRINT, TRIAL
from results.store.store import Store
from search_spaces.parameters import inside
from search_spaces.proposals import ProposalMaker
from sweep.search.settings import SearchSettings, check_resumable
from trainable.config import PlannedTrial
from trainable.errors import UserError
from trainable.wording import counted

if TYPE_CHECKING:
    from sweep.search.search import Search
    from trainable.data.contract import ImageData


@dataclass(frozen=True, slots=True)
class EarlierResults:
    """What a search that has not begun yet starts from."""

    results: list[Earlier] = dataclasses.field(default_factory=list)
    """Results inside the search's space; empty where the search has begun or asks for none."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What a user should know about them, one line each."""


@dataclass(frozen=True, slots=True)
class SearchSoFar:
    """The state of a search, read without opening it."""

    record: SearchRecord
    best: list[ProposalRecord]
    """Trials trained to the end, best first."""
    earlier: EarlierResults


def search_settings(name: str, maker: ProposalMaker, *, dataset: str, fingerprint: str) -> SearchSettings:
    """Return everything that decides how the search of this name proceeds. The data set need not be loaded."""
    sources = {code.reference: code.fingerprint for code in maker.sources}
    return SearchSettings(
        name=name,
        num_trials=maker.num_trials,
        search=maker.search,
        parameters=maker.parameters,
        objectives=maker.objectives,
        scheduler=maker.scheduler,
        confirm=maker.confirm,
        trial=maker.fixed
        | {"dataset": dataset, FINGERPRINT: fingerprint}
        | ({"sources": sources} if sources else {}),
        first=maker.first,
    )


def earlier_results_for(store: Store, name: str, maker: ProposalMaker) -> EarlierResults:
    """Read the earlier results that the search of this name starts from, if it has not begun.

    Raises:
        UserError: the space asks for earlier results, and none can be used; or the search has not begun, and brackets
            of its scheduler would stop nothing.
    """
    source = maker.search.warm_start
    if maker.idle_brackets is not None and not _has_begun(store, name):
        raise UserError(maker.idle_brackets)
    if source is None or _has_begun(store, name):
        return EarlierResults()
    from sweep.search.warm_start import earlier_results

    parameters = [parameter.name for parameter in maker.parameters]
    metrics = [objective.metric for objective in maker.objectives]
    configs = [corner.config for corner in maker.corners]
    given, notes = earlier_results(store, source, parameters, metrics, configs, as_proposed=maker.is_scaled)
    used = [
        dataclasses.replace(result, params=params)
        for result in given
        if (params := inside(maker.parameters, maker.active, result.params)) is not None
    ]
    if not used:
        raise UserError(
            f"search.warm_start {source}: none of its {counted(len(given), 'result')} lies inside the space: "
            "leave warm_start out, or name other results"
        )
    if len(used) < len(given):
        notes.append(f"{len(used)} of {len(given)} earlier results lie inside the space and are used")
    return EarlierResults(used, notes)


def _has_begun(store: Store, name: str) -> bool:
    return bool(read_log(store.search_log(name), up_to_damage=True).settings)


def open_search(
    store: Store,
    settings: SearchSettings,
    maker: ProposalMaker,
    data: "ImageData",
    earlier: Sequence[Earlier] = (),
) -> "Search":
    """Begin the search with these settings, or rebuild it from its log in the store.

    Args:
        earlier: results to start from; ignored where the search has begun.

    Raises:
        UserError: the log is damaged, or belongs to a search with other settings.
    """
    from sweep.search.search import Search

    def make_trial(params: Mapping[str, Any]) -> PlannedTrial:
        made = maker.trial(params)
        return dataclasses.replace(made, config=made.config.for_dataset(*data.identity))

    log = store.search_log(settings.name)
    repaired = repair_log(store, settings.name)
    scheduler = None
    if maker.scheduler.type not in ("none", "pbt"):  # it wants all trials to be as long as those at the ends
        from sweep.search.scheduler import make_scheduler

        scheduler = make_scheduler(maker.scheduler, maker.max_epochs, maker.search.seed)
    search = Search(settings, log, make_trial, maker.active, scheduler, earlier)
    search.notes[:0] = repaired
    return search


def repair_log(store: Store, name: str) -> list[str]:
    """Cut a damaged log before its first damaged line, and keep the damaged one beside it.

    Only the driver of the sweep may do this.

    Returns:
        What a user should know, at most one line.
    """
    log = store.search_log(name)
    _, record, num_bytes = parse_log(log)
    if record.damage is None:
        manifest = store.find_manifest(name)
        is_lost = manifest is not None and has_lost_log(store, manifest, record)
        return [f"{log.location} {LOST}: the search begins anew, and reuses what was trained"] if is_lost else []
    copies = (f"{SEARCH_LOG}.damaged-{number}" for number in itertools.count(1))
    copy = next(file for file in copies if store.read(name, file) is None)
    store.write(name, copy, log.read())
    log.truncate(num_bytes)
    return [f"{record.damage}: the search is rebuilt up to there; the damaged log is kept as {copy}"]


def search_so_far(store: Store, name: str, maker: ProposalMaker, *, dataset: str, fingerprint: str) -> SearchSoFar:
    """Read what the search of this name has done. Nothing is written.

    Args:
        fingerprint: empty where the data set is not loaded; the search's own fingerprint is then assumed.

    Raises:
        UserError: `run` would refuse the search, too.
    """
    log = store.search_log(name)
    store.check_extends(Manifest(name, [], "", {}, "", is_search=True))
    record = read_log(log, up_to_damage=True)
    if record.settings:
        known = record.settings[TRIAL].get(FINGERPRINT, "")
        check_resumable(search_settings(name, maker, dataset=dataset, fingerprint=fingerprint or known), log)
    earlier = earlier_results_for(store, name, maker)
    if record.damage is not None:
        earlier.notes.append(f"{record.damage}: {REPAIR}")
    manifest = store.find_manifest(name)
    if manifest is not None and has_lost_log(store, manifest, record):
        earlier.notes.append(f"{log.location} {LOST}: {BEGIN_ANEW}")
    return SearchSoFar(record, best(record) if record.settings else [], earlier)
