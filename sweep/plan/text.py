"""Say what `run` would train and how long that takes.

The text is made part by part: a probe takes seconds, and what is known before it should be shown before it.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence

from results.store.holdings import reused_text
from results.store.manifest import Manifest
from results.store.store import Store
from search_spaces.expansion import Expansion, dataset_name, tie_to_data
from search_spaces.listing import search_lines
from search_spaces.proposals import ProposalMaker
from search_spaces.resources import ResourceRule
from sweep.adaptive_repeats import limits_of, repeats_notes, with_decided_repeats
from sweep.driver.capacity import Capacity, capacity, this_machine
from sweep.estimate.forecast import time_text
from sweep.estimate.work import DatasetSize, trial_work
from sweep.kept_weights import weights_bytes, weights_lines
from sweep.known_data import as_known, check_folder_given
from sweep.plan.changes import with_earlier_trials
from sweep.plan.counts import PlanCounts, amount_text, plan_counts
from sweep.plan.emulation import emulation_notes
from sweep.plan.search_plan import SearchPlan, search_plan, search_plan_text
from sweep.request import SpaceRequest
from sweep.search.opening import search_so_far
from sweep.trial_label import describe, telling_fields
from trainable.config import PlannedTrial, TrainConfig
from trainable.data.labels import check_subsets
from trainable.data.sources import load_dataset
from trainable.records import KeepWeights
from trainable.wording import counted


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedData:
    """A data set as far as it is known without being loaded."""

    name: str
    size: DatasetSize
    fingerprint: str = ""
    """Empty if the content is not loaded."""
    num_classes: int = 0
    """0 if the content is not loaded."""

    @property
    def title(self) -> str:
        """Name of the data set, with its numbers of classes and images if it is loaded."""
        if not self.num_classes:
            return self.name
        train, test = self.size.num_images
        return f"{self.name} ({counted(self.num_classes, 'class', 'classes')}, {train:,} + {test:,} images)"

    def tie(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        """Tie the trials to the data set; of trials that become equal only one stays.

        Raises:
            UserError: a trial does not fit the data set.
        """
        return tie_to_data(trials, self.name, self.fingerprint, *self.size.num_images)


def planned_data(request: SpaceRequest, trials: Sequence[PlannedTrial], store: Store, sweep: str) -> PlannedData:
    """Return what is known of the trials' data set; it is loaded only if its folder is given.

    Args:
        request: names the folder.
        store, sweep: the sweep whose name for the data set is kept.

    Raises:
        UserError: there is no data set in that folder or, without one, none of that name.
    """
    name = dataset_name(trials)
    check_folder_given(store, sweep, name, request.data)
    size = DatasetSize.built_in(name)
    if request.data is None and request.label is None and size is not None:
        return PlannedData(name, size)
    data = as_known(store, sweep, load_dataset(name, request.data, request.label), request.data, request.label)
    check_subsets(data, (trial.config for trial in trials))
    return PlannedData(data.name, DatasetSize.of(data), data.fingerprint, data.num_classes)


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRequest:
    """The question that `plan` answers."""

    store: Store
    sweep: str
    data: PlannedData
    rule: ResourceRule
    """CPUs and GPUs of each trial."""
    probe: bool = False
    """Time a few steps here of every configuration that the store knows nothing of."""
    slots: Sequence[int] | None = None
    """Numbers of trials at the same time to answer for; None for a few usual ones."""
    verbose: bool = False
    """Add a line for every trial."""
    extend: bool = False
    """Whether the sweep keeps its old trials beside those of the space."""
    keep_weights: KeepWeights = "best"
    """Names the trials whose weights are kept; if all are, their size is told."""


def plan_parts(request: PlanRequest, expansion: Expansion) -> Iterator[str]:
    """Say what `run` would train, and how long that takes.

    Raises:
        UserError: `run` would refuse the space, too.
    """
    if expansion.search is None:
        return _sweep_parts(request, expansion)
    return _search_parts(request, expansion.search)


def _sweep_parts(request: PlanRequest, expansion: Expansion) -> Iterator[str]:
    """Yield the plan of a sweep over a fixed list of trials."""
    data, name = request.data, request.sweep
    if not data.fingerprint and (existing := request.store.find_manifest(name)) is not None:
        known = [fingerprint for dataset, fingerprint in existing.images if dataset == data.name]
        data = dataclasses.replace(data, fingerprint=known[0] if known else "")
    planned = Manifest(name, data.tie(expansion.trials), "", {}, "", repeats=limits_of(expansion))
    planned = with_decided_repeats(request.store, planned)
    trials = with_earlier_trials(request.store, planned, extend=request.extend).trials
    configs = [trial.config for trial in trials]
    counts = plan_counts(request.store, configs, data.size.num_images)
    notes = [*expansion.notes, *repeats_notes(planned)]
    yield plan_text(request.sweep, data.title, counts, notes, is_loaded=bool(request.data.fingerprint))
    yield from weights_lines(request.store, request.keep_weights, configs)
    here = capacity(request.rule, trials, this_machine())  # refuses what cannot be computed
    yield from _resources(request, here, trials)
    if request.verbose:
        yield from _trial_lines(request.sweep, configs, counts)
    if counts.works:
        yield time_text(request.store, counts.works, data.size, here, probe=request.probe, slots=request.slots)


def _search_parts(request: PlanRequest, maker: ProposalMaker) -> Iterator[str]:
    """Yield the plan of a search: what it has done, and what it would train at most."""
    data = request.data
    num_images = data.size.num_images
    corners = data.tie(maker.corners)
    configs = [trial.config for trial in corners]
    so_far = search_so_far(request.store, request.sweep, maker, dataset=data.name, fingerprint=data.fingerprint)
    plan = search_plan(request.store, so_far, maker)
    yield search_plan_text(request.sweep, data.title, plan, maker.search.warm_start, configs, num_images)
    largest = max(configs, key=lambda config: weights_bytes(config) or 0)
    yield from weights_lines(request.store, request.keep_weights, [largest] * maker.num_trials * maker.num_seeds)
    here = capacity(request.rule, corners, this_machine())
    yield from _resources(request, here, corners)
    yield from _search_time(request, maker, plan, data.size, here)
    yield from (f"note: {note}" for note in (*maker.notes, *so_far.earlier.notes))
    if request.verbose:
        yield from ["", *search_lines(maker)]


def plan_text(sweep: str, dataset: str, counts: PlanCounts, notes: Sequence[str], *, is_loaded: bool = False) -> str:
    """Return the counts as text.

    Args:
        is_loaded: the content of the data set is known.
    """
    lines = [f"{sweep}: {counted(counts.trials, 'trial')} on {dataset}"]
    if counts.store is None:
        lines.append("  done   0 (the store does not exist yet)")
    else:
        parts = [str(counts.done), reused_text(sweep, counts.trained_by)]
        parts.append(f"{counts.begun} to resume" if counts.begun else "")
        done = ", ".join(part for part in parts if part)
        matched = "" if is_loaded else " (matched on everything but the content of the data set, which is not loaded)"
        lines.append(f"  done   {done} in {counts.store}{matched}")
    lines.append(f"  left   {counted(counts.left, 'trial')}, {amount_text(counts.epochs_left, counts.images_left)}")
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _trial_lines(sweep: str, configs: Sequence[TrainConfig], counts: PlanCounts) -> list[str]:
    """Return a line for each trial: the fields that vary, its progress, and the sweep that trained it."""
    fields = telling_fields(configs)
    names = [describe(config, fields) for config in configs]
    width = max(len(name) for name in names)
    lines = []
    for name, config, progress in zip(names, configs, counts.progress, strict=True):
        state = "to train"
        if progress.is_final:
            state = "done"
        elif progress.has_begun:
            state = f"to resume, {progress.epochs_done} of {counted(config.epochs, 'epoch')} done"
        by = f", trained by {progress.sweep}" if progress.sweep and progress.sweep != sweep else ""
        lines.append(f"  {name:{width}}  {state}{by}")
    return lines


def _resources(request: PlanRequest, here: Capacity, trials: Sequence[PlannedTrial]) -> Iterator[str]:
    """Yield the CPUs and GPUs of each trial, if the space or the command line declares any, and what is slow here."""
    if request.rule.is_declared:
        yield f"  each   {here.text}"
    if here.refusal is not None:
        yield f"  here   not possible ({here.refusal}): `run` needs a cluster, --address"
    yield from (f"note: {note}" for note in emulation_notes(trials, request.rule, this_machine()))


def _search_time(
    request: PlanRequest, maker: ProposalMaker, plan: SearchPlan, size: DatasetSize, here: Capacity
) -> Iterator[str]:
    """Yield how long trials drawn at random would take, since the proposals to come are not known."""
    dice = random.Random(maker.search.seed)  # noqa: S311 (no secret)
    drawn = [maker.trial(maker.draw(dice)).config for _ in range(plan.to_come)]
    works = [trial_work(left.config, left.epochs, size.num_images) for left in plan.unfinished]
    works += [trial_work(config, config.epochs, size.num_images) for config in drawn]
    resumed = f"{counted(len(plan.unfinished), 'trial')} to resume and " if plan.unfinished else ""
    what = f"{resumed}{counted(len(drawn), 'trial')} drawn at random"
    early = "none stopped early and " * plan.stops_early
    heading = f"  random {what}, {early}without confirmation, would take:"
    if works:
        yield time_text(
            request.store,
            works,
            size,
            here,
            probe=request.probe,
            slots=request.slots,
            heading=heading if drawn else None,
        )
