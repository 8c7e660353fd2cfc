"""What a scheduler would have done on curves that were recorded: what it saves, and what that costs.

Which trials are compared depends on the order in which they are begun, so the sweep is simulated in many shuffled
orders, drawn with a fixed seed.
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy import stats

from search_spaces.schema import SCHEDULER_KEYS, SchedulerSpec
from sweep.search.curves import Curve
from sweep.search.simulation import Simulation, SteeredCurves, simulate
from sweep.search.steering import Steering
from trainable.errors import UserError
from trainable.wording import counted

SEED = 0
MIN_RANKED = 3
"""Trials below which a rank correlation says nothing."""
MAX_LINES = 10
"""Of the text's list of epochs; the JSON has all."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the orders."""

    mean: float
    standard_error: float | None
    """Of the orders alone: the trials are what they are. None for one order."""


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Of the objective after an epoch with the objective at the end, over the trials that went on from there."""

    epoch: int
    spearman: float | None
    """None for too few trials, or equal values."""
    num_trials: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What came out of it. Percentages are of what the sweep took without a scheduler."""

    scheduler: dict[str, Any]
    num_trials: int
    num_workers: int
    num_orders: int
    epochs_saved_percent: Estimate
    seconds_saved_percent: Estimate
    """Of training and evaluation."""
    winner_stopped_percent: Estimate
    """Of the orders: those in which the sweep's best trial did not come to its end."""
    regret: Estimate | None
    """By how much the best trial that came to its end is worse than the sweep's best, in units of the objective."""
    largest_regret: float | None
    num_orders_without_end: int
    """In which no trial came to its end: they are left out of the regret."""
    rank_correlations: list[RankCorrelation]


def scheduler_spec(settings: dict[str, Any]) -> SchedulerSpec:
    """
    Args:
        settings: key of `scheduler` in a space -> value, or None where the user gave none.

    Raises:
        UserError: a key that this type does not have, or an impossible value.
    """
    try:
        return SchedulerSpec.model_validate({key: value for key, value in settings.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        path = "".join(f"--{str(part).replace('_', '-')} {problem['input']}: " for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise UserError(f"{path}{message}") from None


def replay(curves: Sequence[Curve], spec: SchedulerSpec, num_workers: int, num_orders: int) -> Replay:
    """
    Args:
        curves: at least one of them COMPLETE.

    Raises:
        UserError: the scheduler cannot be had for trials of this length.
    """
    best = min(curve.end for curve in curves if curve.end is not None)
    random = np.random.default_rng(SEED)
    simulations = []
    for number in range(num_orders):
        order = random.permutation(len(curves)).tolist()
        simulations.append(_in_order([curves[index] for index in order], spec, num_workers, seed=number))
    found = [done.best for done in simulations]
    regrets = [value - best for value in found if value is not None]
    all_epochs = sum(len(curve.values) for curve in curves)
    all_seconds = sum(sum(curve.seconds) for curve in curves)
    return Replay(
        scheduler=spec.model_dump(include={"type", *SCHEDULER_KEYS[spec.type]}),
        num_trials=len(curves),
        num_workers=num_workers,
        num_orders=num_orders,
        epochs_saved_percent=_mean([100 * (1 - done.epochs_trained / all_epochs) for done in simulations]),
        seconds_saved_percent=_mean([100 * (1 - done.worker_seconds / all_seconds) for done in simulations]),
        winner_stopped_percent=_share([value != best for value in found]),
        regret=_mean(regrets) if regrets else None,
        largest_regret=max(regrets, default=None),
        num_orders_without_end=num_orders - len(regrets),
        rank_correlations=rank_correlations(curves),
    )


def rank_correlations(curves: Sequence[Curve]) -> list[RankCorrelation]:
    """Spearman's, for each epoch after which at least one trial went on, over those that came to their end."""
    complete = [curve for curve in curves if curve.end is not None]
    longest = max(len(curve.values) for curve in complete)
    return [_rank_correlation(complete, epoch) for epoch in range(1, longest)]


def _rank_correlation(curves: Sequence[Curve], epoch: int) -> RankCorrelation:
    pairs = [(curve.values[epoch - 1], curve.end) for curve in curves if len(curve.values) > epoch]
    finite = [(value, end) for value, end in pairs if value is not None]
    if len(finite) < MIN_RANKED or any(len(set(column)) < 2 for column in zip(*finite, strict=True)):
        return RankCorrelation(epoch, None, len(finite))
    return RankCorrelation(epoch, float(stats.spearmanr(finite).statistic), len(finite))


def _in_order(curves: Sequence[Curve], spec: SchedulerSpec, num_workers: int, seed: int) -> Simulation:
    steering = Steering(spec, max(curve.epochs for curve in curves), seed)
    return simulate(SteeredCurves(curves, steering), num_workers)


def _mean(values: Sequence[float]) -> Estimate:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(statistics.fmean(values), error)


def _share(answers: Sequence[bool]) -> Estimate:
    """Percent; the error by Agresti and Coull with one yes and one no added: 0 of 200 is not without error."""
    num, size = sum(answers), len(answers)
    adjusted = (num + 1) / (size + 2)
    return Estimate(100 * num / size, 100 * math.sqrt(adjusted * (1 - adjusted) / (size + 2)))


def replay_text(result: Replay, heading: str, objective: str, unit: str) -> str:
    """For people.

    Args:
        heading: which sweep.
        objective: what the curves hold.
        unit: of the objective.
    """
    keys = ", ".join(f"{key} {value}" for key, value in result.scheduler.items() if key != "type")
    workers = counted(result.num_workers, "worker")
    lines = [
        f"{heading}: {result.num_trials} trials under {result.scheduler['type']} ({keys}), {workers}, "
        f"{counted(result.num_orders, 'order')}",
        f"  objective       {objective}",
        f"  epochs saved    {_text(result.epochs_saved_percent, 1)} %",
        f"  time saved      {_text(result.seconds_saved_percent, 1)} %",
        f"  winner stopped  {_text(result.winner_stopped_percent, 1)} % of the orders",
    ]
    if result.regret is not None:
        lines.append(f"  regret          {_text(result.regret, 2)} {unit}, at most {result.largest_regret:.2f}")
    if result.num_orders_without_end:
        lines.append(f"  no end          {result.num_orders_without_end} orders in which no trial came to its end")
    lines.append("  rank correlation (Spearman) of the objective after an epoch with that at the end")
    for one in _spread_out(result.rank_correlations):
        value = "unknown" if one.spearman is None else f"{one.spearman:7.2f}"
        lines.append(f"    epoch {one.epoch:<4}    {value}  ({one.num_trials} trials)")
    return "\n".join(lines)


def replay_json(result: Replay, sweep: str, metric: str) -> str:
    """For programs: the fields of Replay."""
    return json.dumps({"sweep": sweep, "metric": metric, **asdict(result)}, indent=1)


def _text(estimate: Estimate, digits: int) -> str:
    error = "" if estimate.standard_error is None else f" +- {estimate.standard_error:.{digits}f}"
    return f"{estimate.mean:.{digits}f}{error}"


def _spread_out(rows: Sequence[RankCorrelation]) -> list[RankCorrelation]:
    """All of a few, else some at about equal ratios: early epochs tell schedulers apart."""
    if len(rows) <= MAX_LINES:
        return list(rows)
    chosen = {round(len(rows) ** (index / (MAX_LINES - 1))) for index in range(MAX_LINES)}
    return [row for row in rows if row.epoch in chosen]
