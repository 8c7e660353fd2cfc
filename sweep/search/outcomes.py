"""What a sampler learns: how proposals ended, and results from before the search."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import TrialState

from results.store.search_log import Earlier, ProposalRecord, SearchRecord, all_finite
from search_spaces.parameters import SearchParameter, inside
from sweep.search.settings import IsActive
from trainable.records import Status

WORST_VALUES = {"holdout_error_percent": 100.0}
"""Value that stands for a diverged trial, by metric. Other metrics have no largest value."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sampler is told about a proposal."""

    state: TrialState
    values: tuple[float, ...] | None = None
    """Values of the objectives; only where the state is COMPLETE."""
    intermediate: Mapping[int, float] | None = None
    """Epoch -> value of the objective after it; None where there are several objectives, as in Optuna."""


def outcome_of(record: SearchRecord, proposal: ProposalRecord, metrics: Sequence[str]) -> Outcome:
    """Return what the sampler is to learn about a proposal, from the log.

    A trial that was stopped early is PRUNED, with the values it had reported: its last value is no result. A trial
    that diverged is COMPLETE with the worst value of the metric, or PRUNED where no worst value is known.
    """
    intermediate = None
    if len(metrics) == 1:
        reports = record.source(proposal).reports
        intermediate = {report.epoch: report.values[0] for report in reports if report.values[0] is not None}
    match proposal.status:
        case None:
            return Outcome(TrialState.RUNNING, None, intermediate)
        case Status.COMPLETE if (values := all_finite(proposal.values)) is not None:
            return Outcome(TrialState.COMPLETE, values, intermediate)
        case Status.STOPPED:
            return Outcome(TrialState.PRUNED, None, intermediate)
        case Status.COMPLETE | Status.DIVERGED:
            if len(metrics) == 1 and metrics[0] in WORST_VALUES:
                return Outcome(TrialState.COMPLETE, (WORST_VALUES[metrics[0]],), intermediate)
            return Outcome(TrialState.PRUNED)
    return Outcome(TrialState.FAIL)


def usable_result(
    result: Earlier, parameters: Sequence[SearchParameter], is_active: IsActive, num_objectives: int
) -> Earlier | None:
    """Return an earlier result with its active parameters only; None where it is outside the space or incomplete."""
    if len(result.values) != num_objectives or not all(map(math.isfinite, result.values)):
        return None
    params = inside(parameters, is_active, result.params)
    return None if params is None else Earlier(params, result.values)
