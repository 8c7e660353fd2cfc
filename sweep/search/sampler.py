"""Draws the proposals of a search with Optuna (ask), and takes their outcomes (tell).

Proposal n is a pure function of the seed, n, the earlier results, and what was proposed and told before: each
proposal is drawn by a new Optuna sampler, and nothing is used that such a sampler keeps outside the study. Adding the
logged proposals in their order therefore rebuilds a sampler.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from results.store.search_log import Earlier, Params
from search_spaces.schema import Algorithm
from sweep.search.assignments import MAX_COUNTED, assignments, count_assignments, identity
from sweep.search.mfgp import Progress, rungs_of
from sweep.search.optuna_samplers import Draw, distributions_of, make_sampler, quiet, suggest
from sweep.search.outcomes import WORST, Outcome, usable_result
from sweep.search.settings import IsActive, SearchSettings
from trainable.errors import UserError

IGNORE_OUTCOMES: tuple[Algorithm, ...] = ("grid", "random", "qmc")
"""Algorithms that learn nothing from what they are told."""


class Sampler:
    """Proposals and their outcomes, numbered from 0."""

    def __init__(self, settings: SearchSettings, is_active: IsActive, earlier: Sequence[Earlier] = ()) -> None:
        """
        Args:
            settings: all objectives are minimised.
            is_active: whether a parameter is proposed, given those before it.
            earlier: known results; those outside the space are left out.

        Raises:
            UserError: a grid with infinitely many or too many trials.
        """
        self._parameters = list(settings.parameters)
        self._is_active = is_active
        self._algorithm = settings.search.algorithm
        self._first = settings.first
        self._distributions = distributions_of(self._parameters)
        self._storage = optuna.storages.InMemoryStorage()
        num_objectives = len(settings.objectives)
        with quiet():
            directions = [StudyDirection.MINIMIZE] * num_objectives
            self.study = optuna.create_study(storage=self._storage, study_name=settings.name, directions=directions)
            """Optuna's study: the earlier results, then the proposals."""
        results = [usable_result(result, self._parameters, is_active, num_objectives) for result in earlier]
        used = [result for result in results if result is not None]
        for result in used:
            self._add_trial(TrialState.COMPLETE, result.params, result.values)
        self.num_earlier = len(used)
        """Number of earlier results inside the space."""
        self._entropy = (settings.search.seed, *_digest(used))
        """With the seed alone, a search would repeat the proposals of the search it starts from."""
        self._size = 0
        self._paused: dict[int, Mapping[int, float]] = {}
        self._scheduler = settings.scheduler
        self._max_epochs = 1
        self._running: dict[int, dict[int, float]] = {}
        self._grid = assignments(self._parameters, is_active)
        self._proposed: set[tuple[tuple[str, Any], ...]] = set()
        self._num_assignments = count_assignments(self._parameters, is_active)
        if self._algorithm == "grid" and self._num_assignments is None:
            raise UserError(
                f"search.algorithm grid tries every combination of values, at most {MAX_COUNTED}: here are more"
            )

    def __len__(self) -> int:
        """Return the number of proposals so far."""
        return self._size

    @property
    def is_exhausted(self) -> bool:
        """Whether every assignment of a finite space was proposed."""
        return self._num_assignments is not None and len(self._proposed) >= self._num_assignments

    def ask(self, *, explore: bool = False) -> Params:
        """Return the parameters of the next proposal, which is RUNNING now. The space must not be exhausted.

        Args:
            explore: draw at random, and from what was not proposed yet where the space is finite. It helps where the
                algorithm repeats itself.
        """
        fixed = self._first[self._size] if self._size < len(self._first) else {}
        explore = explore and not fixed
        if self._algorithm == "grid":
            params = self._next_of_grid(fixed)
            self._add_trial(TrialState.RUNNING, params)
        elif explore and self._num_assignments is not None:
            everything = assignments(self._parameters, self._is_active)
            left = [params for params in everything if identity(params) not in self._proposed]
            params = left[int(np.random.default_rng((*self._entropy, self._size)).integers(len(left)))]
            self._add_trial(TrialState.RUNNING, params)
        else:
            params = self._draw("random" if explore else self._algorithm, fixed)
        self._count(params)
        return params

    def add(self, params: Params, *, explore: bool = False) -> None:
        """Add a logged proposal at its position, as RUNNING.

        Args:
            explore: the value that `ask` was called with.
        """
        is_first = self._size < len(self._first)
        if self._algorithm == "cmaes" and (is_first or not explore):  # asking leaves its state in the study
            self._draw("cmaes", params)
        else:
            self._add_trial(TrialState.RUNNING, params)
        self._count(params)

    def pause(self, number: int, curve: Mapping[int, float]) -> None:
        """Set how far a trial has come that is paused: until its outcome is told, it counts as PRUNED there.

        Args:
            curve: epoch -> value of the objective after it.
        """
        self._paused[number] = curve

    def begin(self, epochs: int) -> None:
        """Note that a proposal is to train this number of epochs."""
        self._max_epochs = max(self._max_epochs, epochs)

    def report(self, number: int, epoch: int, value: float | None) -> None:
        """Note a value of a running trial, for samplers that learn from it; None where it is not finite."""
        if value is not None:
            self._running.setdefault(self.num_earlier + number, {})[epoch] = value

    def tell(self, number: int, outcome: Outcome) -> None:
        """Set the outcome of a proposal that has ended."""
        self._paused.pop(number, None)
        position = self.num_earlier + number
        self._running.pop(position, None)
        state, values = outcome.state, outcome.values
        if self._algorithm == "cmaes" and outcome == WORST:  # it passes over pruned trials, and only ranks the others
            state, values = TrialState.COMPLETE, (sys.float_info.max,)
        with quiet():
            study_id = self._storage.get_study_id_from_name(self.study.study_name)
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, position)
            for epoch, value in (outcome.intermediate or {}).items():
                self._storage.set_trial_intermediate_value(trial_id, epoch, value)
            self.study.tell(position, values, state=state)

    def _count(self, params: Params) -> None:
        self._size += 1
        if self._num_assignments is not None:
            self._proposed.add(identity(params))

    def _next_of_grid(self, fixed: Params) -> Params:
        """Return the next assignment, with the fixed values if one is left that has them."""
        for params in assignments(self._parameters, self._is_active) if fixed else ():
            has_them = all(params.get(name, value) == value for name, value in fixed.items())
            if has_them and identity(params) not in self._proposed:
                return params
        return next(params for params in self._grid if identity(params) not in self._proposed)

    def _draw(self, algorithm: Algorithm, fixed: Params) -> Params:
        """Draw a proposal, with the fixed values where these are given."""
        parameters = {parameter.name: parameter for parameter in self._parameters}
        learns = self._paused and algorithm not in IGNORE_OUTCOMES
        study = self._study_of_paused() if learns else self.study
        draw = Draw(
            self._size,
            self._entropy,
            study,
            self.num_earlier,
            parameters,
            self._distributions,
            self._is_active,
            Progress(rungs_of(self._scheduler, self._max_epochs), self._running),
        )
        with quiet():
            study.sampler = make_sampler(algorithm, draw)
            if fixed:
                study.enqueue_trial(dict(fixed))
            trial = study.ask()
            if algorithm == "cmaes":  # it leaves its state in the study, even if all values are fixed
                _ = trial.relative_params
            chosen: dict[str, Any] = {}
            for name in parameters:
                if self._is_active(chosen, name):
                    chosen[name] = suggest(trial, self._distributions[name], name)
        if study is not self.study:
            self._add_trial(TrialState.RUNNING, chosen, attributes=study.get_trials(deepcopy=False)[-1].system_attrs)
        return chosen

    def _study_of_paused(self) -> optuna.Study:
        """Return a copy of the study in which paused trials are PRUNED, which Optuna could not take back.

        As RUNNING trials they would count as bad, and in the end only few would not be paused.
        """
        trials = self.study.get_trials()
        for number, curve in self._paused.items():
            trial = trials[self.num_earlier + number]
            trial.state, trial.intermediate_values = TrialState.PRUNED, dict(curve)
            trial.datetime_complete = trial.datetime_start
        with quiet():
            study = optuna.create_study(study_name=self.study.study_name)
            study.add_trials(trials)
        return study

    def _add_trial(
        self,
        state: TrialState,
        params: Mapping[str, Any],
        values: Sequence[float] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a trial to the study, with the state that CMA-ES has left in its attributes."""
        distributions = {name: self._distributions[name] for name in params}
        with quiet():
            self.study.add_trial(
                create_trial(
                    state=state,
                    params=dict(params),
                    distributions=distributions,
                    values=values,
                    system_attrs=dict(attributes or {}),
                )
            )


def _digest(results: Sequence[Earlier]) -> tuple[int, ...]:
    """Return a number that depends on all results; nothing where there are none."""
    if not results:
        return ()
    text = json.dumps([[dict(result.params), result.values] for result in results])
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"),)
