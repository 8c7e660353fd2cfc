"""A declared search: its parameters, and the trial that each proposal of values stands for."""

import contextlib
import dataclasses
import functools
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from models.user_code import UserCode
from search_spaces.expressions import Expression, operands_of
from search_spaces.loader import LoadedSpace
from search_spaces.parameters import (
    Assignment,
    SearchParameter,
    check_condition_names,
    first_points,
    make_parameter,
    parse_conditions,
)
from search_spaces.schema import ObjectiveSpec, Parameter, Scalar, Scale, SchedulerSpec, Space
from search_spaces.search_checks import (
    NO_PARAMETERS,
    PASSED_OVER,
    at_scale,
    check_algorithm,
    check_population,
)
from search_spaces.trial_maker import PARAMETERS, TrialMaker, assignment_words, field_defaults
from search_spaces.unused import Point, causes, is_used, make_point, no_effect_words, unused_note
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.config import FIELD_NAMES, RECIPE_VERSION, SHARED_HOLDOUT, PlannedTrial, field_kind, is_field
from trainable.errors import FieldError, UserError, located
from trainable.wording import counted

DEFAULT_HOLDOUT = 0.1
"""Fraction of the training images that guides a search, unless the space gives another one."""
MAX_CORNERS = 1000
"""Largest number of combinations of the parameters' ends that are checked."""
NUM_TRIED = 10
"""Number of random proposals that are made into trials as a check."""
NUM_DRAWN = 1000
"""Number of random proposals among which each condition must be true at least once."""


class ProposalMaker:
    """A search as declared, at one scale and with --set applied: its parameters, and the trials of proposals.

    A parameter that --set fixes is not searched. Neither is one that only fed a derived field that --set fixes.
    """

    idle_brackets: str | None = None
    """Why the search must not begin: some of its brackets would stop no trial. None if each may stop some."""

    def __init__(self, loaded: LoadedSpace, overrides: Mapping[str, Any], scale: str | None = None) -> None:
        """Read the declared search and check it.

        Raises:
            UserError: Something is wrong that can be seen before anything is proposed, values at the ends of the
                parameters included.
        """
        space, source = loaded.space, loaded.source
        if space.search is None or space.parameters is None:
            raise UserError(f"{source.path}: the space is not a search")
        conditions = parse_conditions(space.parameters, source)
        check_condition_names(space.parameters, conditions, source, ignored=FIELD_NAMES)
        self._maker = TrialMaker(loaded, overrides, scale, conditions)
        check_condition_names(space.parameters, conditions, source)
        self._maker.defaults.setdefault("holdout", DEFAULT_HOLDOUT)
        self._overrides, self._given_first = overrides, space.first or []
        changes = Scale.model_construct() if scale is None else space.scales[scale]
        self.search = at_scale(space.search, changes.search)
        self.scheduler = at_scale(space.scheduler or SchedulerSpec(type="none"), changes.scheduler)
        self.confirm = None if space.confirm is None else at_scale(space.confirm, changes.confirm)
        self.objectives = tuple(space.objective or [ObjectiveSpec()])
        derived = [*space.derive.items(), *changes.derive.items()]
        self.derived = [(key, text) for key, text in derived if key not in overrides]
        """Fields and their expressions; those of the scale come last."""
        self.fixed: dict[str, Any] = {
            "defaults": dict(self._maker.defaults),
            "derive": dict(space.derive),
            "set": dict(overrides),
            "scale": None if scale is None else {"set": dict(changes.set), "derive": dict(changes.derive)},
        }
        """Plain JSON: everything but the parameters that decides which trial a proposal is."""
        self.parameters = self._searched(space.parameters, conditions, source)
        self._rows = {parameter.name: parameter.rows for parameter in self.parameters if parameter.rows}
        if not self.parameters:
            raise UserError(f"--set: nothing is left of {loaded.name!r} to search for: give fewer of its parameters")
        self.first = first_points(self._given_first, space.parameters, self.parameters, self.active, source)
        """Values of the first proposals; the sampler chooses the parameters that they lack."""
        check_algorithm(self.search.algorithm, len(self.parameters) - len(self.drawn_at_random), source)
        self._check_defaults(space, source)
        assignments = self._corner_assignments()
        self._check_conditions(source, assignments)
        self._recipe_version = RECIPE_VERSION
        self.corners = [self.trial(assignment) for assignment in assignments]
        """The trials at the ends of the parameters. If these are too many, one parameter is varied at a time."""
        for name in ("holdout", "test_subset", "seed"):
            if self._varies(name):
                where = self._maker.where(PARAMETERS, name)
                raise UserError(f"{where}: cannot depend on a parameter of a search: {NO_PARAMETERS[name]}")
        if self._varies("train_subset"):
            self._recipe_version = self.fixed["recipe_version"] = SHARED_HOLDOUT
            self.corners = [self.trial(assignment) for assignment in assignments]
        self._check_whole_numbers()
        self._unused = self._find_unused(source, assignments, may_refuse=scale is None and not overrides)
        self._check_first()
        if self.scheduler.type == "pbt":
            configs = [corner.config for corner in self.corners]
            check_population(self.search, self.scheduler, self.confirm, configs, len(self.first), source)
        if self.scheduler.type != "none":
            self._check_epochs(source, scale)

    @property
    def num_trials(self) -> int:
        """Largest number of different configurations that the search tries."""
        return self.search.num_trials or math.prod(len(parameter.ends) for parameter in self.parameters)

    @property
    def num_seeds(self) -> int:
        """Number of seeds with which each configuration is trained."""
        return self.objectives[0].seeds

    @property
    def sources(self) -> tuple[UserCode, ...]:
        """Sources of the models and losses of the user's own that the trials need."""
        return self._maker.sources

    @property
    def notes(self) -> list[str]:
        """What `first` asks for and the search does not do, and which parameters some trials do not use."""
        given = self._given_first
        num_repeated = sum(point in given[:index] for index, point in enumerate(given))
        points = counted(num_repeated, "point is", "points are")
        notes = [f"first: {points} left out, equal to an earlier one"] if num_repeated else []
        if len(self.first) > self.num_trials:
            trials = counted(self.num_trials, "trial")
            notes.append(f"first: of {len(self.first)} different points some are not tried: the search has {trials}")
        return notes + self._unused

    @property
    def drawn_at_random(self) -> list[str]:
        """Parameters that the algorithm draws at random, although it learns about others."""
        passed_over = PASSED_OVER.get(self.search.algorithm, ())
        return [
            parameter.name
            for parameter in self.parameters
            if (parameter.when is not None and "when" in passed_over)
            or (parameter.choices is not None and "values" in passed_over)
        ]

    @property
    def is_scaled(self) -> bool:
        """Whether trials are trained at another size than they are proposed."""
        return self._maker.scaling is not None

    @property
    def max_epochs(self) -> int:
        """Largest number of epochs of a trial."""
        return max(trial.config.epochs for trial in self.corners)

    def active(self, assignment: Assignment, name: str) -> bool:
        """Whether the condition of a parameter is true.

        Args:
            assignment: values of the active parameters before this one; others are ignored.

        Raises:
            UserError: The condition cannot be computed.
        """
        when = next(parameter.when for parameter in self.parameters if parameter.name == name)
        if when is None:
            return True
        known = {**field_defaults(), **self._maker.defaults, **self._overrides, **self._written_out(assignment)}
        with located(self._maker.source.where((*PARAMETERS, name, "when"))):
            return bool(when.compute(operands_of(known)))

    def assignment(self, values: Assignment) -> dict[str, Scalar]:
        """The values of the active parameters, in the parameters' order.

        Raises:
            UserError: A condition cannot be computed.
        """
        chosen: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if self.active(chosen, parameter.name):
                chosen[parameter.name] = values[parameter.name]
        return chosen

    def trial(self, assignment: Assignment) -> PlannedTrial:
        """The trial of a proposal. Values of inactive parameters are ignored.

        Raises:
            UserError: The configuration is impossible. The message names file, line and key, and the proposal.
        """
        chosen = self.assignment(assignment)
        try:
            paths = self._paths_in_rows(chosen)
            config, variables = self._maker.make(PARAMETERS, self._written_out(chosen), paths)
            if config.holdout == 0:
                message = f"holdout must be above 0 to steer a search, for example {DEFAULT_HOLDOUT:g}, got 0"
                raise FieldError("holdout", f"{self._maker.where(PARAMETERS, 'holdout')}: {message}")
        except FieldError as error:
            suffix = "" if error.field in chosen else f" (proposed: {assignment_words(chosen)})"
            raise FieldError(error.field, f"{error}{suffix}") from None
        except UserError as error:
            raise UserError(f"{error} (proposed: {assignment_words(chosen)})") from None
        config = dataclasses.replace(config, recipe_version=self._recipe_version)
        variables |= {name: text for name, text in chosen.items() if name in self._rows and isinstance(text, str)}
        return PlannedTrial(config, 0, variables, location=functools.partial(self._where, paths))

    def _written_out(self, assignment: Assignment) -> dict[str, Any]:
        """The values of an assignment, with those of a row in place of its name."""
        values: dict[str, Any] = {}
        for name, value in assignment.items():
            values |= self._rows[name][str(value)] if name in self._rows else {name: value}
        return values

    def _paths_in_rows(self, chosen: Assignment) -> dict[str, KeyPath]:
        """Field -> path of the chosen row that gives it its value."""
        paths: dict[str, KeyPath] = {}
        for name in chosen.keys() & self._rows.keys():
            index = list(self._rows[name]).index(str(chosen[name]))
            paths |= dict.fromkeys(self._rows[name][str(chosen[name])], (*PARAMETERS, name, "rows", index))
        return paths

    def _where(self, paths: Mapping[str, KeyPath], field: str | None) -> str:
        return self._maker.where(paths.get(str(field), PARAMETERS), field)

    def draw(self, rng: random.Random) -> dict[str, Scalar]:
        """Draw an assignment at random."""
        return self.assignment({parameter.name: parameter.draw(rng) for parameter in self.parameters})

    def _searched(
        self, declared: Mapping[str, Parameter], conditions: Mapping[str, Expression], source: YamlSource
    ) -> list[SearchParameter]:
        """The parameters that --set leaves to the search."""
        in_conditions = {name for condition in conditions.values() for name in condition.names}
        used = {*FIELD_NAMES, *self._maker.operand_names, *in_conditions}
        return [
            make_parameter(name, spec, conditions.get(name), source)
            for name, spec in declared.items()
            if any(key not in self._overrides and (key in used or is_field(key)) for key in spec.fields or [name])
        ]

    def _corner_assignments(self) -> list[dict[str, Scalar]]:
        """Different assignments, with every parameter at one of its ends."""
        ends = {parameter.name: parameter.ends for parameter in self.parameters}
        points: Iterable[dict[str, Scalar]]
        if math.prod(len(values) for values in ends.values()) <= MAX_CORNERS:
            points = (dict(zip(ends, point, strict=True)) for point in itertools.product(*ends.values()))
        else:
            bases = [{name: values[index] for name, values in ends.items()} for index in (0, -1)]
            points = ({**base, name: value} for base in bases for name, values in ends.items() for value in values)
        distinct: dict[str, dict[str, Scalar]] = {}
        for point in points:
            chosen = self.assignment(point)
            distinct.setdefault(repr(chosen), chosen)
        return list(distinct.values())

    def _check_defaults(self, space: Space, source: YamlSource) -> None:
        """Refuse a conditional parameter that has no value where its condition is false."""
        for parameter in self.parameters:
            if parameter.when is not None and not (is_field(parameter.name) or parameter.name in space.defaults):
                raise UserError(
                    f"{source.where((*PARAMETERS, parameter.name, 'when'))}: {parameter.name!r} has no value where "
                    "this is false: give one in defaults"
                )

    def _check_conditions(self, source: YamlSource, corners: Iterable[Assignment]) -> None:
        """Refuse a condition that is never true, for example one with a word that is no choice."""
        proposed = {name for assignment in corners for name in assignment}
        always = {parameter.name for parameter in self.parameters if parameter.when is None}
        for parameter in self.parameters:
            name, when = parameter.name, parameter.when
            if when is None or name in proposed or not when.names <= always:
                continue  # a condition over a parameter that --set fixes may be false
            rng = random.Random(0)  # noqa: S311 (no secret)
            if not any(name in self.draw(rng) for _ in range(NUM_DRAWN)):
                values = "; ".join(f"{used}: {self._range_words(used)}" for used in sorted(when.names))
                raise UserError(
                    f"{source.where((*PARAMETERS, name, 'when'))}: is never true, the values above are {values}"
                )

    def _varies(self, name: str) -> bool:
        """Whether trials differ in a training field: at the parameters' ends, or between them.

        Between them it can differ only where it is derived, or proposed under a condition.
        """
        values = {getattr(corner.config, name) for corner in self.corners}
        conditional = {key for parameter in self.parameters if parameter.when is not None for key in parameter.keys}
        rng = random.Random(0)  # noqa: S311 (no secret)
        for _ in range(NUM_TRIED if name in {*dict(self.derived), *conditional} else 0):
            with contextlib.suppress(UserError):
                values.add(getattr(self.trial(self.draw(rng)).config, name))
        return len(values) > 1

    def _check_first(self) -> None:
        """Refuse points of `first` that make no trial; one that lacks a parameter is passed over."""
        for point in self.first:
            with contextlib.suppress(KeyError):
                self.trial(point)

    def _check_whole_numbers(self) -> None:
        """Try random proposals: a derived field of whole numbers may be whole at the ends by chance only."""
        whole = [key for key, _ in self.derived if field_kind(key) == "int"]
        rng = random.Random(0)  # noqa: S311 (no secret)
        for _ in range(NUM_TRIED if whole else 0):
            try:
                self.trial(self.draw(rng))
            except FieldError as error:
                if error.field in whole:
                    raise FieldError(error.field, f"{error}: derive a whole number with round(...)") from None

    def _find_unused(self, source: YamlSource, assignments: Sequence[Assignment], *, may_refuse: bool) -> list[str]:
        """Say where a parameter has no effect, and refuse one that never has any."""
        notes: list[str] = []
        pairs = [(assignment, corner.config) for assignment, corner in zip(assignments, self.corners, strict=True)]
        for parameter in self.parameters:
            name = parameter.name
            points = [make_point(config, self._written_out(values)) for values, config in pairs if name in values]
            if not points or is_used(name, points) or is_used(name, self._drawn_points(name)):
                note = unused_note(parameter, points, self.parameters)
                notes += [] if note is None else [note]
            elif may_refuse:
                where = source.where((*PARAMETERS, name))
                raise UserError(f"{where}: {no_effect_words(causes(name, points))}: leave it out")
            else:
                notes.append(f"{name} {no_effect_words(causes(name, points))}")
        return notes

    def _drawn_points(self, name: str) -> Iterator[Point]:
        """Points of random proposals that have this parameter."""
        rng = random.Random(0)  # noqa: S311 (no secret)
        for values in (self.draw(rng) for _ in range(NUM_DRAWN)):
            with contextlib.suppress(UserError):
                if name in values:
                    yield make_point(self.trial(values).config, self._written_out(values))

    def _range_words(self, name: str) -> str:
        parameter = next(parameter for parameter in self.parameters if parameter.name == name)
        return (" to " if parameter.choices is None else ", ").join(map(str, parameter.ends))

    def _check_epochs(self, source: YamlSource, scale: str | None) -> None:
        """Refuse a scheduler that could never stop a trial, or would compare trials of different lengths."""
        if self._varies("epochs"):
            raise UserError(
                f"{self._maker.where(PARAMETERS, 'epochs')}: differs between trials, which {self.scheduler.type} "
                "compares after equal epochs, at different points of their lr schedules: give epochs in defaults, or "
                "scheduler: {type: none}"
            )
        grace = self.scheduler.grace_epochs
        if self.scheduler.type != "pbt" and grace >= self.max_epochs:
            where = self._where_in_scheduler(source, scale, "grace_epochs")
            raise UserError(
                f"{where}: grace_epochs {grace} is not below the {counted(self.max_epochs, 'epoch')} of a trial: "
                "nothing would be stopped; lower it, or scheduler: {type: none}"
            )
        self.idle_brackets = self._idle_brackets(source, scale)

    def _idle_brackets(self, source: YamlSource, scale: str | None) -> str | None:
        """Say that brackets have no rung before the last epoch; None if all have one."""
        spec = self.scheduler
        grace, factor, brackets = spec.grace_epochs, spec.reduction_factor, spec.brackets
        if brackets == 1 or grace * factor ** (brackets - 1) < self.max_epochs:
            return None
        most = sum(grace * factor**first < self.max_epochs for first in range(brackets))
        return (
            f"{self._where_in_scheduler(source, scale, 'brackets')}: {brackets} brackets are too many for the "
            f"{counted(self.max_epochs, 'epoch')} of a trial: in the last of them nothing would be stopped; "
            f"give brackets: {most}"
        )

    def _where_in_scheduler(self, source: YamlSource, scale: str | None, key: str) -> str:
        paths = [("scales", scale or "", "scheduler", key), ("scheduler", key), ("scheduler",)]
        return source.where(next((path for path in paths if path in source.lines), ()))
