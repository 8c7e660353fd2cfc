"""The settings of a search: everything that decides which trials it proposes and stops."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.user_code import split_reference
from results.store import search_settings as keys
from results.store.journal import Journal
from results.store.search_log import Params, read_log
from search_spaces.parameters import SearchParameter
from search_spaces.schema import SCHEDULER_KEYS, ConfirmSpec, ObjectiveSpec, SchedulerSpec, SearchSpec
from trainable.errors import UserError

IsActive = Callable[[Params, str], bool]
"""Whether a parameter is proposed at all, given the values of the parameters before it."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What is searched and how, as the space declares it."""

    name: str
    """Name of the sweep."""
    num_trials: int
    """Number of different configurations to train."""
    search: SearchSpec
    parameters: Sequence[SearchParameter]
    objectives: Sequence[ObjectiveSpec]
    """One or two; the scheduler sees the first."""
    scheduler: SchedulerSpec
    confirm: ConfirmSpec | None = None
    trial: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else makes a trial out of parameters (defaults, derive, overrides, scale, data set), as plain JSON."""
    first: Sequence[Params] = ()
    """Values of the first proposals; the sampler chooses the parameters that they lack."""

    @property
    def metrics(self) -> list[str]:
        """The metric of each objective."""
        return [objective.metric for objective in self.objectives]

    def canonical(self) -> dict[str, Any]:
        """Return the settings as plain JSON, as the log holds them. Equal searches give equal values."""
        values = {
            **self.search.model_dump(),
            keys.NUM_TRIALS: self.num_trials,
            keys.PARAMETERS: {parameter.name: _logged(parameter) for parameter in self.parameters},
            keys.OBJECTIVE: [
                objective.model_dump(exclude={keys.SEEDS} if objective.seeds == 1 else None)
                for objective in self.objectives
            ],
            keys.SCHEDULER: self.scheduler.model_dump(include={"type", *SCHEDULER_KEYS[self.scheduler.type]}),
            keys.CONFIRM: None if self.confirm is None else self.confirm.model_dump(),
            keys.TRIAL: dict(self.trial),
            **({keys.FIRST: [dict(point) for point in self.first]} if self.first else {}),
        }
        return dict(json.loads(json.dumps(values, allow_nan=False)))


def logged_parameters(settings: Mapping[str, Any]) -> list[SearchParameter]:
    """Return the parameters in the settings of a log, without their conditions."""
    parameters = []
    for name, values in settings[keys.PARAMETERS].items():
        known = {key: value for key, value in values.items() if key != keys.WHEN}
        if keys.CHOICES in known:
            known[keys.CHOICES] = tuple(known[keys.CHOICES])
        parameters.append(SearchParameter(name, **known))
    return parameters


def check_resumable(settings: SearchSettings, log: Journal) -> None:
    """Check that the log, if there is one, belongs to the search with these settings.

    Raises:
        UserError: the log is damaged, or belongs to a search with other settings.
    """
    begun = read_log(log, up_to_damage=True).settings
    if begun:
        check_same_search(settings.name, begun, settings.canonical())


def check_same_search(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that two canonical settings describe the same search.

    `num_trials` may grow and `confirm` may change: neither has a part in what was proposed.

    Raises:
        UserError: they describe different searches.
    """
    if now[keys.NUM_TRIALS] < was[keys.NUM_TRIALS]:
        raise UserError(
            f"search {name} was begun with num_trials {was[keys.NUM_TRIALS]}, which may grow: "
            f"{now[keys.NUM_TRIALS]} is fewer; give another --name for a smaller search"
        )
    if keys.RECIPE_VERSION in now[keys.TRIAL] and keys.RECIPE_VERSION not in was[keys.TRIAL]:
        raise UserError(
            f"search {name} was begun by an earlier version, which judged trials of different train_subset by "
            "different images: give another --name to search again"
        )
    free = {keys.NUM_TRIALS: None, keys.CONFIRM: None}
    if {**was, **free} != {**now, **free}:
        told = _option_difference(was[keys.TRIAL].get(keys.OVERRIDES, {}), now[keys.TRIAL].get(keys.OVERRIDES, {}))
        told = told or _changed_source(was[keys.TRIAL].get("sources", {}), now[keys.TRIAL].get("sources", {}))
        told = told or _difference("", {**was, **free}, {**now, **free}).removeprefix(f"{keys.TRIAL}.")
        raise UserError(
            f"search {name} was begun with other settings: {told}; put that back, or give another --name (with "
            f"warm_start: {name} it begins with these results)"
        )


def _logged(parameter: SearchParameter) -> dict[str, Any]:
    """Return a parameter as plain JSON, without the keys that do not apply to it."""
    values: dict[str, Any] = {keys.KIND: parameter.kind}
    if parameter.choices is not None:
        values[keys.CHOICES] = list(parameter.choices)
    else:
        values |= {key: getattr(parameter, key) for key in (keys.LOW, keys.HIGH, keys.STEP, keys.LOG)}
    return values | ({} if parameter.when is None else {keys.WHEN: parameter.when.text})


def _changed_source(was: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Name the first model or loss of the user's own whose file has another content now; None if none has."""
    changed = [reference for reference in was if reference in now and was[reference] != now[reference]]
    return f"the content of {split_reference(changed[0])[0]} has changed" if changed else None


def _option_difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Describe the first --set that differs; None if none does."""
    for key in [*was, *now]:
        given = [f"--set {key}={json.dumps(values[key])}" for values in (was, now) if key in values]
        if len(given) == 1:
            return f"{given[0]} is {'new' if key in now else 'missing now'}"
        if given[0] != given[1]:
            return f"{given[0]} has become {given[1]}"
    return None


def _difference(path: str, was: Any, now: Any) -> str:  # noqa: ANN401
    """Describe the first place at which two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        key = next(key for key in [*now, *was] if key not in was or key not in now or was[key] != now[key])
        inner = f"{path}.{key}" if path else key
        if key in was and key in now:
            return _difference(inner, was[key], now[key])
        return f"{inner} is {'new' if key in now else 'gone'}"
    return f"{path} was {was!r} and is {now!r} now"
