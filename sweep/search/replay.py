"""What a scheduler would have done on recorded curves: what it saves, and what that costs.

Which trials are compared depends on the order in which they begin. The sweep is therefore simulated in many orders,
shuffled with a fixed seed.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy import stats

from search_spaces.schema import SCHEDULER_KEYS, SchedulerSpec
from sweep.search.curves import TrialCurve
from sweep.search.scheduler import make_scheduler
from sweep.search.simulation import ScheduledCurves, simulate
from trainable.errors import UserError
from trainable.rounding import tidied_results
from trainable.wording import counted, json_text

SEED = 0
MIN_RANKED = 3
"""Smallest number of trials for a rank correlation."""
MAX_LINES = 10
"""Number of epochs that the text lists; the JSON has all."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the orders."""

    mean: float
    standard_error: float | None
    """Standard error over the orders alone, for these trials; None for one order."""


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Correlation of the objective after an epoch with that at the end, over the trials that trained further."""

    epoch: int
    spearman: float | None
    """None for too few trials or equal values."""
    num_trials: int


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of a replay. Savings are relative to the sweep without a scheduler."""

    scheduler: dict[str, Any]
    num_trials: int
    num_workers: int
    num_orders: int
    epochs_saved_percent: Estimate
    seconds_saved_percent: Estimate
    """Saved seconds of training and evaluation."""
    winner_stopped_percent: Estimate
    """Percentage of the orders in which the sweep's best trial was stopped early."""
    regret: Estimate | None
    """How much worse the best trial that was not stopped is than the sweep's best, in percentage points."""
    largest_regret: float | None
    num_orders_without_end: int
    """Number of orders in which every trial was stopped; they are left out of the regret."""
    rank_correlations: list[RankCorrelation]


def scheduler_spec(settings: dict[str, Any]) -> SchedulerSpec:
    """Return the declaration of a scheduler, from the options of the command.

    Args:
        settings: key of `scheduler` in a space -> value; None where the user gave none.

    Raises:
        UserError: this type does not have such a key, or a value is impossible.
    """
    try:
        return SchedulerSpec.model_validate({key: value for key, value in settings.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        path = "".join(f"--{str(part).replace('_', '-')} {problem['input']}: " for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise UserError(f"{path}{message}") from None


def replay(curves: Sequence[TrialCurve], spec: SchedulerSpec, num_workers: int, num_orders: int) -> Replay:
    """Simulate the sweep under a scheduler in `num_orders` orders.

    Args:
        curves: the trials, at least one of them COMPLETE.

    Raises:
        UserError: the scheduler's grace is longer than the trials.
    """
    best = min(curve.end for curve in curves if curve.end is not None)
    random = np.random.default_rng(SEED)
    simulations = []
    for number in range(num_orders):
        order = random.permutation(len(curves)).tolist()
        scheduler = make_scheduler(spec, max(curve.epochs for curve in curves), seed=number)
        simulations.append(simulate(ScheduledCurves([curves[index] for index in order], scheduler), num_workers))
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


def rank_correlations(curves: Sequence[TrialCurve]) -> list[RankCorrelation]:
    """Return Spearman's correlation for each epoch but the last, over the complete trials."""
    complete = [curve for curve in curves if curve.end is not None]
    longest = max(len(curve.values) for curve in complete)
    return [_rank_correlation(complete, epoch) for epoch in range(1, longest)]


def _rank_correlation(curves: Sequence[TrialCurve], epoch: int) -> RankCorrelation:
    pairs = [(curve.values[epoch - 1], curve.end) for curve in curves if len(curve.values) > epoch]
    finite = [(value, end) for value, end in pairs if value is not None]
    if len(finite) < MIN_RANKED or any(len(set(column)) < 2 for column in zip(*finite, strict=True)):
        return RankCorrelation(epoch, None, len(finite))
    return RankCorrelation(epoch, float(stats.spearmanr(finite).statistic), len(finite))


def _mean(values: Sequence[float]) -> Estimate:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(statistics.fmean(values), error)


def _share(answers: Sequence[bool]) -> Estimate:
    """Return the percentage of true answers.

    The standard error is that of Agresti and Coull, with one yes and one no added: 0 of 200 is not known exactly.
    """
    num, size = sum(answers), len(answers)
    adjusted = (num + 1) / (size + 2)
    return Estimate(100 * num / size, 100 * math.sqrt(adjusted * (1 - adjusted) / (size + 2)))


def replay_text(result: Replay, sweep: str, objective: str) -> str:
    """Return the outcome as text, with the objective in these words."""
    keys = ", ".join(f"{key} {value}" for key, value in result.scheduler.items() if key != "type")
    workers = counted(result.num_workers, "worker")
    lines = [
        f"{sweep}: {result.num_trials} trials under {result.scheduler['type']} ({keys}), {workers}, "
        f"{counted(result.num_orders, 'order')}",
        f"  objective       {objective}",
        f"  epochs saved    {_text(result.epochs_saved_percent, 1)} %",
        f"  time saved      {_text(result.seconds_saved_percent, 1)} %",
        f"  winner stopped  {_text(result.winner_stopped_percent, 1)} % of the orders",
    ]
    if result.regret is not None:
        lines.append(f"  regret          {_text(result.regret, 2)} points, at most {result.largest_regret:.2f}")
    if result.num_orders_without_end:
        lines.append(f"  all stopped     in {counted(result.num_orders_without_end, 'order')}")
    lines.append("  rank correlation (Spearman) of the objective after an epoch with that at the end")
    for row in _spread_out(result.rank_correlations):
        value = "unknown" if row.spearman is None else f"{row.spearman:7.2f}"
        lines.append(f"    epoch {row.epoch:<4}    {value}  ({counted(row.num_trials, 'trial')})")
    return "\n".join(lines)


def replay_json(result: Replay, sweep: str, metric: str) -> str:
    """Return the fields of a Replay as JSON."""
    return json_text(tidied_results({"sweep": sweep, "metric": metric, **asdict(result)}))


def _text(estimate: Estimate, digits: int) -> str:
    error = "" if estimate.standard_error is None else f" +- {estimate.standard_error:.{digits}f}"
    return f"{estimate.mean:.{digits}f}{error}"


def _spread_out(rows: Sequence[RankCorrelation]) -> list[RankCorrelation]:
    """Choose up to MAX_LINES rows at about equal ratios of epochs: the early ones tell schedulers apart."""
    if len(rows) <= MAX_LINES:
        return list(rows)
    chosen = {round(len(rows) ** (index / (MAX_LINES - 1))) for index in range(MAX_LINES)}
    return [row for row in rows if row.epoch in chosen]
