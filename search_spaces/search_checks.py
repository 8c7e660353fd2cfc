"""Checks of a declared search across its sections, which raise UserErrors, and its sections at a scale."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from search_spaces.schema import (
    EXAMPLES,
    SCHEDULER_KEYS,
    Algorithm,
    ConfirmSpec,
    SchedulerSpec,
    SearchSpec,
    Space,
)
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.config import FIELD_NAMES, TrainConfig
from trainable.errors import UserError

Spec = TypeVar("Spec", bound=BaseModel)
ONLY_FOR_SEARCH = ("parameters", "first", "scheduler", "objective", "confirm")
"""Sections that only a search has, besides `search` itself."""
LISTS = ("milestones", "betas")
NO_PARAMETERS = {
    "holdout": "its images guide the search: give it in defaults",
    "dataset": "a sweep has one data set: give it in defaults",
    "test_subset": "errors on different images cannot be compared: give it in defaults",
    **dict.fromkeys(
        LISTS, "a parameter is a number or a word, not a list: give them in defaults, or in rows of a parameter"
    ),
    "seed": "a search over seeds would select by luck: confirm: {top: 3, repeats: 3} trains the best with three",
}
"""Training fields that a search cannot propose, and the reason."""
SAME_IN_POPULATION = ("model", "model_args", "optimizer", "precision", "train_subset", "epochs")
"""Training fields that must be equal in a population, because members inherit states and are compared."""
WITHOUT_MEMORY = ("random", "qmc")
"""Algorithms for a population, whose first members are proposed before any result is known."""
LEARN_FROM_COMPLETE = ("gp", "cmaes")
"""Optuna's samplers that learn nothing from the curve of a stopped trial."""
PASSED_OVER: dict[Algorithm, tuple[str, ...]] = {"gp": ("when",), "cmaes": ("when", "values")}
"""Keys of a parameter that make the algorithm draw it at random."""
ONE_OBJECTIVE = ("cmaes", "mfgp")
"""Algorithms that cannot search with two objectives."""
MIN_FOR_CMAES = 2
"""Smallest number of parameters for cmaes; Optuna draws a single one at random."""
WITHOUT_SEEDS = ("pbt", "promotion")
"""Schedulers under which a configuration is one training."""
COST = "train_seconds"
"""The metric that can only be the second of two objectives."""


def check_search(space: Space, source: YamlSource) -> None:
    """Check that the sections of a space go together."""
    if space.search is None:
        for key in ONLY_FOR_SEARCH:
            if getattr(space, key) is not None:
                _refuse(source, (key,), f"belongs to a search: add search: {EXAMPLES['search']}")
    else:
        _check_sections(space, source)
        _check_scheduler(space, space.search, source)
        _check_objective(space, space.search, source)
        _check_parameters(space, space.search, source)
    _check_scales(space, source)


def at_scale(spec: Spec, changes: BaseModel | None) -> Spec:
    """The section of a search with the changes of a scale, if there are any."""
    return spec.model_copy(update=_given(changes))


def check_algorithm(algorithm: Algorithm, num_learnt: int, source: YamlSource) -> None:
    """Refuse an algorithm that would draw everything at random.

    Args:
        num_learnt: number of parameters that are not drawn at random.
    """
    if algorithm == "cmaes" and num_learnt < MIN_FOR_CMAES:
        keys = " or ".join(PASSED_OVER[algorithm])
        message = f"{algorithm} draws parameters with {keys} at random and needs at least {MIN_FOR_CMAES} others"
        _refuse(source, ("search", "algorithm"), f"{message}, not {num_learnt}: use algorithm: tpe")


def check_population(
    search: SearchSpec,
    scheduler: SchedulerSpec,
    confirm: ConfirmSpec | None,
    corners: Sequence[TrainConfig],
    num_first: int,
    source: YamlSource,
) -> None:
    """Refuse what population based training cannot search.

    Args:
        search, scheduler, confirm: the sections at the scale that is run.
        corners: configurations at the ends of the parameters.
        num_first: number of proposals that the space gives.
    """
    size, num_trials = scheduler.population, search.num_trials or 0
    if search.algorithm not in WITHOUT_MEMORY:
        message = "a population begins at random: algorithm: random (or qmc)"
        _refuse(source, ("search", "algorithm"), message)
    if confirm is not None:
        message = "pbt finds a schedule, not a configuration that could be trained again: leave confirm out"
        _refuse(source, ("confirm",), message)
    if num_trials % size or num_trials < 2 * size:
        fitting = max(2, num_trials // size) * size
        message = (
            f"num_trials counts a trial for each member and generation: a multiple of population {size}, "
            f"for example {fitting}, got {num_trials}"
        )
        _refuse(source, ("search",), message)
    if num_first > size:
        _refuse(source, ("first",), f"holds {num_first} points: the first generation of the population has {size}")
    for name in SAME_IN_POPULATION:
        if len({getattr(config, name) for config in corners}) > 1:
            _refuse(source, ("parameters",), f"{name} must be the same in all of a population")
    if any(config.warmup_epochs is not None for config in corners):
        _refuse(source, ("scheduler",), "pbt would warm up anew in each generation: leave warmup_epochs out")
    if any(config.schedule != "constant" for config in corners):
        path = ("defaults", "schedule") if ("defaults", "schedule") in source.lines else ("scheduler",)
        _refuse(source, path, "pbt finds the schedule itself, from constant pieces: schedule: constant in defaults")


def _given(changes: BaseModel | None) -> dict[str, int]:
    return {} if changes is None else changes.model_dump(exclude_none=True)


def _check_sections(space: Space, source: YamlSource) -> None:
    for key in ("rows", "grid", "parts"):
        if getattr(space, key) is not None:
            _refuse(source, (key,), f"a search proposes its trials: give either {key}, or search and parameters")
    if space.parameters is None:
        _refuse(source, ("search",), f"needs parameters, for example parameters: {EXAMPLES['parameters']}")
    if "repeats" in space.model_fields_set:
        _refuse(source, ("repeats",), "is not for a search: confirm: {top: 3, repeats: 3} repeats the best")


def _check_scheduler(space: Space, search: SearchSpec, source: YamlSource) -> None:
    is_stopping = space.scheduler is not None and space.scheduler.type != "none"
    if is_stopping and search.algorithm in LEARN_FROM_COMPLETE:
        _refuse(
            source,
            ("scheduler",),
            f"leaves {search.algorithm} little to learn from, because it ignores stopped trials: "
            "leave the scheduler out, or use algorithm: mfgp",
        )


def _check_objective(space: Space, search: SearchSpec, source: YamlSource) -> None:
    metrics = [objective.metric for objective in space.objective or ()]
    if metrics and metrics[0] == COST:
        other = "[{metric: holdout_error_percent}, {metric: train_seconds}]"
        _refuse(source, ("objective",), f"{COST} can only be the second of two objectives: objective: {other}")
    has_seeds = any(objective.seeds > 1 for objective in space.objective or ())
    if has_seeds and space.scheduler is not None and space.scheduler.type in WITHOUT_SEEDS:
        message = f"is not for {space.scheduler.type}, which compares single trainings: leave seeds out, or use asha"
        _refuse(source, ("objective", "seeds"), message)
    if len(metrics) < 2:
        return
    if has_seeds:
        _refuse(source, ("objective",), "two objectives are of single trainings: leave seeds out, or one objective")
    if metrics[0] == metrics[1]:
        _refuse(source, ("objective", 1), f"{metrics[1]} is given twice: leave one out")
    if search.algorithm in ONE_OBJECTIVE:
        _refuse(source, ("search", "algorithm"), f"{search.algorithm} has one objective: algorithm: tpe can have two")
    if space.scheduler is not None and space.scheduler.type != "none":
        _refuse(
            source, ("scheduler",), "compares trials by one objective: leave it out, or one of the two objectives"
        )


def _check_parameters(space: Space, search: SearchSpec, source: YamlSource) -> None:
    for name, parameter in (space.parameters or {}).items():
        path: KeyPath = ("parameters", name)
        if name in NO_PARAMETERS:
            _refuse(source, path, f"cannot be a parameter of a search: {NO_PARAMETERS[name]}")
        if search.algorithm == "grid" and parameter.values is None and parameter.rows is None:
            _refuse(source, path, "algorithm grid needs values: [...] in place of min and max")
        for key, values in (("values", parameter.values), ("rows", parameter.rows)):
            if values is not None and len(values) == 1 and parameter.when is None:
                alone = f"{key} has only one entry, {values[0]!r}"
                _refuse(source, path, f"{alone}: give a second one, or move it to defaults")
        _check_rows(space, name, source)
        if name in space.defaults and parameter.when is None:
            _refuse(source, ("defaults", name), "is a parameter too: leave it out here")


def _check_rows(space: Space, name: str, source: YamlSource) -> None:
    """Check that the rows of a parameter give values to other keys than the parameters."""
    parameters = space.parameters or {}
    others = {key for other, spec in parameters.items() if other != name for key in (other, *spec.fields)}
    for index, row in enumerate(parameters[name].rows or ()):
        if name in FIELD_NAMES:
            _refuse(source, ("parameters", name), "is a training field: give its rows another name, such as recipe")
        for key in row:
            path: KeyPath = ("parameters", name, "rows", index, key)
            if key in NO_PARAMETERS and key not in LISTS:
                _refuse(source, path, f"cannot be a parameter of a search: {NO_PARAMETERS[key]}")
            if key in {*others, name}:
                _refuse(source, path, "is a parameter too: leave one of them out")


def _check_scales(space: Space, source: YamlSource) -> None:
    for name, scale in space.scales.items():
        for section in ("search", "scheduler", "confirm"):
            if getattr(scale, section) is not None and getattr(space, section) is None:
                _refuse(source, ("scales", name, section), f"the space has no {section} of its own")
        for key in scale.set:
            if key in (space.parameters or ()):
                _refuse(
                    source, ("scales", name, "set", key), "is a parameter: the scale would leave nothing to search"
                )
        kind = "none" if space.scheduler is None else space.scheduler.type
        for key in _given(scale.scheduler):
            if key not in SCHEDULER_KEYS[kind]:
                message = f"is not a key of {kind}, which has {', '.join(SCHEDULER_KEYS[kind]) or 'no keys'}"
                _refuse(source, ("scales", name, "scheduler", key), message)


def _refuse(source: YamlSource, path: KeyPath, message: str) -> None:
    raise UserError(f"{source.where(path)}: {message}")
