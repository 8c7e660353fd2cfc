"""Parameter importance in a search, by functional analysis of variance.

Hutter, Hoos, Leyton-Brown (ICML 2014): fit a random forest to the trials and decompose the variance of its
predictions over the whole space, here into Sobol indices estimated by sampling (Saltelli 2010, in SciPy).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.parquet.search_results import Parameter, SearchResults, SearchTrial, stopped_by_epoch
from results.parquet.trials import EpochsByKey
from results.store.search_settings import Scalar
from trainable.wording import counted

MIN_TRIALS = 10
"""Smallest number of trials that importances are estimated from."""
NUM_TREES = 200
NUM_SAMPLES = 2**10
"""Number of samples; Sobol' sequences need a power of 2."""
MOST_SPREAD = 1000.0
"""Largest distance of a value from the median, in distances of the median from the best value. One huge value would
hide all others."""
SEED = 0
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of every parameter for one objective."""

    main: dict[str, float]
    """Parameter -> share of the variance over the searched space, in [0, 1], that it explains alone."""
    total: dict[str, float]
    """Parameter -> share of the variance that it explains alone and in interaction with others."""
    num_trials: int
    """Number of trials that the forest was fitted to."""
    epoch: int | None
    """Epoch whose values are explained, the first after which a trial was stopped; None for the final values."""
    explained: float
    """Out-of-bag R2 of the forest; at 0 or below it predicts nothing."""


def importance(search: SearchResults, epochs: EpochsByKey, index: int = 0) -> Importance | None:
    """Return the importances for the objective with this index; None if too few trials compare or all are equal.

    Values of partly trained and fully trained trials do not compare, and the trials that a scheduler let complete
    are a biased choice. If it stopped any, the values after the epoch of the first stop are used: all trials have
    one.
    """
    trials, values, epoch = _compared(search, epochs, index)
    if len(trials) < MIN_TRIALS or len(set(values)) == 1:
        return None
    from scipy.stats import sobol_indices, uniform
    from sklearn.ensemble import RandomForestRegressor

    coordinates = [[_coordinate(trial.params[spec.name], spec) for spec in search.parameters] for trial in trials]
    forest = RandomForestRegressor(NUM_TREES, oob_score=True, random_state=SEED)
    forest.fit(np.array(coordinates), _limited(values))

    def predicted(units: Array) -> Array:
        """Return the predictions at points of the unit cube, an array of shape (parameters, points)."""
        coordinates = [_from_unit(row, parameter) for row, parameter in zip(units, search.parameters, strict=True)]
        return np.asarray(forest.predict(np.stack(coordinates, axis=1)))

    main, total = np.ones(1), np.ones(1)
    if len(search.parameters) > 1:  # scipy needs two dimensions
        dists, rng = [uniform(0, 1)] * len(search.parameters), np.random.default_rng(SEED)
        found = sobol_indices(func=predicted, n=NUM_SAMPLES, dists=dists, rng=rng)
        main, total = found.first_order, found.total_order
    return Importance(
        main=_shares(search.parameter_names, main),
        total=_shares(search.parameter_names, total),
        num_trials=len(trials),
        epoch=epoch,
        explained=float(forest.oob_score_),
    )


def why_no_importance(search: SearchResults, epochs: EpochsByKey) -> str:
    """Return why no importances are shown."""
    trials, values, _ = _compared(search, epochs, 0)
    if len(trials) < MIN_TRIALS:
        return f"{counted(len(trials), 'trial')} can be compared, and {MIN_TRIALS} are needed"
    return (
        "all trials have the same value" if len(set(values)) == 1 else "the parameters do not predict the objective"
    )


def _compared(
    search: SearchResults, epochs: EpochsByKey, index: int
) -> tuple[list[SearchTrial], list[float], int | None]:
    """Return the trials that can be compared, their values, and the epoch of these values."""
    rungs = stopped_by_epoch(search)
    if not rungs:
        complete = [trial for trial in search.trials if trial.is_complete]
        return complete, [trial.values[index] for trial in complete], None
    epoch = next(iter(rungs))
    records = [(trial, epochs.get(trial.trial.row.trial_key, ())) for trial in search.trials]
    after = [(trial, search.objectives[index].value_after(own, epoch)) for trial, own in records]
    known = [(trial, value) for trial, value in after if value is not None]
    return [trial for trial, _ in known], [value for _, value in known], epoch


def _limited(values: Sequence[float]) -> Array:
    middle, low = float(np.median(values)), min(values)
    return np.minimum(values, middle + MOST_SPREAD * (middle - low)) if middle > low else np.asarray(values)


def _coordinate(value: Scalar, parameter: Parameter) -> float:
    """Return a choice as its index, which is enough for the splits of a tree, and a missing value as NaN."""
    if parameter.choices is not None:
        return float(parameter.choices.index(value)) if value in parameter.choices else math.nan
    if not isinstance(value, int | float):
        return math.nan
    return math.log(value) if parameter.log else float(value)


def _from_unit(units: Array, parameter: Parameter) -> Array:
    """Map numbers in [0, 1] to the values that may be proposed."""
    if parameter.choices is not None:
        return np.minimum(np.floor(units * len(parameter.choices)), len(parameter.choices) - 1)
    ends = (parameter.low, parameter.high)
    low, high = map(math.log, ends) if parameter.log else ends
    return low + units * (high - low)


def _shares(names: Sequence[str], estimates: Array) -> dict[str, float]:
    """Clip the estimates to [0, 1]; a forest that predicts a constant gives 0."""
    return {
        name: min(max(float(np.nan_to_num(value)), 0.0), 1.0) for name, value in zip(names, estimates, strict=True)
    }
