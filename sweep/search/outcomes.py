"""What a sampler learns: how proposals ended, and results from before the search.

The table of docs/search.md ("What a sampler is told") shows it for every end of a proposal and every algorithm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from results.store.search_log import Earlier, ProposalRecord, SearchRecord, all_finite
from search_spaces.parameters import SearchParameter, inside
from sweep.search.settings import IsActive
from trainable.records import Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sampler is told about a proposal."""

    state: TrialState
    values: tuple[float, ...] | None = None
    """Values of the objectives; only where the state is COMPLETE."""
    intermediate: Mapping[int, float] | None = None
    """Epoch -> value of the objective after it; None where there are several objectives, as in Optuna."""


WORST = Outcome(TrialState.PRUNED)
"""Outcome of a trial that is worse than all others: Optuna ranks a pruned trial without a curve last."""


def is_worst(trial: FrozenTrial) -> bool:
    """Return whether a trial was told as `WORST`."""
    return trial.state is TrialState.PRUNED and not trial.intermediate_values


def outcome_of(record: SearchRecord, proposal: ProposalRecord, metrics: Sequence[str]) -> Outcome:
    """Return what the sampler is to learn about a proposal, from the log.

    A trial that was stopped early is PRUNED, with the values it had reported: its last value is no result. A trial
    without a result that could be compared (it diverged, its last value is not finite, or its parameters are
    impossible together) is `WORST`.
    """
    match proposal.status:
        case Status.COMPLETE if (values := all_finite(proposal.values)) is not None:
            return Outcome(TrialState.COMPLETE, values, _curve(record, proposal, metrics))
        case None:
            return Outcome(TrialState.RUNNING, None, _curve(record, proposal, metrics))
        case Status.STOPPED:
            return Outcome(TrialState.PRUNED, None, _curve(record, proposal, metrics))
        case Status.FAILED if proposal.config is not None:
            return Outcome(TrialState.FAIL)
    return WORST


def _curve(record: SearchRecord, proposal: ProposalRecord, metrics: Sequence[str]) -> dict[int, float] | None:
    """Return the finite values that the training of a proposal has reported, by epoch."""
    if len(metrics) > 1:
        return None
    reports = record.source(proposal).reports
    return {report.epoch: report.values[0] for report in reports if report.values[0] is not None}


def usable_result(
    result: Earlier, parameters: Sequence[SearchParameter], is_active: IsActive, num_objectives: int
) -> Earlier | None:
    """Return an earlier result with its active parameters only; None where it is outside the space or incomplete."""
    if len(result.values) != num_objectives or not all(map(math.isfinite, result.values)):
        return None
    params = inside(parameters, is_active, result.params)
    return None if params is None else Earlier(params, result.values)
