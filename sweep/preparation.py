"""The first step of a run: check the request, open the store, load the data set. Ray is not started here."""

import dataclasses
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.user_code import provide
from results.published.cells import PUBLISHED, table_cells
from results.store.manifest import Manifest
from results.store.opening import open_store
from results.store.store import Store
from search_spaces.expansion import Expansion, dataset_name, expand, parse_overrides, tie_to_data
from search_spaces.loader import LoadedSpace, load_space
from search_spaces.own_code import missing_import
from search_spaces.resources import ResourceRule
from sweep.adaptive_repeats import limits_of, with_decided_repeats
from sweep.driver.capacity import check_possible, this_machine
from sweep.estimate.work import DatasetSize
from sweep.known_data import as_known, check_folder_given
from sweep.plan.changes import with_earlier_trials
from sweep.plan.emulation import emulation_notes
from sweep.request import RunRequest, SpaceRequest
from sweep.trackers.runs import check_installed
from trainable.config import PlannedTrial
from trainable.data.labels import check_subsets
from trainable.data.sources import load_dataset
from trainable.errors import UserError, located
from trainable.execution import COMPILE_NEEDS_GPU
from trainable.provenance import code_identity
from trainable.sweep_name import check_sweep_name, sweep_name
from trainable.wording import say

if TYPE_CHECKING:
    from search_spaces.proposals import ProposalMaker
    from trainable.data.contract import ImageData

CLIENT_SCHEME = "ray://"
PROBE_SECONDS = 5.0
"""Time in which a cluster has to answer."""
NOT_FOR_SEARCH = "{}: a search grows by a larger num_trials, and starts anew under another --name"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedSpace:
    """A space that was read and found possible; no data set is loaded."""

    loaded: LoadedSpace
    overrides: Mapping[str, Any]
    expansion: Expansion
    sweep: str
    rule: ResourceRule

    @property
    def trials(self) -> list[PlannedTrial]:
        """The trials of the space; for a search those at the ends of its parameters."""
        search = self.expansion.search
        return self.expansion.trials if search is None else search.corners


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A request that was found possible, with its store and its data."""

    request: RunRequest
    store: Store
    manifest: Manifest
    data: "ImageData"
    rule: ResourceRule
    search: "ProposalMaker | None"
    """What makes the trials of a search; None for a planned sweep, whose trials the manifest holds."""


def read_space(request: SpaceRequest) -> ExpandedSpace:
    """Read the space of a request and expand it.

    Raises:
        UserError: the space is wrong, names a published table that does not exist, or cannot be computed (with file,
            line and key), or no sweep can have its name.
    """
    loaded = load_space(request.space)
    loaded.say_notes()
    for index, table in enumerate(loaded.space.reference):
        with located(loaded.source.where(("reference", index))):
            table_cells(table)
    overrides = parse_overrides(request.overrides)
    expansion = expand(loaded, overrides, request.scale)
    provide(expansion.sources)
    if expansion.search is not None and request.extend:
        raise UserError(NOT_FOR_SEARCH.format("--extend"))
    rule = ResourceRule(loaded, request.cpus_per_trial, request.gpus_per_trial)
    name = request.name or sweep_name(loaded.name, request.scale)
    with located("--name" if request.name else loaded.source.where(("name",))):
        check_sweep_name(name)
        if name == PUBLISHED:
            raise UserError(f"{name!r} means the published tables: give this sweep another --name")
    return ExpandedSpace(loaded=loaded, overrides=overrides, expansion=expansion, sweep=name, rule=rule)


def prepare(request: RunRequest) -> PreparedRun:
    """Refuse what cannot be run, first what can be told without data and without Ray; then load the data set.

    Raises:
        UserError: the space, the options, the store or the data set do not allow the run.
    """
    if request.tracker is not None:
        check_installed(request.tracker, f"--log {request.tracker}")
    space = read_space(request)
    search = space.expansion.search
    if search is not None and request.retrain:
        raise UserError(NOT_FOR_SEARCH.format("--again"))
    _check_machine(request, space)
    store = open_store(request.store)
    store.check_no_driver(space.sweep)
    store.check_writable(space.sweep)
    name = dataset_name(space.trials)
    check_folder_given(store, space.sweep, name, request.data)
    size = DatasetSize.built_in(name) if request.data is None else None
    begins = search is None or not store.search_log(space.sweep).read()  # else it has told of what was impossible
    if size is not None and begins:
        tie_to_data(space.trials, name, "", *size.num_images)  # refuses what does not fit before it is downloaded
    missing = _import_notes(request, space)
    data = as_known(store, space.sweep, load_dataset(name, request.data, request.label), request.data, request.label)
    check_subsets(data, (trial.config for trial in space.trials))
    manifest = _manifest(request, space, data)
    slow = [] if request.is_joined else emulation_notes(space.trials, space.rule, this_machine())
    for note in (*space.expansion.notes, *slow, *missing):
        say(f"note: {note}")
    manifest = with_earlier_trials(store, with_decided_repeats(store, manifest), extend=request.extend)
    return PreparedRun(request=request, store=store, manifest=manifest, data=data, rule=space.rule, search=search)


def _import_notes(request: RunRequest, space: ExpandedSpace) -> list[str]:
    """Refuse a model that cannot be imported on this machine; return a note if others will train it."""
    missing = missing_import(space.expansion.sources)
    if missing is not None and not request.is_joined:
        raise UserError(missing)
    return [] if missing is None else [missing]


def _check_machine(request: RunRequest, space: ExpandedSpace) -> None:
    """Refuse what this machine can never run; what a cluster can run is known only once it is joined."""
    node = this_machine()
    given = [(trial, space.rule.share(trial, default_gpus=1.0 if node.gpus else 0.0)) for trial in space.trials]
    if request.is_joined:
        check_reachable(str(request.address))
    else:
        if request.min_nodes > 1:
            raise UserError(f"--min-nodes {request.min_nodes}: needs the --address of a Ray cluster")
        check_possible(space.rule, given, [node])
        if request.compile and not any(share.gpus for _, share in given):
            raise UserError(COMPILE_NEEDS_GPU)


def check_reachable(address: str) -> None:
    """Find out in seconds, and without the many lines that Ray prints, whether somebody listens at `host:port`.

    Raises:
        UserError: nobody listens, or the address is one of Ray Client.
    """
    if address.startswith(CLIENT_SCHEME):
        raise UserError(
            f"--address {address}: the driver has to be on a node of the cluster: "
            "ray job submit --address http://HEAD:8265 --working-dir . -- python tune_main.py run ..."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or another form that Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(f"cannot reach a Ray cluster at --address {address}: {error}") from None


def _manifest(request: RunRequest, space: ExpandedSpace, data: "ImageData") -> Manifest:
    """Describe the sweep; a search has no trials yet."""
    is_search = space.expansion.search is not None
    trials = [] if is_search else tie_to_data(space.trials, *data.identity)
    text = space.loaded.source.text
    manifest = Manifest(space.sweep, trials, text, dict(space.overrides), code_identity(), request.scale)
    folder = "" if request.data is None else str(request.data.absolute())
    keep, sources = space.loaded.space.keep_weights, list(space.expansion.sources)
    label = request.label or ""
    return dataclasses.replace(
        manifest,
        is_search=is_search,
        data=folder,
        label=label,
        keep_weights=keep,
        sources=sources,
        repeats=limits_of(space.expansion),
    )


def announce_ray(request: RunRequest) -> None:
    """Say that Ray comes next; its import alone takes seconds."""
    where = f"joining the Ray cluster at {request.address}" if request.is_joined else "starting Ray"
    say(f"{where} ...", flush=True)
