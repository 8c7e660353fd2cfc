"""What the records of `search_quality.py` say: medians, ranks and wins, with intervals over the seeds.

Arms of a problem share their seeds, and with them the noise that they see. The bootstrap draws seeds, the same for
all arms; the problems stay as they are, so an interval says nothing about other problems.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

NUM_DRAWS = 1000
BAND = (2.5, 97.5)
Record = Mapping[str, Any]
Regrets = NDArray[np.float64]
"""Regrets by arm, problem and seed."""


def complete_arms(
    records: Iterable[Record], problems: Sequence[str], seeds: Sequence[int]
) -> dict[str, list[Record]]:
    """Return the records of each arm that has one for every problem and seed, in the order of problems and seeds."""
    found: dict[str, dict[tuple[str, int], Record]] = {}
    for record in records:
        found.setdefault(record["arm"], {})[record["problem"], record["seed"]] = record
    wanted = [(name, seed) for name in problems for seed in seeds]
    return {arm: [runs[key] for key in wanted] for arm, runs in found.items() if all(key in runs for key in wanted)}


def average_ranks(regrets: Regrets) -> NDArray[np.float64]:
    """Return the average over the problems of each arm's rank by median regret; 1 is best, equal ones share."""
    return np.asarray(stats.rankdata(np.median(regrets, axis=-1), axis=0).mean(axis=1))


def with_band(draws: NDArray[np.float64], value: float) -> list[float]:
    """Return a value and its bootstrap interval."""
    return [round(float(number), 4) for number in (value, *np.percentile(draws, BAND))]


def wins(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return how often each of two arms has the smaller regret, run by run; each gets half of the ties."""
    pairs = list(zip(mine, theirs, strict=True))
    won, lost = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    ties = (len(pairs) - won - lost) / 2
    return [won + ties, lost + ties]


def summarize(
    arms: Mapping[str, Sequence[Record]],
    problems: Sequence[str],
    shares: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    draws: int = NUM_DRAWS,
) -> dict[str, Any]:
    """Return medians and average ranks of each arm, and wins of pairs, at each share of the budget."""
    num_seeds = len(next(iter(arms.values()))) // len(problems)
    drawn = np.random.default_rng(0).integers(num_seeds, size=(draws, num_seeds))
    summary: dict[str, Any] = {arm: {"average_rank": {}, "median_regret": {}} for arm in arms}
    compared = [(first, second) for first, second in pairs if first in arms and second in arms]
    won: dict[str, dict[str, list[float]]] = {f"{first} : {second}": {} for first, second in compared}
    for share in shares:
        values = {arm: [float(run["regret"][share]) for run in runs] for arm, runs in arms.items()}
        regrets = np.array(list(values.values())).reshape(len(arms), len(problems), num_seeds)
        ranks, medians = average_ranks(regrets), np.median(regrets, axis=-1)
        rank_draws = np.array([average_ranks(regrets[..., seeds]) for seeds in drawn])
        median_draws = np.median(regrets[:, :, drawn], axis=-1)
        for row, arm in enumerate(arms):
            summary[arm]["average_rank"][share] = with_band(rank_draws[:, row], ranks[row])
            for column, name in enumerate(problems):
                found = with_band(median_draws[row, column], medians[row, column])
                summary[arm]["median_regret"].setdefault(name, {})[share] = found
        for first, second in compared:
            won[f"{first} : {second}"][share] = wins(values[first], values[second])
    for arm, runs in arms.items():
        summary[arm]["median_trials"] = float(np.median([run["trials"] for run in runs]))
        summary[arm]["diverged_last_quarter"] = _by_problem(runs, problems, "diverged_last_quarter")
        summary[arm]["mean_cpu_seconds"] = round(float(np.mean([run["cpu_seconds"] for run in runs])), 2)
    return {"num_seeds": num_seeds, "arms": summary, "wins": won}


def _by_problem(runs: Sequence[Record], problems: Sequence[str], key: str) -> dict[str, float]:
    """Return the mean of a figure for each problem."""
    values = np.array([run[key] for run in runs], dtype=float).reshape(len(problems), -1)
    return {name: round(float(mean), 4) for name, mean in zip(problems, values.mean(axis=1), strict=True)}
