"""The configurations of a search: how each ended over its seeds, and which are the best.

With `seeds: 3` in `objective`, a configuration is a proposal, and two more that train it with the next seeds.
"""

import dataclasses
import math
from collections.abc import Iterable

from results.store.pareto import pareto_front
from results.store.search_log import ProposalRecord, ReportEvent, SearchRecord, Values, all_finite
from results.store.search_settings import OBJECTIVE, SCHEDULER, SCHEDULER_TYPE, SEEDS
from trainable.records import Status

UNSUCCESSFUL = (Status.DIVERGED, Status.STOPPED)
"""Ends of a training after which its configuration needs no further seeds, the one that counts most first."""


def num_seeds(record: SearchRecord) -> int:
    """Return the number of seeds with which each configuration is trained."""
    return max((int(objective.get(SEEDS, 1)) for objective in record.settings.get(OBJECTIVE, ())), default=1)


def trainings(record: SearchRecord, first: ProposalRecord) -> list[ProposalRecord]:
    """Return the trainings of a configuration, in the order of their seeds."""
    return [first, *(record.proposals[number] for number in record.further_seeds.get(first.number, ()))]


def seeds_to_come(record: SearchRecord, first: ProposalRecord) -> int:
    """Return the largest number of seeds with which this configuration may still be trained."""
    if not first.is_trained or first.seed_of is not None:
        return 0
    done = trainings(record, first)
    return 0 if any(training.status in UNSUCCESSFUL for training in done) else num_seeds(record) - len(done)


def lacking_seeds(record: SearchRecord) -> ProposalRecord | None:
    """Return the first configuration that is to be trained with one more seed now; None if none is.

    Where a scheduler stops trials, it judges those with the first seed, and only what came to its end is repeated. No
    seed follows one that failed until that was trained again.
    """
    if num_seeds(record) == 1:
        return None
    has_scheduler = record.settings[SCHEDULER][SCHEDULER_TYPE] != "none"
    for first in record.proposals:
        is_due = first.status is Status.COMPLETE or not has_scheduler
        has_failed = any(training.status is Status.FAILED for training in trainings(record, first))
        if is_due and not has_failed and seeds_to_come(record, first):
            return first
    return None


def over_seeds(record: SearchRecord, proposal: ProposalRecord) -> ProposalRecord:
    """Return the proposal as its configuration ended: with the mean of the values over its seeds.

    Without an end while a seed is to come or running; DIVERGED, STOPPED or FAILED if one of the seeds is.
    """
    first = record.source(proposal)
    if num_seeds(record) == 1 or first.config is None:
        return proposal
    done = trainings(record, first)
    curves = zip(*(training.reports for training in done), strict=False)
    reports = [ReportEvent(proposal.number, at[0].epoch, _mean(each.values for each in at), False) for at in curves]
    ended = dataclasses.replace(proposal, same_as=None, reports=reports, status=None, values=None)
    statuses = {training.status for training in done}
    if None in statuses:
        return ended
    ended.status = next((status for status in (*UNSUCCESSFUL, Status.FAILED) if status in statuses), None)
    if ended.status is None and not seeds_to_come(record, first):
        ended.status = Status.COMPLETE
        ended.values = _mean(training.values or (None,) for training in done)
    return ended


def best(record: SearchRecord) -> list[ProposalRecord]:
    """Return the complete configurations, best first; with several objectives only the Pareto front.

    In population based training these are members of the last generation, in which the trainings end.
    """
    generations: dict[str | None, int] = {None: 0}
    complete: list[tuple[int, tuple[float, ...], ProposalRecord]] = []
    for proposal in record.proposals:
        if proposal.config is None or not proposal.is_trained or proposal.seed_of is not None:
            continue
        generation = generations[proposal.config.trial_key] = generations.get(proposal.config.parent, 0) + 1
        ended = over_seeds(record, proposal)
        if ended.status is Status.COMPLETE and (values := all_finite(ended.values)) is not None:
            complete.append((generation, values, ended))
    last = max((generation for generation, _, _ in complete), default=0)
    scored = [(values, proposal) for generation, values, proposal in complete if generation == last]
    scored.sort(key=lambda pair: (pair[0], pair[1].number))
    if scored and len(scored[0][0]) == 1:
        return [proposal for _, proposal in scored]
    return [proposal for _, proposal in pareto_front(scored, lambda pair: pair[0])]


def _mean(values: Iterable[Values]) -> Values:
    """Return the mean of each objective; None where a value is missing."""
    return tuple(None if None in column else math.fsum(column) / len(column) for column in zip(*values, strict=True))
