"""What a search proposes next, and what it is told: the only module that knows Optuna.

Proposal n is a pure function of the seed, n, the earlier results, and what was proposed and told before: every
proposal is drawn by a sampler made anew, and nothing that a sampler keeps beside the study is used. So a study that
was lost is rebuilt by adding its trials in their order.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.store.search_log import Earlier, Params, ProposalRecord, SearchRecord, all_finite
from results.store.search_settings import WARM_START
from search_spaces.parameters import SearchParameter, inside
from search_spaces.schema import Algorithm
from trainable.errors import UserError
from trainable.records import Status

WITHOUT_HISTORY: tuple[Algorithm, ...] = ("grid", "random", "qmc")
"""Learn nothing from what they are told."""
MAX_ENUMERATED = 10_000
"""Assignments that a finite space may have for its end to be seen."""
MIN_SOURCES = 10
"""Results that the package cmaes needs to begin from (`get_warm_start_mgd`)."""
WORST_VALUES = {"holdout_error_percent": 100.0}
"""What a diverged trial is told as, by metric; of other metrics no bad value is known beforehand."""

EXAMPLE_URL = "sqlite:///search.db"

MINIMIZE = StudyDirection.MINIMIZE
"""What every objective asks for."""

Active = Callable[[Params, str], bool]
"""Whether a parameter is proposed at all, given the values of those before it."""


class Told(StrEnum):
    """How a proposal stands in a study, in Optuna's words."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a study is told of a proposal."""

    state: Told
    values: tuple[float, ...] | None = None
    """COMPLETE only."""
    intermediate: Mapping[int, float] | None = None
    """Epoch -> value of the one objective after it. (Optuna has none where there are several.)"""


def outcome(record: SearchRecord, proposal: ProposalRecord, metrics: Sequence[str]) -> Outcome:
    """What the sampler is to learn of a proposal, from the log.

    A stopped trial is PRUNED with what it had reached: its last value is no result. One that diverged counts as
    the worst error there is, or, where no worst value is known, as PRUNED without any.
    """
    intermediate = None
    if len(metrics) == 1:
        reports = record.source(proposal).reports
        intermediate = {one.epoch: one.values[0] for one in reports if one.values[0] is not None}
    match proposal.status:
        case None:
            return Outcome(Told.RUNNING, None, intermediate)
        case Status.COMPLETE if (values := all_finite(proposal.values)) is not None:
            return Outcome(Told.COMPLETE, values, intermediate)
        case Status.STOPPED:
            return Outcome(Told.PRUNED, None, intermediate)
        case Status.COMPLETE | Status.DIVERGED:
            if len(metrics) == 1 and metrics[0] in WORST_VALUES:
                return Outcome(Told.COMPLETE, (WORST_VALUES[metrics[0]],), intermediate)
            return Outcome(Told.PRUNED)
    return Outcome(Told.FAIL)


class Study:
    """Proposals and their outcomes, numbered from 0."""

    def __init__(
        self,
        parameters: Sequence[SearchParameter],
        active: Active,
        algorithm: Algorithm,
        seed: int,
        num_objectives: int,
        name: str,
        earlier: Sequence[Earlier] = (),
    ) -> None:
        """
        Args:
            num_objectives: all of them are minimised.
            earlier: results that are known; those that lie outside of the space are left out.

        Raises:
            UserError: a grid of infinitely many trials, or of too many.
        """
        self._parameters = list(parameters)
        self._active = active
        self._algorithm = algorithm
        self._seed = seed
        self._distributions = {one.name: _distribution(one) for one in parameters}
        self._storage = optuna.storages.InMemoryStorage()
        with _quiet():
            directions = [MINIMIZE] * num_objectives
            self._study = optuna.create_study(storage=self._storage, study_name=name, directions=directions)
        used = [found for one in earlier if (found := _usable(one, parameters, active, num_objectives)) is not None]
        for one in used:
            self._add_earlier(one)
        self.num_earlier = len(used)
        """Earlier results that lie inside the space."""
        self._entropy = (seed, *_digest(used))
        """Of the draws. With the seed alone a search would repeat the one that it goes on from."""
        self._size = 0
        self._grid = self._assignments()
        self._proposed: set[tuple[tuple[str, Any], ...]] = set()
        self._num_assignments = self._count_assignments()
        if algorithm == "grid" and self._num_assignments is None:
            raise UserError(f"search.algorithm grid tries all values, at most {MAX_ENUMERATED}: here are more")

    def __len__(self) -> int:
        """Proposals so far."""
        return self._size

    @property
    def is_exhausted(self) -> bool:
        """Whether all that the space holds was proposed: never, where it is not finite."""
        return self._num_assignments is not None and len(self._proposed) >= self._num_assignments

    def ask(self, explore: bool = False) -> Params:
        """The next proposal's parameters, now RUNNING. The space must not be exhausted.

        Args:
            explore: draw at random, and where the space is finite from what was not proposed yet: for a sampler
                that repeats itself.
        """
        number = self._size
        if self._algorithm == "grid":
            params = next(self._grid)
            self._add_running(params)
        elif explore and self._num_assignments is not None:
            left = [one for one in self._assignments() if _identity(one) not in self._proposed]
            params = left[int(np.random.default_rng((*self._entropy, number)).integers(len(left)))]
            self._add_running(params)
        else:
            params = self._sample("random" if explore else self._algorithm)
        self._note(params)
        return params

    def add(self, params: Params, explore: bool = False) -> None:
        """Take a proposal over from a record, in its place, as RUNNING.

        Args:
            explore: as it was when it was asked for.
        """
        if self._algorithm == "grid":
            next(self._grid, None)
        if self._algorithm == "cmaes" and not explore:  # its state lies in what asking leaves in the study
            with _quiet():
                self._study.enqueue_trial(dict(params))
            self._sample("cmaes")
        else:
            self._add_running(params)
        self._note(params)

    def tell(self, number: int, outcome: Outcome) -> None:
        """How a proposal ended."""
        position = self.num_earlier + number
        with _quiet():
            study_id = self._storage.get_study_id_from_name(self._study.study_name)
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, position)
            for epoch, value in (outcome.intermediate or {}).items():
                self._storage.set_trial_intermediate_value(trial_id, epoch, value)
            self._study.tell(position, outcome.values, state=TrialState[outcome.state])

    def trials(self) -> list[FrozenTrial]:
        """Optuna's own view, earlier results first; for the tests."""
        return self._study.get_trials()

    def _note(self, params: Params) -> None:
        self._size += 1
        if self._num_assignments is not None:
            self._proposed.add(_identity(params))

    def _sample(self, algorithm: Algorithm) -> Params:
        with _quiet():
            self._study.sampler = self._sampler(algorithm)
            trial = self._study.ask()
            assignment: dict[str, Any] = {}
            for one in self._parameters:
                if self._active(assignment, one.name):
                    assignment[one.name] = _suggest(trial, self._distributions[one.name], one.name)
        return assignment

    def _sampler(self, algorithm: Algorithm) -> BaseSampler:
        number = self._size
        seed = _drawn((*self._entropy, number))
        always = {
            one.name: self._distributions[one.name]
            for one in self._parameters
            if one.when is None and not self._distributions[one.name].single()
        }
        sampler: BaseSampler
        match algorithm:
            case "tpe":  # with several objectives each parameter by itself, which is Optuna's default
                joint = always if len(self._study.directions) == 1 else {}
                sampler = TPESampler(seed=seed)
            case "gp":
                joint = always
                sampler = GPSampler(seed=seed, warn_independent_sampling=False)
            case "cmaes":
                joint = {name: one for name, one in always.items() if not isinstance(one, CategoricalDistribution)}
                sampler = CmaEsSampler(
                    seed=seed, warn_independent_sampling=False, source_trials=self._sources(joint) or None
                )
            case "qmc":
                joint = {name: one for name, one in self._distributions.items() if not one.single()}
                sampler = _NumberedQmc(self._seed if self.num_earlier == 0 else _drawn(self._entropy), number)
            case _:
                joint = {}
                sampler = RandomSampler(seed=seed)
        return _Declared(sampler, joint, {one.name: one for one in self._parameters})

    def _sources(self, joint: Mapping[str, BaseDistribution]) -> list[FrozenTrial]:
        """The earlier results, as CMA-ES takes them: with the parameters that it varies, and no others.

        It begins around the best tenth of them and fails where that is nobody: a few are given several times.
        """
        trials = self._study.get_trials(deepcopy=False)[: self.num_earlier]
        times = math.ceil(MIN_SOURCES / max(1, self.num_earlier))
        return times * [
            create_trial(
                params={name: trial.params[name] for name in joint}, distributions=dict(joint), values=trial.values
            )
            for trial in trials
        ]

    def _add_running(self, params: Params) -> None:
        distributions = {name: self._distributions[name] for name in params}
        with _quiet():
            trial = create_trial(state=TrialState.RUNNING, params=dict(params), distributions=distributions)
            self._study.add_trial(trial)

    def _add_earlier(self, one: Earlier) -> None:
        distributions = {name: self._distributions[name] for name in one.params}
        with _quiet():
            self._study.add_trial(
                create_trial(params=dict(one.params), distributions=distributions, values=list(one.values))
            )

    def _assignments(self) -> Iterator[Params]:
        """Every distinct assignment of a finite space, the last parameter fastest."""

        def complete(index: int, chosen: dict[str, Any]) -> Iterator[Params]:
            if index == len(self._parameters):
                yield dict(chosen)
                return
            one = self._parameters[index]
            if not self._active(chosen, one.name):
                yield from complete(index + 1, chosen)
                return
            for value in _all_values(one):
                yield from complete(index + 1, {**chosen, one.name: value})

        return complete(0, {})

    def _count_assignments(self) -> int | None:
        """None where there are more than are counted."""
        if any(_num_values(one) > MAX_ENUMERATED for one in self._parameters):
            return None
        counted = sum(1 for _ in itertools.islice(self._assignments(), MAX_ENUMERATED + 1))
        return counted if counted <= MAX_ENUMERATED else None


class _Declared(BaseSampler):
    """A sampler on the space as it was declared, not as its trials suggest, and on values as they were declared."""

    def __init__(
        self, base: BaseSampler, joint: Mapping[str, BaseDistribution], parameters: Mapping[str, SearchParameter]
    ) -> None:
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


class _NumberedQmc(QMCSampler):
    """The point of the sequence that belongs to a proposal's number; Optuna counts in the study's attributes."""

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(scramble=True, seed=seed, warn_independent_sampling=False)
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


@dataclass(frozen=True, slots=True)
class Facts:
    """What a storage shows of a training, beside what the search's log says."""

    start: datetime
    """With its time zone."""
    seconds: float
    """Training and evaluation; what lay between two runs is left out."""
    attributes: Mapping[str, Any]
    """Plain JSON values."""


def export_storage(
    record: SearchRecord,
    parameters: Sequence[SearchParameter],
    metrics: Sequence[str],
    name: str,
    url: str,
    facts: Mapping[int, Facts] | None = None,
) -> str:
    """Add the search as a study to an Optuna storage, for optuna-dashboard: the whole study, or nothing.

    The results that it began with come after its proposals, so that those keep their numbers.

    Args:
        url: of a database, as SQLAlchemy takes it: sqlite:///FILE, whose FILE need not exist.
        facts: number of a proposal -> what is known of its training.

    Returns:
        The URL without its password.

    Raises:
        UserError: no such URL, nothing can be written there, or it holds a study of this name.
    """
    with _quiet(), _storage(url) as (storage, shown):
        try:
            study = optuna.create_study(storage=storage, study_name=name, directions=[MINIMIZE] * len(metrics))
        except DuplicatedStudyError:
            raise UserError(f"{shown} already holds a study {name!r}: give another file or database") from None
        try:
            study.set_metric_names(list(metrics))
            study.add_trials(_exported(record, parameters, metrics, facts or {}))
        except BaseException:
            optuna.delete_study(study_name=name, storage=storage)
            raise
    return shown


@contextlib.contextmanager
def _storage(url: str) -> Iterator[tuple[RDBStorage, str]]:
    """The storage, and its URL without the password.

    Raises:
        UserError: it cannot be opened, or what is done inside fails.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        parsed = make_url(url)
        is_memory = parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")
    except (ArgumentError, ValueError):
        raise UserError(f"this is no URL of a database: write one such as {EXAMPLE_URL}") from None
    shown = parsed.render_as_string(hide_password=True)
    if is_memory:
        raise UserError(f"{shown} names no file: write a URL such as {EXAMPLE_URL}")
    try:
        storage = RDBStorage(url)
    except (SQLAlchemyError, OptunaError, ImportError, RuntimeError, ValueError) as error:
        raise UserError(f"cannot open {shown}: {_reason(error)}") from None
    try:
        yield storage, shown
    except (SQLAlchemyError, OptunaError) as error:
        raise UserError(f"cannot write to {shown}: {_reason(error)}") from None
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _reason(error: BaseException) -> str:
    """The first line of what the database says, or of what is said for it."""
    cause = error.__cause__ or error
    text = str(getattr(cause, "orig", None) or cause)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _exported(
    record: SearchRecord, parameters: Sequence[SearchParameter], metrics: Sequence[str], facts: Mapping[int, Facts]
) -> Iterator[FrozenTrial]:
    """Every proposal as a trial of Optuna's, then the earlier results. One without a training of its own has the
    time of the one before."""
    distributions = {one.name: _distribution(one) for one in parameters}
    start = min((one.start for one in facts.values()), default=datetime.now(UTC))
    for proposal in record.proposals:
        told = outcome(record, proposal, metrics)
        known = facts.get(proposal.number, Facts(start, 0.0, {}))
        start = known.start
        shown = {
            "trial_key": None if proposal.config is None else proposal.config.trial_key,
            "status": None if proposal.status is None else str(proposal.status),
            "same_as": proposal.same_as,
            "error": proposal.error,
            **known.attributes,
        }
        trial = create_trial(
            state=TrialState[told.state],
            params=dict(proposal.params),
            distributions={key: distributions[key] for key in proposal.params},
            values=told.values,
            intermediate_values=dict(told.intermediate or {}),
            user_attrs={key: value for key, value in shown.items() if value is not None},
        )
        trial.datetime_start = _local(start)
        if trial.state.is_finished():
            trial.datetime_complete = _local(start + timedelta(seconds=known.seconds))
        yield trial
    for earlier in record.earlier:
        used = _usable(earlier, parameters, _given_in(earlier.params), len(metrics))
        if used is None:
            continue
        trial = create_trial(
            params=dict(used.params),
            distributions={key: distributions[key] for key in used.params},
            values=list(used.values),
            user_attrs={WARM_START: record.settings[WARM_START]},
        )
        trial.datetime_start = trial.datetime_complete = _local(start)
        yield trial


def _local(time: datetime) -> datetime:
    """As Optuna has times: of this machine's time zone, and without saying so."""
    return time.astimezone().replace(tzinfo=None)


def _distribution(one: SearchParameter) -> BaseDistribution:
    if one.choices is not None:
        return CategoricalDistribution(one.choices)
    if one.kind == "int":
        step = 1 if one.log or one.step is None else int(one.step)
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=step)
    return FloatDistribution(one.low, one.high, log=one.log, step=None if one.log else one.step)


def _suggest(trial: optuna.Trial, distribution: BaseDistribution, name: str) -> Any:  # noqa: ANN401
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution():
            return trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        case FloatDistribution():
            return trial.suggest_float(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
    raise TypeError(f"no distribution of ours: {distribution}")


def _drawn(entropy: Sequence[int]) -> int:
    """A seed."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _usable(
    one: Earlier, parameters: Sequence[SearchParameter], active: Active, num_objectives: int
) -> Earlier | None:
    """The result with the active parameters alone; None where it lies outside of the space, or lacks a value."""
    if len(one.values) != num_objectives or not all(map(math.isfinite, one.values)):
        return None
    params = inside(parameters, active, one.params)
    return None if params is None else Earlier(params, one.values)


def _given_in(params: Params) -> Active:
    """Those that have a value are active."""
    return lambda _, name: name in params


def _digest(earlier: Sequence[Earlier]) -> tuple[int, ...]:
    """A number of these results, another one for others; nothing where there are none."""
    if not earlier:
        return ()
    text = json.dumps([[dict(one.params), one.values] for one in earlier])
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"),)


def _num_values(one: SearchParameter) -> float:
    """Infinite where the parameter is continuous."""
    if one.choices is not None:
        return len(one.choices)
    if one.step is None and one.kind == "float":
        return math.inf
    return round((one.high - one.low) / (one.step or 1)) + 1


def _all_values(one: SearchParameter) -> Iterator[Any]:
    if one.choices is not None:
        yield from one.choices
        return
    for index in range(int(_num_values(one))):
        yield one.snap(one.low + index * (one.step or 1))


def _identity(params: Params) -> tuple[tuple[str, Any], ...]:
    """Equal for equal assignments; true is not 1."""
    return tuple((name, repr(value)) for name, value in params.items())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Optuna says of itself (experimental parts, samplers that fall back) concerns nobody who runs a sweep."""
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
