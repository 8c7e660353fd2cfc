"""How much each parameter of a search decides the objective: a functional analysis of variance.

Hutter, Hoos, Leyton-Brown (ICML 2014): fit a random forest to the trials and split the variance of what it
predicts over the whole space, here as Sobol indices estimated by sampling it (Saltelli 2010, in SciPy).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.parquet.search_results import Parameter, Scalar, SearchResults, SearchTrial, stopped_by_epoch
from trainable.records import EpochRecord

MIN_TRIALS = 10
"""Fewer say nothing of importance."""
NUM_TREES = 200
NUM_SAMPLES = 2**10
"""A power of 2, as Sobol' sequences need."""
SEED = 0
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Importance:
    """Of one objective."""

    main: dict[str, float]
    """Parameter -> share in [0, 1] of the variance that it decides alone, over the space that was searched."""
    total: dict[str, float]
    """Parameter -> the same, with its interactions with others."""
    num_trials: int
    """That the forest was fitted to."""
    epoch: int | None
    """The objective is that after this epoch, the first at which a trial was stopped; None: at the end."""
    explained: float
    """R2 of the forest on trials that a tree has not seen; 0 and less: it knows nothing."""


def importance(
    search: SearchResults, epochs: Mapping[str, Sequence[EpochRecord]], index: int = 0
) -> Importance | None:
    """Of the objective with this index; None where too few trials can be compared, or all are alike.

    Half-trained and trained values do not compare, and those that a scheduler let run to the end are a choice
    of the best: where it stopped any, the values after the epoch of the first stop are taken, which all have.
    """
    trials, values, epoch = _compared(search, epochs, index)
    if len(trials) < MIN_TRIALS or len(set(values)) == 1:
        return None
    from scipy.stats import sobol_indices, uniform
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(NUM_TREES, oob_score=True, random_state=SEED)
    forest.fit(np.array([_place(one, search.parameters) for one in trials]), values)

    def predicted(units: Array) -> Array:
        """What the forest says at points of the unit cube, (parameters, points)."""
        places = [_spread(row, parameter) for row, parameter in zip(units, search.parameters, strict=True)]
        return np.asarray(forest.predict(np.stack(places, axis=1)))

    found = sobol_indices(
        func=predicted,
        n=NUM_SAMPLES,
        dists=[uniform(0, 1)] * len(search.parameters),
        rng=np.random.default_rng(SEED),
    )
    names = [parameter.name for parameter in search.parameters]
    return Importance(
        main=_shares(names, found.first_order),
        total=_shares(names, found.total_order),
        num_trials=len(trials),
        epoch=epoch,
        explained=float(forest.oob_score_),
    )


def _compared(
    search: SearchResults, epochs: Mapping[str, Sequence[EpochRecord]], index: int
) -> tuple[list[SearchTrial], list[float], int | None]:
    rungs = stopped_by_epoch(search)
    if not rungs:
        complete = [(one, one.values[index]) for one in search.trials if one.is_complete and one.values is not None]
        return [one for one, _ in complete], [value for _, value in complete], None
    epoch = next(iter(rungs))
    curves = [(one, epochs.get(one.trial.row.trial_key, ())) for one in search.trials]
    after = [(one, search.objectives[index].after(curve, epoch)) for one, curve in curves]
    known = [(one, value) for one, value in after if value is not None]
    return [one for one, _ in known], [value for _, value in known], epoch


def _place(one: SearchTrial, parameters: Sequence[Parameter]) -> list[float]:
    return [_coordinate(one.params[parameter.name], parameter) for parameter in parameters]


def _coordinate(value: Scalar, parameter: Parameter) -> float:
    """A choice as its number in their order (a tree's splits need no more); NaN, which it takes, where unknown."""
    if parameter.choices is not None:
        return float(parameter.choices.index(value)) if value in parameter.choices else math.nan
    if not isinstance(value, int | float):
        return math.nan
    return math.log(value) if parameter.log else float(value)


def _spread(units: Array, parameter: Parameter) -> Array:
    """Numbers from [0, 1] over what may be proposed."""
    if parameter.choices is not None:
        return np.minimum(np.floor(units * len(parameter.choices)), len(parameter.choices) - 1)
    ends = (parameter.low, parameter.high)
    low, high = map(math.log, ends) if parameter.log else ends
    return low + units * (high - low)


def _shares(names: Sequence[str], estimates: Array) -> dict[str, float]:
    """An estimate may lie a little outside of what a share can be; none where the forest is flat."""
    return {
        name: min(max(float(np.nan_to_num(value)), 0.0), 1.0) for name, value in zip(names, estimates, strict=True)
    }
