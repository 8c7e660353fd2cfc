"""Optuna's samplers, one for each algorithm of a space. To add one, write a builder and enter it in BUILDERS."""

import contextlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.parameters import SearchParameter
from search_spaces.schema import Algorithm
from sweep.search.mfgp import Encoding, MultiFidelitySampler, Progress
from sweep.search.outcomes import is_worst
from sweep.search.settings import IsActive

MIN_SOURCES = 10
"""Number of results that the package cmaes needs for a warm start (`get_warm_start_mgd`)."""
TPE_DRAWS, TPE_NEIGHBOURS = 20, 5
"""Most draws of TPE for one proposal; number of ended trials, the nearest, that one must resemble."""
TPE_WORST = 0.3
"""Share of diverged trials among these from which on TPE draws again."""
GP_RANDOM = 10
"""Number of ended trials that `gp` draws at random; Optuna's default."""
GP_DISTANCE = 0.1
"""Width of the dip that running trials make in what `gp` maximises, as a share of each range."""
GP_SPREAD = 10.0
"""Largest value that `gp` sees, as a multiple of the distance from the best value to the median."""

Distributions = Mapping[str, BaseDistribution]
"""Name of a parameter -> its distribution."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What the draw of one proposal depends on, beside the outcomes in the study."""

    number: int
    """Number of the proposal."""
    entropy: tuple[int, ...]
    """The seed of the search, then a digest of its earlier results if it has any."""
    study: optuna.Study
    num_earlier: int
    """Number of earlier results; they are the first trials of the study."""
    parameters: Mapping[str, SearchParameter]
    distributions: Distributions
    is_active: IsActive
    progress: Progress

    @property
    def seed(self) -> int:
        """The seed of this draw."""
        return _seed_from((*self.entropy, self.number))

    @property
    def search_seed(self) -> int:
        """The seed of the whole search, for samplers that draw a sequence."""
        return self.entropy[0] if self.num_earlier == 0 else _seed_from(self.entropy)

    @property
    def unconditional(self) -> dict[str, BaseDistribution]:
        """Distributions of the parameters that every proposal has, without those of a single value."""
        return {
            name: distribution
            for name, distribution in self.distributions.items()
            if self.parameters[name].when is None and not distribution.single()
        }


Builder = Callable[[Draw], tuple[BaseSampler, Distributions]]
"""Makes the sampler of a draw, and names the parameters that it draws together; others are drawn one by one."""


def _random(draw: Draw) -> tuple[BaseSampler, Distributions]:
    return RandomSampler(seed=draw.seed), {}


def _tpe(draw: Draw) -> tuple[BaseSampler, Distributions]:
    """Build TPE; with several objectives it draws each parameter by itself, which is Optuna's default."""
    joint = draw.unconditional if len(draw.study.directions) == 1 else {}
    encoding = Encoding([draw.parameters[name] for name in joint], draw.is_active)
    return _TpeBesideEdges(encoding, draw.seed), joint


def _gp(draw: Draw) -> tuple[BaseSampler, Distributions]:
    return _GpOfAll(seed=draw.seed, n_startup_trials=GP_RANDOM, warn_independent_sampling=False), draw.unconditional


def _cmaes(draw: Draw) -> tuple[BaseSampler, Distributions]:
    joint = {
        name: distribution
        for name, distribution in draw.unconditional.items()
        if not isinstance(distribution, CategoricalDistribution)
    }
    sources = _cmaes_sources(draw, joint) or None
    return CmaEsSampler(seed=draw.seed, warn_independent_sampling=False, source_trials=sources), joint


def _cmaes_sources(draw: Draw, joint: Distributions) -> list[FrozenTrial]:
    """Return the earlier results as CMA-ES takes them: with the parameters that it varies, and no others.

    It starts from the best tenth of them and fails where that is none, so a few results are repeated.
    """
    earlier = draw.study.get_trials(deepcopy=False)[: draw.num_earlier]
    times = math.ceil(MIN_SOURCES / max(1, draw.num_earlier))
    return times * [
        create_trial(
            params={name: trial.params[name] for name in joint}, distributions=dict(joint), values=trial.values
        )
        for trial in earlier
    ]


def _qmc(draw: Draw) -> tuple[BaseSampler, Distributions]:
    joint = {name: distribution for name, distribution in draw.distributions.items() if not distribution.single()}
    return _NumberedQmc(draw.search_seed, draw.number), joint


def _mfgp(draw: Draw) -> tuple[BaseSampler, Distributions]:
    joint = {name: distribution for name, distribution in draw.distributions.items() if not distribution.single()}
    encoding = Encoding(list(draw.parameters.values()), draw.is_active)
    return MultiFidelitySampler(encoding, draw.progress, draw.number, draw.seed, draw.search_seed), joint


BUILDERS: Mapping[Algorithm, Builder] = {
    "random": _random, "tpe": _tpe, "gp": _gp, "mfgp": _mfgp, "cmaes": _cmaes, "qmc": _qmc
}  # fmt: skip


def make_sampler(algorithm: Algorithm, draw: Draw) -> BaseSampler:
    """Make the sampler that draws one proposal."""
    base, joint = BUILDERS[algorithm](draw)
    return _Declared(base, joint, draw.parameters)


class _Declared(BaseSampler):
    """A sampler that draws from the declared space, and values that the parameters declare.

    Optuna infers the space from finished trials, and may draw a value between two steps.
    """

    def __init__(self, base: BaseSampler, joint: Distributions, parameters: Mapping[str, SearchParameter]) -> None:
        self._base = base
        self._joint = dict(joint)
        self._parameters = parameters

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._joint

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        sample = self._base.sample_relative(study, trial, search_space)
        return {name: self._snapped(name, value) for name, value in sample.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 (Optuna's)
        value = self._base.sample_independent(study, trial, param_name, param_distribution)
        return self._snapped(param_name, value)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._base.before_trial(study, trial)

    def _snapped(self, name: str, value: Any) -> Any:  # noqa: ANN401
        parameter = self._parameters[name]
        return value if parameter.choices is not None else parameter.snap(value)


class _TpeBesideEdges(TPESampler):
    """TPE that draws again where the nearest trials diverged.

    The best configurations often lie beside the edge of what diverges, which is sharper than TPE's densities.
    """

    def __init__(self, encoding: Encoding, seed: int) -> None:
        """
        Args:
            encoding: that of the parameters which are drawn together.
        """
        super().__init__(seed=seed)
        self._encoding = encoding

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        sample = super().sample_relative(study, trial, search_space)
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        is_bad = np.array([is_worst(other) for other in ended])
        if not sample or not is_bad.any():
            return sample
        known = self._encoding.columns(np.array([self._encoding.units(other.params) for other in ended]))
        for _ in range(TPE_DRAWS - 1):
            distances = np.square(known - self._encoding.columns(self._encoding.units(sample)[None])).sum(axis=1)
            if is_bad[np.argsort(distances, kind="stable")[:TPE_NEIGHBOURS]].mean() < TPE_WORST:
                break
            sample = super().sample_relative(study, trial, search_space)
        return sample


class _GpOfAll(GPSampler):
    """A sampler by a Gaussian process that learns from every trial.

    Optuna's passes over pruned trials, and draws the next to running ones.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        if sum(trial.state is TrialState.COMPLETE or is_worst(trial) for trial in trials) < GP_RANDOM:
            return {}
        self._running = [trial for trial in trials if trial.state is TrialState.RUNNING and trial.params]
        told = optuna.create_study(directions=study.directions)
        told.add_trials(_with_values(trials, len(study.directions)))
        told.ask()
        return super().sample_relative(told, told.get_trials(deepcopy=False)[-1], search_space)

    def _optimize_acqf(self, acqf: Any, best_params: np.ndarray | None) -> np.ndarray:  # noqa: ANN401 (Optuna's)
        """Lower the acquisition function around running trials, whose values a fit may take for noise."""
        if self._running:
            plain, points = acqf.eval_acqf, acqf.search_space.get_normalized_params(self._running)

            def lowered(x: Any) -> Any:  # noqa: ANN401 (a tensor of torch, which is imported only where it is used)
                distances = (x.unsqueeze(-2) - x.new_tensor(points)).square().sum(-1)
                return plain(x) + (1e-12 - (distances / (-2 * GP_DISTANCE**2)).expm1()).log().sum(-1)

            acqf.eval_acqf = lowered
        return super()._optimize_acqf(acqf, best_params)


def _with_values(trials: Sequence[FrozenTrial], num_objectives: int) -> Iterator[FrozenTrial]:
    """Yield trials with values that a Gaussian process can learn from, each objective by itself.

    The worst trials are worse than all complete ones, by half of the range of these. Running trials have the median.
    Values are limited, since one huge value would hide all other differences.
    """
    known = [trial.values for trial in trials if trial.state is TrialState.COMPLETE] or [[0.0] * num_objectives]
    best, middle, largest = np.min(known, axis=0), np.median(known, axis=0), np.max(known, axis=0)
    limit = np.where(middle > best, np.minimum(largest, middle + GP_SPREAD * (middle - best)), largest)
    for trial in trials:
        if trial.state is TrialState.COMPLETE:
            values = np.minimum(trial.values, limit)
        elif trial.state is TrialState.RUNNING and trial.params:
            values = middle
        elif is_worst(trial):
            values = limit + (limit - best) / 2
        else:
            continue
        yield create_trial(params=trial.params, distributions=trial.distributions, values=values.tolist())


class _NumberedQmc(QMCSampler):
    """A sampler that takes its point of the sequence by the proposal's number.

    Optuna counts the points in attributes of the study, which are lost when the study is rebuilt.
    """

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(scramble=True, seed=seed, warn_independent_sampling=False)
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def distributions_of(parameters: Sequence[SearchParameter]) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each parameter."""
    return {parameter.name: _distribution(parameter) for parameter in parameters}


def _distribution(parameter: SearchParameter) -> BaseDistribution:
    low, high, log = parameter.low, parameter.high, parameter.log
    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    if parameter.kind == "int":
        step = 1 if log or parameter.step is None else int(parameter.step)
        return IntDistribution(int(low), int(high), log=log, step=step)
    return FloatDistribution(low, high, log=log, step=None if log else parameter.step)


def suggest(trial: optuna.Trial, distribution: BaseDistribution, name: str) -> Any:  # noqa: ANN401
    """Ask a trial of Optuna's for the value of a parameter."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
    raise TypeError(f"unknown distribution {distribution}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what Optuna reports about itself: experimental features, samplers that fall back to random draws."""
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _seed_from(entropy: Sequence[int]) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
