"""A sampler that learns from learning curves: expected improvement at the last epoch, by the model of `mfgp_model`.

Stopped and running trials count with the values that they have reported. The model is fitted anew for each proposal,
so that a proposal is a function of the study, of what running trials have reported, and of the seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import scipy  # it imports its parts when they are first used
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_limits

from search_spaces.parameters import SearchParameter
from search_spaces.schema import SchedulerSpec
from sweep.search.mfgp_model import Array, Indices, Model, Points, Posterior, squared_distances
from sweep.search.outcomes import is_worst
from sweep.search.settings import IsActive

MIN_FIRST = 4
"""Number of configurations, different earlier results among them, before which proposals are quasi-random; one more
than there are parameters, if these are more."""
MIN_DIFFERENT = 3
"""Number of different values after one epoch before which proposals stay quasi-random."""
MAX_TRIALS, MAX_DIVERGED = 130, 50
"""Largest number of trials that the model is fitted to, and of diverged ones besides."""
MAX_POINTS, MIN_EARLY = 150, 50
"""Number of values that it is fitted to, as far as there are early ones; number of early ones that it keeps in any
case: they alone tell how much an early value says about the end."""
OFFSET = 0.1
"""Added to values before their log is taken, as a share of their median."""
CAP = 2.5
"""Largest distance of a bad value from the median of its rung, in distances of the best one."""
NUM_CANDIDATES = 512
"""Number of configurations in each round of the search for the largest expected improvement."""
SCALES = (0.1, 0.03, 0.01)
"""Steps around the best candidates in the rounds after the first, as shares of a parameter's range."""
NUM_CENTERS = 16
"""Number of the best candidates around which such a round looks."""
SPREAD = 0.05
"""Distance from a running trial, as a share of each parameter's range, below which a candidate loses most."""
NUM_GOOD = 8
"""Number of the best known configurations around which the first round looks, with a quarter of its candidates."""

Curve = Mapping[int, float]
"""Epoch -> value after it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What the sampler is told beside the study."""

    rungs: Sequence[int]
    """Epochs at which curves are read, ascending; the last is that of a full training."""
    running: Mapping[int, Curve]
    """Number of a trial in the study that has not ended -> the values that it has reported."""


def rungs_of(spec: SchedulerSpec, full: int) -> list[int]:
    """Return the epochs at which the curves of a search are read: the scheduler's rungs, and the last epoch."""
    rungs = [spec.grace_epochs]
    while rungs[-1] * spec.reduction_factor < full:
        rungs.append(rungs[-1] * spec.reduction_factor)
    return [*(rung for rung in rungs if rung < full), full]


class Encoding:
    """Configurations as numbers.

    A configuration is a row of units, one for each parameter: its position between 0 and 1 in the range, on the
    parameter's scale, or in the list of choices; NaN where the parameter is not proposed.
    The model sees columns: the unit of a range or of a list of numbers, an indicator for each word, and one for the
    absence of a parameter with a condition. All columns of a parameter have one length.
    """

    def __init__(self, parameters: Sequence[SearchParameter], is_active: IsActive) -> None:
        self.parameters = list(parameters)
        self._is_active = is_active
        self._choices = [_ordered(parameter.choices or ()) for parameter in self.parameters]
        self._ranges = [_scaled(p, np.array([p.low, p.high])) for p in self.parameters]
        groups = [
            index
            for index, (parameter, choices) in enumerate(zip(self.parameters, self._choices, strict=True))
            for _ in range((len(choices) if _has_words(choices) else 1) + (parameter.when is not None))
        ]
        self.groups: Indices = np.array(groups)
        """The parameter to which each column belongs."""

    def units(self, params: Mapping[str, Any]) -> Array:
        """Return the row of a configuration."""
        row = np.full(len(self.parameters), np.nan)
        for index, parameter in enumerate(self.parameters):
            choices, (low, high) = self._choices[index], self._ranges[index]
            if parameter.name not in params:
                continue
            value = params[parameter.name]
            if choices:
                row[index] = (choices.index((isinstance(value, bool), value)) + 0.5) / len(choices)
            else:
                row[index] = (_scaled(parameter, np.array([value]))[0] - low) / (high - low)
        return row

    def values(self, row: Array) -> dict[str, Any]:
        """Return the values of a row."""
        found: dict[str, Any] = {}
        for index, (parameter, unit) in enumerate(zip(self.parameters, row, strict=False)):
            choices, (low, high) = self._choices[index], self._ranges[index]
            if np.isnan(unit):
                continue
            if choices:
                found[parameter.name] = choices[min(int(unit * len(choices)), len(choices) - 1)][1]
            else:
                at = low + (high - low) * float(unit)
                found[parameter.name] = parameter.snap(float(np.exp(at)) if parameter.log else float(at))
        return found

    def snapped(self, units: Array) -> Array:
        """Return the rows of the nearest configurations that can be proposed."""
        units = np.clip(units, 0.0, 1.0)
        for index, parameter in enumerate(self.parameters):
            choices, (low, high), column = self._choices[index], self._ranges[index], units[:, index]
            if choices:
                units[:, index] = (np.minimum(np.floor(column * len(choices)), len(choices) - 1) + 0.5) / len(choices)
            elif parameter.step is not None:
                at = low + (high - low) * column
                steps = np.round(((np.exp(at) if parameter.log else at) - parameter.low) / parameter.step)
                value = np.clip(parameter.low + steps * parameter.step, parameter.low, parameter.high)
                units[:, index] = (_scaled(parameter, value) - low) / (high - low)
        conditional = [index for index, parameter in enumerate(self.parameters) if parameter.when is not None]
        for row in units if conditional else ():
            for index in conditional:
                if not self._is_active(self.values(row[:index]), self.parameters[index].name):
                    row[index] = np.nan
        return units

    def columns(self, units: Array) -> Array:
        """Return what the model sees of rows, (n, columns)."""
        columns: list[Array] = []
        for index, (parameter, choices) in enumerate(zip(self.parameters, self._choices, strict=True)):
            column = units[:, index]
            if _has_words(choices):
                position = np.floor(np.nan_to_num(column, nan=-1.0) * len(choices))
                columns += [(position == choice) / np.sqrt(2) for choice in range(len(choices))]
            else:
                columns.append(np.nan_to_num(column, nan=0.5))
            if parameter.when is not None:
                columns.append(np.isnan(column).astype(float))
        return np.column_stack(columns)

    def steps(self) -> Array:
        """Return the distance of neighbouring values in units, 0 for continuous parameters."""
        found = np.zeros(len(self.parameters))
        for index, (parameter, choices) in enumerate(zip(self.parameters, self._choices, strict=True)):
            if choices:
                found[index] = 1 / len(choices)
            elif parameter.step is not None:
                found[index] = parameter.step / (parameter.high - parameter.low)
        return found


def _ordered(choices: Sequence[Any]) -> list[tuple[bool, Any]]:
    """Return choices with whether they are true or false; numbers in ascending order."""
    found = [(isinstance(choice, bool), choice) for choice in choices]
    return found if _has_words(found) else sorted(found)


def _has_words(choices: Sequence[tuple[bool, Any]]) -> bool:
    return any(is_bool or value is None or isinstance(value, str) for is_bool, value in choices)


def _scaled(parameter: SearchParameter, values: Array) -> Array:
    return np.log(values) if parameter.log else values.astype(float)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a trial."""

    units: Array
    """Its row, (parameters,)."""
    curve: Curve
    """Its values; empty where it has reported nothing."""
    is_running: bool
    diverged: bool


def seen_in(study: optuna.Study, own: int, encoding: Encoding, progress: Progress) -> list[Seen]:
    """Return the trials of a study that tell something; a result that several share counts once.

    A complete trial has its value at the last epoch, even if it was to train fewer. A promoted trial counts as paused
    in the study, with the values that it has reported since.

    Args:
        own: number of the trial that is being proposed.
    """
    found: dict[tuple[Any, ...], Seen] = {}
    full = progress.rungs[-1]
    for trial in study.get_trials(deepcopy=False):
        if trial.number == own or trial.state in (TrialState.FAIL, TrialState.WAITING):
            continue
        is_running = trial.state is TrialState.RUNNING
        curve = {**trial.intermediate_values, **progress.running.get(trial.number, {})}
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            curve = {epoch: value for epoch, value in curve.items() if epoch < full} | {full: trial.value}
        key = (*sorted(trial.params.items()), *curve.items())
        found.setdefault(key, Seen(encoding.units(trial.params), curve, is_running, is_worst(trial)))
    return list(found.values())


def points_of(seen: Sequence[Seen], encoding: Encoding, rungs: Sequence[int]) -> Points | None:
    """Return the values that the model is fitted to; None where too few differ to learn from.

    Curves are read at the rungs and at their last epoch. Where these are too many, early values of bad trials are
    left out, then bad trials. Values far worse than the others of their rung are drawn nearer: the model is to tell
    good from better. A diverged trial has the worst value at the first and at the last rung.
    """
    reported = [number for number, trial in enumerate(seen) if trial.curve]
    last_epochs = {number: max(seen[number].curve) for number in reported}
    reported.sort(key=lambda number: (-last_epochs[number], seen[number].curve[last_epochs[number]]))
    kept = [(number, last_epochs[number]) for number in _thinned(reported, MAX_TRIALS)]
    early = [(number, rung) for number, last in kept for rung in rungs if rung < last and rung in seen[number].curve]
    kept += early[: max(MIN_EARLY, MAX_POINTS - len(kept))]
    if not kept:
        return None
    y = _logged(np.array([seen[number].curve[epoch] for number, epoch in kept]))
    rung_of = np.searchsorted(rungs, [min(epoch, rungs[-1]) for _, epoch in kept])
    present = np.unique(rung_of)
    if max(len(np.unique(y[rung_of == rung])) for rung in present) < MIN_DIFFERENT:
        return None
    worst = {rung: y[rung_of == rung].max() for rung in (present[0], present[-1])}
    for rung in present:
        middle, low = np.median(y[rung_of == rung]), y[rung_of == rung].min()
        if low < middle:
            y[rung_of == rung] = np.minimum(y[rung_of == rung], middle + CAP * (middle - low))
    diverged = _thinned([number for number, trial in enumerate(seen) if trial.diverged], MAX_DIVERGED)
    base = y[rung_of == present[-1]] if (rung_of == present[-1]).sum() >= MIN_FIRST else y
    kept += [(number, rungs[rung]) for rung in worst for number in diverged]
    y = np.append(y, np.repeat(list(worst.values()), len(diverged)))
    numbers, epochs = np.array(kept).T
    lag = np.log(rungs[-1] / np.minimum(epochs, rungs[-1])) / max(1.0, np.log(rungs[-1]))
    spread = max(1.48 * np.median(np.abs(base - np.median(base))), 0.1 * np.ptp(y))
    units = np.array([seen[number].units for number in numbers])
    return Points(encoding.columns(units), lag, numbers, (y - np.median(base)) / spread)


def _thinned(ordered: Sequence[int], limit: int) -> Sequence[int]:
    """Return at most `limit` entries: the first ones, and as many evenly spaced among the others."""
    if len(ordered) <= limit:
        return ordered
    num_first = limit // 2
    rest, num_others = ordered[num_first:], limit - num_first
    return [*ordered[:num_first], *(rest[index * len(rest) // num_others] for index in range(num_others))]


def _logged(values: Array) -> Array:
    """Return values on a scale on which good ones differ as much as bad ones; all shifted if one is below 0."""
    values = values - min(0.0, values.min())
    return np.log(values + OFFSET * np.median(values) + 1e-9)


def log_improvement(mean: Array, sd: Array, best: float) -> Array:
    """Return the log of the expected improvement below `best`, also where the improvement itself underflows."""
    u = (best - mean) / sd
    low, high = np.minimum(u, -1.0), np.maximum(u, -1.0)
    log_density = -0.5 * np.square(low) - 0.5 * np.log(2 * np.pi)
    scaled = scipy.special.erfcx(-low / np.sqrt(2))
    share = 1 + low * np.sqrt(np.pi / 2) * scaled  # about 1 / u^2, which cancellation would lose
    tail = log_density + np.log(np.maximum(share, 1 / (np.square(low) + 3)))
    plain = np.exp(-0.5 * np.square(high)) / np.sqrt(2 * np.pi) + high * scipy.special.ndtr(high)
    return np.asarray(np.log(sd) + np.where(u < -1, tail, np.log(plain)))


class MultiFidelitySampler(BaseSampler):
    """Proposes a configuration with the largest expected improvement at the last epoch.

    Running trials count with what they have reported, and as if they ended as the model predicts, so that trials that
    run at the same time differ. The first proposals are points of a Sobol sequence, unless earlier results are known.
    """

    def __init__(self, encoding: Encoding, progress: Progress, number: int, seed: int, search_seed: int) -> None:
        """
        Args:
            number: number of the proposal.
            seed: seed of this proposal.
            search_seed: seed of the Sobol sequence.
        """
        self._encoding = encoding
        self._progress = progress
        self._number = number
        self._rng = np.random.default_rng(seed)
        self._search_seed = search_seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 (Optuna's)
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        seen = seen_in(study, trial.number, self._encoding, self._progress)
        points = points_of(seen, self._encoding, self._progress.rungs)
        num_parameters = len(self._encoding.parameters)
        earlier = study.get_trials(deepcopy=False)[: trial.number - self._number]
        num_known = self._number + len({tuple(sorted(result.params.items())) for result in earlier})
        if points is None or num_known < max(MIN_FIRST, num_parameters + 1):
            row = self._encoding.snapped(self._sobol_point(num_parameters))[0]
        else:
            with threadpool_limits(1, user_api="blas"):  # more would round differently, and wait for each other
                row = self._best_row(points, seen)
        return {name: value for name, value in self._encoding.values(row).items() if name in search_space}

    def _sobol_point(self, num_parameters: int) -> Array:
        sequence = scipy.stats.qmc.Sobol(num_parameters, scramble=True, rng=self._search_seed)
        if self._number:
            sequence.fast_forward(self._number)
        return np.asarray(sequence.random(1))

    def _best_row(self, points: Points, seen: Sequence[Seen]) -> Array:
        """Return the row with the largest expected improvement, as far as the rounds find it."""
        encoding, groups = self._encoding, self._encoding.groups
        theta = Posterior(points, groups).fit()
        model = Model(points, groups, theta)
        known = np.array([trial.units for trial in seen if trial.curve])
        known_mean, _ = model.predict(encoding.columns(known))
        running = encoding.columns(np.array([t.units for t in seen if t.is_running]).reshape(-1, known.shape[1]))
        if len(running):
            model = model.believing(running)
        tried = {row.tobytes() for row in np.round([trial.units for trial in seen], 9)}
        best, good = float(known_mean.min()), known[np.argsort(known_mean, kind="stable")[:NUM_GOOD]]
        units, score = np.empty((0, known.shape[1])), np.empty(0)
        for scale in (None, *SCALES):
            if scale is None:
                around = self._around(good, SCALES[0], NUM_CANDIDATES // 4)
                new = np.vstack([around, self._rng.random((NUM_CANDIDATES - len(around), known.shape[1]))])
            else:
                new = self._around(units[np.argsort(-score, kind="stable")[:NUM_CENTERS]], scale, NUM_CANDIDATES)
            new = encoding.snapped(new)
            is_new = [row.tobytes() not in tried for row in np.round(new, 9)]
            new = new[is_new] if any(is_new) else new
            x = encoding.columns(new)
            mean, sd = model.predict(x)
            gain = log_improvement(mean, sd, best)
            if len(running):
                nearest = squared_distances(x, running, groups).sum(axis=0).min(axis=1) / known.shape[1]
                gain += np.log(-np.expm1(-0.5 * nearest / SPREAD**2) + 1e-12)
            units, score = np.vstack([units, new]), np.append(score, gain)
        return np.asarray(units[np.argmax(score)])

    def _around(self, centers: Array, scale: float, number: int) -> Array:
        """Return rows near the centers: half of the parameters are moved, to a neighbouring value where they step."""
        rows = np.nan_to_num(centers[np.arange(number) % len(centers)], nan=0.5)
        is_moved = self._rng.random(rows.shape) < 0.5
        sizes = np.where(is_moved, np.maximum(scale, 0.7 * self._encoding.steps()), 0.1 * scale)
        rows = np.abs(rows + sizes * self._rng.standard_normal(rows.shape))
        return np.where(rows > 1, 2 - rows, rows)
