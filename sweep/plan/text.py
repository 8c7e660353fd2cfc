"""What `plan` says, part by part: a probe takes seconds, and what is known before it should be read before it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from results.store.store import Store
from search_spaces.expansion import Expansion, dataset_name, tie_to_data
from search_spaces.listing import search_lines
from search_spaces.proposals import ProposalMaker
from search_spaces.resources import ResourceRule
from sweep.estimate.dataset_size import DatasetSize
from sweep.estimate.forecast import time_text
from sweep.estimate.here import capacity_here
from sweep.estimate.work import trial_work
from sweep.plan.plan import SearchPlan, plan_counts, plan_text, search_plan, search_plan_text
from sweep.plan.trial_list import plan_lines
from sweep.search.opening import search_so_far
from trainable.config import PlannedTrial
from trainable.data.sources import load_dataset

UNKNOWN_TIME = "  time   unknown: how many images are trained on is not known, --data DIR tells"


@dataclass(frozen=True, slots=True)
class PlannedData:
    """A data set as far as it is known without being loaded."""

    name: str
    size: DatasetSize | None
    """None where it is not known."""
    fingerprint: str = ""
    """Empty where the content is not loaded."""

    def tie(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        """Tie the trials to the data set, as far as it is known; those that become equal collapse.

        Raises:
            UserError: a trial does not fit the data set.
        """
        if self.size is None:
            return list(trials)
        return tie_to_data(trials, self.name, self.fingerprint, *self.size.num_images)


def planned_data(trials: Sequence[PlannedTrial], folder: Path | None) -> PlannedData:
    """Return what is known of the trials' data set; it is loaded only where its folder is given.

    Raises:
        UserError: no data set in that folder.
    """
    name = dataset_name(trials)
    if folder is None:
        return PlannedData(name, DatasetSize.built_in(name))
    data = load_dataset(name, folder)
    return PlannedData(data.name, DatasetSize.of(data), data.fingerprint)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What `plan` was asked for."""

    store: Store
    sweep: str
    data: PlannedData
    rule: ResourceRule
    """What each trial is given."""
    probe: bool = False
    """Time a few steps here of what the store cannot tell."""
    slots: Sequence[int] | None = None
    """Numbers of trials at the same time to answer for; None: a few usual ones."""
    verbose: bool = False


def plan_parts(request: PlanRequest, expansion: Expansion) -> Iterator[str]:
    """Say what `run` would train, and how long that takes.

    Raises:
        UserError: `run` would refuse the space, too.
    """
    if expansion.search is None:
        return _sweep_parts(request, expansion.trials, expansion.notes)
    return _search_parts(request, expansion.search)


def _sweep_parts(request: PlanRequest, trials: Sequence[PlannedTrial], notes: Sequence[str]) -> Iterator[str]:
    """Yield the plan of a sweep over a fixed list of trials."""
    data = request.data
    trials = data.tie(trials)
    configs = [trial.config for trial in trials]
    counts = plan_counts(request.store, configs, data.size.num_images if data.size else None)
    yield plan_text(request.sweep, data.name, counts, notes, is_loaded=bool(data.fingerprint))
    yield from _resources(request, trials)
    if request.verbose:
        yield from plan_lines(request.sweep, configs, counts)
    if data.size is not None and counts.works:
        capacity = capacity_here(request.rule, trials)
        yield time_text(request.store, counts.works, data.size, capacity, probe=request.probe, slots=request.slots)
    elif counts.left:
        yield UNKNOWN_TIME


def _search_parts(request: PlanRequest, maker: ProposalMaker) -> Iterator[str]:
    """Yield the plan of a search: what it has done, and what it will train at most, for its trials are not known."""
    data = request.data
    num_images = data.size.num_images if data.size else None
    corners = data.tie(maker.corners)
    configs = [trial.config for trial in corners]
    so_far = search_so_far(request.store, request.sweep, maker, dataset=data.name, fingerprint=data.fingerprint)
    top, repeats = (0, 0) if maker.confirm is None else (maker.confirm.top, maker.confirm.repeats)
    num_earlier = len(so_far.earlier.results)
    plan = search_plan(request.store, so_far.record, so_far.best, maker.num_trials, top, repeats, num_earlier)
    yield search_plan_text(request.sweep, data.name, plan, maker.search.warm_start, configs, num_images)
    yield from _resources(request, corners)
    if data.size is None:
        yield UNKNOWN_TIME
    else:
        yield from _search_time(request, maker, plan, data.size, corners)
    yield from (f"note: {note}" for note in so_far.earlier.notes)
    if request.verbose:
        yield from ["", *search_lines(maker)]


def _resources(request: PlanRequest, trials: Sequence[PlannedTrial]) -> Iterator[str]:
    """Say what each trial is given, where the space or the command line says anything of it."""
    text = capacity_here(request.rule, trials).text  # refuses what cannot be computed
    if request.rule.is_declared:
        yield f"  each   {text}"


def _search_time(
    request: PlanRequest,
    maker: ProposalMaker,
    plan: SearchPlan,
    size: DatasetSize,
    corners: Sequence[PlannedTrial],
) -> Iterator[str]:
    """Say how long proposals drawn at random would take, since those to come are not known."""
    dice = random.Random(maker.search.seed)  # noqa: S311 (no secret)
    drawn = [maker.trial(maker.draw(dice)).config for _ in range(plan.to_come)]
    works = [trial_work(left.config, left.epochs, size.num_images) for left in plan.unfinished]
    works += [trial_work(config, config.epochs, size.num_images) for config in drawn]
    begun = f"{len(plan.unfinished)} to go on with and " if plan.unfinished else ""
    what = f"{begun}{len(drawn)} proposals drawn at random"
    heading = f"  random {what}, all to the end, without confirmation, would take:"
    if works:
        yield time_text(
            request.store,
            works,
            size,
            capacity_here(request.rule, corners),
            probe=request.probe,
            slots=request.slots,
            heading=heading if drawn else None,
        )
