"""The parameters of a search, and what becomes of values for them: one planned trial."""

import dataclasses
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from search_spaces.expressions import Expression, operands_of
from search_spaces.loader import LoadedSpace
from search_spaces.schema import ObjectiveSpec, Parameter, Scalar
from search_spaces.search_checks import (
    PASSED_OVER,
    check_algorithm,
    check_population,
    scaled_confirm,
    scaled_scheduler,
    scaled_search,
)
from search_spaces.trial_maker import PARAMETERS, TrialMaker, field_defaults
from search_spaces.yaml_source import YamlSource
from trainable.config import FIELD_NAMES, PlannedTrial, TrainConfig, field_kind
from trainable.errors import FieldError, UserError, located
from trainable.rounding import round_significant
from trainable.wording import format_value, nearest

STEP_DIGITS = 12
"""That a quantised value keeps: 0.1 + 2 * 0.1 is 0.3."""
DEFAULT_HOLDOUT = 0.1
"""Fraction of the training images that steer a search, where the space does not say otherwise."""
MAX_CORNERS = 1000
"""Combinations of the parameters' ends that are looked at."""
NUM_TRIED = 10
"""Proposals at random that are made into trials."""
NUM_DRAWN = 1000
"""Proposals at random among which a condition must be true once."""

Assignment = Mapping[str, Scalar]


@dataclasses.dataclass(frozen=True, slots=True)
class SearchParameter:
    """What a search may propose for one key."""

    name: str
    """A training field, or a name that `derive` uses."""
    kind: Literal["float", "int", "categorical"]
    low: float = math.nan
    """The smallest value, itself allowed; not a number where the kind is categorical, as `high`."""
    high: float = math.nan
    """The largest value, itself allowed; with a step it is a whole number of steps from `low`."""
    step: float | None = None
    """None for a continuous float; 1 for an int unless the space says otherwise."""
    log: bool = False
    """Whether equal ratios are equally likely, not equal differences."""
    choices: tuple[Scalar, ...] | None = None
    """Of a categorical parameter, distinct; None else."""
    when: Expression | None = None
    """The parameter is proposed only where this is true of those before it; None: always."""

    def snap(self, value: float) -> float:
        """The value of the parameter's range that is nearest: whole where the kind is int, a number of steps."""
        if self.step is not None:
            value = round_significant(self.low + round((value - self.low) / self.step) * self.step, STEP_DIGITS)
        value = min(max(value, self.low), self.high)
        return round(value) if self.kind == "int" else value

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The choices, or the smallest and the largest value."""
        return (self.snap(self.low), self.snap(self.high)) if self.choices is None else self.choices

    def draw(self, dice: random.Random) -> Scalar:
        """A value at random, by the parameter's distribution."""
        if self.choices is not None:
            return dice.choice(self.choices)
        if self.log:
            return self.snap(math.exp(dice.uniform(math.log(self.low), math.log(self.high))))
        return self.snap(dice.uniform(self.low, self.high))


class ProposalMaker:
    """A search as it is declared, at one scale and with what --set says: its parameters, and trials of proposals.

    What --set gives is searched for no more, nor what only fed a derived field that --set gives.
    """

    def __init__(self, loaded: LoadedSpace, overrides: Mapping[str, Any], scale: str | None = None) -> None:
        """
        Raises:
            UserError: what can be seen to be wrong before anything is proposed, values at the ends of the
                parameters included; with file, line and key.
        """
        space, source = loaded.space, loaded.source
        if space.search is None or space.parameters is None:
            raise UserError(f"{source.path}: the space is no search")
        conditions = _conditions(space.parameters, source)
        _check_above(space.parameters, conditions, source, but=FIELD_NAMES)
        self._maker = TrialMaker(loaded, overrides, scale, conditions)
        _check_above(space.parameters, conditions, source)
        self._maker.defaults.setdefault("holdout", DEFAULT_HOLDOUT)
        self._overrides = overrides
        changes = None if scale is None else space.scales[scale]
        self.search = scaled_search(space.search, changes)
        self.scheduler = scaled_scheduler(space.scheduler, changes)
        self.confirm = scaled_confirm(space.confirm, changes)
        derived = [*space.derive.items(), *({} if changes is None else changes.derive).items()]
        self.derived = [(key, text) for key, text in derived if key not in overrides]
        """Field and expression, those of the scale last."""
        self.fixed: dict[str, Any] = {
            "defaults": dict(self._maker.defaults),
            "derive": dict(space.derive),
            "set": dict(overrides),
            "scale": None if changes is None else {"set": dict(changes.set), "derive": dict(changes.derive)},
        }
        """Plain JSON: what makes a trial of a proposal; equal for searches whose proposals mean the same."""
        self.objectives = tuple(space.objective or [ObjectiveSpec()])
        has_a_say = {*FIELD_NAMES, *self._maker.operand_names, *(n for one in conditions.values() for n in one.names)}
        self.parameters = [
            _parameter(name, spec, conditions.get(name), source)
            for name, spec in space.parameters.items()
            if name not in overrides and name in has_a_say
        ]
        if not self.parameters:
            raise UserError(f"--set: nothing is left of {loaded.name!r} to search for: give fewer of its parameters")
        check_algorithm(self.search.algorithm, len(self.parameters) - len(self.drawn_at_random), source)
        for one in self.parameters:
            if one.when is not None and one.name not in {*FIELD_NAMES, *space.defaults}:
                raise UserError(
                    f"{source.where((*PARAMETERS, one.name, 'when'))}: {one.name!r} has no value where this is "
                    f"false: give one in defaults"
                )
        assignments = self._corner_assignments()
        self._check_conditions(source, assignments)
        self.corners = [self.trial(assignment) for assignment in assignments]
        """The trials at the ends of the parameters; where those are too many, one parameter is moved at a time."""
        self._check_whole_numbers()
        if self.scheduler.type == "pbt":
            configs = [corner.config for corner in self.corners]
            check_population(self.search, self.scheduler, self.confirm, configs, source)
        else:
            self._check_epochs(source, scale)

    @property
    def num_trials(self) -> int:
        """Distinct configurations that the search tries, at most."""
        return self.search.num_trials or math.prod(len(one.ends) for one in self.parameters)

    @property
    def drawn_at_random(self) -> list[str]:
        """Parameters that the algorithm does not learn about, though it learns."""
        passes_over = PASSED_OVER.get(self.search.algorithm, ())
        return [
            one.name
            for one in self.parameters
            if (one.when is not None and "when" in passes_over)
            or (one.choices is not None and "values" in passes_over)
        ]

    @property
    def varying_fields(self) -> list[str]:
        """Training fields that are not the same in all trials."""
        configs = [corner.config for corner in self.corners]
        return [name for name in FIELD_NAMES if len({getattr(config, name) for config in configs}) > 1]

    @property
    def num_confirmations(self) -> int:
        """Trainings that confirm the best, at most."""
        return 0 if self.confirm is None else min(self.confirm.top, self.num_trials) * self.confirm.repeats

    @property
    def is_scaled(self) -> bool:
        """Whether trials are trained smaller than they are proposed."""
        return self._maker.scaling is not None

    @property
    def max_epochs(self) -> int:
        """Of any trial."""
        return max(trial.config.epochs for trial in self.corners)

    def active(self, assignment: Assignment, name: str) -> bool:
        """Whether the parameter has a part in a trial.

        Args:
            assignment: values of the active parameters before this one; further ones do no harm.

        Raises:
            UserError: a condition that cannot be computed.
        """
        when = next(one.when for one in self.parameters if one.name == name)
        if when is None:
            return True
        known = {**field_defaults(), **self._maker.defaults, **self._overrides, **assignment}
        flags = {key: int(value) for key, value in known.items() if isinstance(value, bool)}
        with located(self._maker.source.where((*PARAMETERS, name, "when"))):
            return bool(when.compute(operands_of({**known, **flags})))

    def assignment(self, values: Assignment) -> dict[str, Scalar]:
        """Of these values those whose parameters are active, in the parameters' order.

        Raises:
            UserError: a condition that cannot be computed.
        """
        chosen: dict[str, Scalar] = {}
        for one in self.parameters:
            if self.active(chosen, one.name):
                chosen[one.name] = values[one.name]
        return chosen

    def trial(self, assignment: Assignment) -> PlannedTrial:
        """What a proposal is trained as; values of parameters that are not active are left out of account.

        Raises:
            UserError: an impossible configuration, with file, line and key, and the proposal.
        """
        chosen = self.assignment(assignment)
        try:
            config, variables = self._maker.make(PARAMETERS, chosen)
            with located(functools.partial(self._maker.where, PARAMETERS)):
                _check_held_out(config)
        except FieldError as error:
            told = "" if error.field in chosen else f" (proposed: {_words(chosen)})"
            raise FieldError(error.field, f"{error}{told}") from None
        except UserError as error:
            raise UserError(f"{error} (proposed: {_words(chosen)})") from None
        return PlannedTrial(config, 0, variables, place=functools.partial(self._maker.where, PARAMETERS))

    def draw(self, dice: random.Random) -> dict[str, Scalar]:
        """An assignment at random."""
        return self.assignment({one.name: one.draw(dice) for one in self.parameters})

    def _corner_assignments(self) -> list[dict[str, Scalar]]:
        """Distinct ones, with every parameter at one of its ends."""
        ends = {one.name: one.ends for one in self.parameters}
        points: Iterable[dict[str, Scalar]]
        if self._has_few_corners:
            points = (dict(zip(ends, point, strict=True)) for point in itertools.product(*ends.values()))
        else:
            bases = [{name: values[index] for name, values in ends.items()} for index in (0, -1)]
            points = ({**base, name: value} for base in bases for name, values in ends.items() for value in values)
        distinct: dict[str, dict[str, Scalar]] = {}
        for point in points:
            chosen = self.assignment(point)
            distinct.setdefault(repr(chosen), chosen)
        return list(distinct.values())

    @property
    def _has_few_corners(self) -> bool:
        return math.prod(len(one.ends) for one in self.parameters) <= MAX_CORNERS

    def _check_conditions(self, source: YamlSource, corners: Iterable[Assignment]) -> None:
        """A condition that nothing fulfils is a mistake, for example a word that is no choice."""
        proposed = {name for assignment in corners for name in assignment}
        always = {one.name for one in self.parameters if one.when is None}
        for one in self.parameters:
            if one.when is None or one.name in proposed or not one.when.names <= always:
                continue  # where --set gives a parameter, what hangs on it may be false
            dice = random.Random(0)  # noqa: S311 (no secret)
            if not any(one.name in self.draw(dice) for _ in range(NUM_DRAWN)):
                values = "; ".join(f"{name}: {self._text_of(name)}" for name in sorted(one.when.names))
                raise UserError(
                    f"{source.where((*PARAMETERS, one.name, 'when'))}: is never true, the values above are {values}"
                )

    def _check_whole_numbers(self) -> None:
        """A field of whole numbers that is derived from fractions: at their ends it may be whole by chance."""
        whole = [key for key, _ in self.derived if field_kind(key) == "int"]
        dice = random.Random(0)  # noqa: S311 (no secret)
        for _ in range(NUM_TRIED if whole else 0):
            try:
                self.trial(self.draw(dice))
            except FieldError as error:
                if error.field in whole:
                    raise FieldError(error.field, f"{error}: derive a whole number with round(...)") from None

    def _text_of(self, name: str) -> str:
        one = next(one for one in self.parameters if one.name == name)
        return (" to " if one.choices is None else ", ").join(map(str, one.ends))

    def _check_epochs(self, source: YamlSource, scale: str | None) -> None:
        """A scheduler that can stop nobody is a mistake."""
        grace = self.scheduler.grace_epochs
        if self.scheduler.type != "none" and grace >= self.max_epochs:
            paths = [
                ("scales", scale or "", "scheduler", "grace_epochs"),
                ("scheduler", "grace_epochs"),
                ("scheduler",),
            ]
            where = source.where(next(path for path in paths if path in source.lines))
            raise UserError(
                f"{where}: grace_epochs {grace} is not below the {self.max_epochs} epochs of a trial: nothing would "
                "be stopped; lower it, or scheduler: {type: none}"
            )


def inside(
    parameters: Sequence[SearchParameter], active: Callable[[Assignment, str], bool], given: Assignment
) -> dict[str, Scalar] | None:
    """The active parameters' values among those given; None where one is missing or out of its range."""
    found: dict[str, Scalar] = {}
    for one in parameters:
        if not active(found, one.name):
            continue
        value = given.get(one.name)
        if one.choices is not None:
            if value not in one.choices:
                return None
            found[one.name] = one.choices[one.choices.index(value)]
        elif isinstance(value, int | float) and one.low <= value <= one.high:
            found[one.name] = one.snap(value)
        else:
            return None
    return found


def _conditions(parameters: Mapping[str, Parameter], source: YamlSource) -> dict[str, Expression]:
    """Parameter -> its `when`.

    Raises:
        UserError: no expression.
    """
    conditions: dict[str, Expression] = {}
    for name, spec in parameters.items():
        if spec.when is not None:
            with located(source.where((*PARAMETERS, name, "when"))):
                conditions[name] = Expression(spec.when)
    return conditions


def _check_above(
    parameters: Mapping[str, Parameter],
    conditions: Mapping[str, Expression],
    source: YamlSource,
    but: Iterable[str] = (),
) -> None:
    """
    Args:
        but: names that are passed over.

    Raises:
        UserError: a condition speaks of something else than the parameters above it.
    """
    names = list(parameters)
    for name, condition in conditions.items():
        above = names[: names.index(name)]
        words = {value for key in above for value in parameters[key].values or () if isinstance(value, str)}
        for used in sorted(condition.names - {*above, *but}):
            with located(source.where((*PARAMETERS, name, "when"))):
                if used in parameters:
                    raise UserError(f"{used!r} does not stand above {name!r}: move it there")
                if used in words:
                    raise UserError(f"{used} is a word, and words need quotes here: '{used}'")
                meant = nearest(used, above) if above else "there is none"
                raise UserError(f"{used!r} is no parameter above {name!r}: {meant}")


def _parameter(name: str, spec: Parameter, when: Expression | None, source: YamlSource) -> SearchParameter:
    if spec.bounds is None:
        return SearchParameter(name, "categorical", choices=tuple(spec.values or ()), when=when)
    low, high = spec.bounds
    distribution = spec.distribution_resolved
    step = spec.q if spec.q is not None else 1 if distribution == "int_uniform" else None
    is_whole = step is not None and all(float(value).is_integer() for value in (low, high, step))
    if not is_whole and (field_kind(name) == "int" or distribution == "int_uniform"):
        where = source.where((*PARAMETERS, name))
        if field_kind(name) != "int":
            raise UserError(
                f"{where}: int_uniform is for whole numbers: distribution: uniform, or a whole min and max"
            )
        first, last = math.ceil(low), math.floor(high)
        whole = f", min: {first}, max: {last}" if (first, last) != (low, high) and first < last else ""
        fitting = "q_log_uniform_values, q: 1" if "log" in distribution else "int_uniform"
        raise UserError(f"{where}: {name} is a whole number: distribution: {fitting}{whole}")
    if step is not None:
        high = round_significant(low + math.floor((high - low) / step * (1 + 1e-9)) * step, STEP_DIGITS)
    kind: Literal["float", "int"] = "int" if is_whole else "float"
    return SearchParameter(name, kind, low, high, step, "log" in distribution, when=when)


def _check_held_out(config: TrainConfig) -> None:
    if config.holdout == 0:
        raise FieldError(
            "holdout", f"holdout must be above 0 to steer a search, for example {DEFAULT_HOLDOUT:g}, got 0"
        )


def _words(assignment: Assignment) -> str:
    return " ".join(f"{name}={format_value(value)}" for name, value in assignment.items())
