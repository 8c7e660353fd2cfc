"""The parameters of a search: their ranges, their conditions, and values drawn from them."""

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import yaml

from search_spaces.expressions import Expression
from search_spaces.schema import Parameter, Scalar, Value, row_text
from search_spaces.trial_maker import PARAMETERS
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.config import field_kind
from trainable.errors import UserError, located
from trainable.rounding import tidied
from trainable.wording import format_value, listed, nearest

MAX_LISTED_ROWS = 4
Assignment = Mapping[str, Scalar]
"""Name of a parameter -> its value."""
Given = Scalar | Mapping[str, Value]
"""The value of a parameter as a user gives it: that of one with rows may be a row."""


@dataclasses.dataclass(frozen=True, slots=True)
class SearchParameter:
    """The values that a search may propose for one key."""

    name: str
    """A training field, or a name that `derive` uses."""
    kind: Literal["float", "int", "categorical"]
    low: float = math.nan
    """Smallest value, inclusive; NaN for a categorical parameter, as is `high`."""
    high: float = math.nan
    """Largest value, inclusive; with a step, a whole number of steps above `low`."""
    step: float | None = None
    """None for a continuous float; 1 for an int unless the space gives another step."""
    log: bool = False
    """Whether values are drawn uniformly on a logarithmic scale."""
    choices: tuple[Scalar, ...] | None = None
    """Values of a categorical parameter, all different; None for other kinds."""
    rows: Mapping[str, Mapping[str, Value]] = dataclasses.field(default_factory=dict)
    """The values that each choice stands for, if the choices are rows."""
    when: Expression | None = None
    """Condition over the parameters before this one; None if it is always proposed."""

    def snap(self, value: float) -> float:
        """The nearest allowed value: inside the range, on a step, and whole for an int."""
        if self.step is not None:
            value = tidied(self.low + round((value - self.low) / self.step) * self.step)
        value = min(max(value, self.low), self.high)
        return round(value) if self.kind == "int" else value

    @property
    def keys(self) -> set[str]:
        """Names that get a value: the parameter's, or those in its rows."""
        return {key for row in self.rows.values() for key in row} or {self.name}

    def checked(self, value: Given) -> Scalar:
        """A value that a user gives, in the parameter's own type.

        Raises:
            UserError: The parameter cannot have the value.
        """
        is_bool = isinstance(value, bool)
        if self.rows:
            for text, row in self.rows.items():
                if value in (text, row):
                    return text
            rows = listed([flow_text(row) for row in self.rows.values()], MAX_LISTED_ROWS)
            raise UserError(f"must be one of the rows: {rows}; got {flow_text(value)}")
        if self.choices is not None:
            for choice in self.choices:
                if choice == value and isinstance(choice, bool) is is_bool:
                    return choice
            raise UserError(f"is not one of {', '.join(map(format_value, self.choices))}: got {value!r}")
        if is_bool or not isinstance(value, int | float) or not self.low <= value <= self.high:
            raise UserError(f"must be a number from {self.low:g} to {self.high:g}, got {value!r}")
        if (nearest_value := self.snap(value)) != value:
            raise UserError(f"{value!r} is between two steps: the nearest value is {nearest_value!r}")
        return int(value) if self.kind == "int" else float(value)

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The choices, or the smallest and the largest value."""
        return (self.snap(self.low), self.snap(self.high)) if self.choices is None else self.choices

    def draw(self, rng: random.Random) -> Scalar:
        """Draw a value from the parameter's distribution."""
        if self.choices is not None:
            return rng.choice(self.choices)
        if self.log:
            return self.snap(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self.snap(rng.uniform(self.low, self.high))


def inside(
    parameters: Sequence[SearchParameter], active: Callable[[Assignment, str], bool], given: Assignment
) -> dict[str, Scalar] | None:
    """The given values of the active parameters, or None if a value is missing or out of range."""
    found: dict[str, Scalar] = {}
    for parameter in parameters:
        name = parameter.name
        if not active(found, name):
            continue
        value = given.get(name)
        if parameter.choices is not None:
            if value not in parameter.choices:
                return None
            found[name] = parameter.choices[parameter.choices.index(value)]
        elif isinstance(value, int | float) and parameter.low <= value <= parameter.high:
            found[name] = parameter.snap(value)
        else:
            return None
    return found


def first_points(
    given: Sequence[Mapping[str, Given]],
    declared: Iterable[str],
    parameters: Sequence[SearchParameter],
    active: Callable[[Assignment, str], bool],
    source: YamlSource,
) -> list[dict[str, Scalar]]:
    """The values with which a search begins, a mapping for each proposal; it may lack parameters.

    Args:
        given: `first` of the space.
        declared: names of all parameters; those that are not among `parameters` are left out.

    Raises:
        UserError: A key is no parameter, or the parameter cannot have its value.
    """
    points: list[dict[str, Scalar]] = []
    for index, point in enumerate(given):
        path: KeyPath = ("first", index)
        for name in point:
            if name not in declared:
                meant = _rows_hint(name, point, parameters) or f"is not a parameter: {nearest(name, declared)}"
                raise UserError(f"{source.where((*path, name))}: {meant}")
        chosen: dict[str, Scalar] = {}
        for parameter in parameters:
            name, when = parameter.name, parameter.when
            if name not in point:
                continue
            with located(source.where((*path, name))):
                needed = {other.name for other in parameters if when is not None and other.keys & when.names}
                if when is not None and needed <= chosen.keys() and not active(chosen, name):
                    raise UserError(f"is not proposed here, where {when.text} is false: leave it out")
                chosen[name] = parameter.checked(point[name])
        if chosen and chosen not in points:
            points.append(chosen)
    return points


def _rows_hint(name: str, point: Mapping[str, Given], parameters: Iterable[SearchParameter]) -> str | None:
    """Say how `first` names the row that a point means; None if no parameter has rows with this field."""
    for parameter in parameters:
        if name in parameter.keys:
            rows = parameter.rows.values()
            row = max(rows, key=lambda row: sum(point.get(key) == value for key, value in row.items()))
            return f"belongs to the rows of {parameter.name!r}: write {flow_text({parameter.name: row})}"
    return None


def flow_text(value: object) -> str:
    """Return a value as YAML in one line, as a user would write it into a space."""
    return yaml.safe_dump([value], default_flow_style=True, width=math.inf, sort_keys=False).strip()[1:-1]


def parse_conditions(parameters: Mapping[str, Parameter], source: YamlSource) -> dict[str, Expression]:
    """Parse `when` of the parameters that have one.

    Raises:
        UserError: An expression is not valid.
    """
    conditions: dict[str, Expression] = {}
    for name, spec in parameters.items():
        if spec.when is not None:
            with located(source.where((*PARAMETERS, name, "when"))):
                conditions[name] = Expression(spec.when)
    return conditions


def check_condition_names(
    parameters: Mapping[str, Parameter],
    conditions: Mapping[str, Expression],
    source: YamlSource,
    ignored: Iterable[str] = (),
) -> None:
    """Check that each condition uses only parameters above its own.

    Args:
        ignored: names that are not checked.

    Raises:
        UserError: A condition uses another name.
    """
    names = list(parameters)
    for name, condition in conditions.items():
        before = names[: names.index(name)]
        above = [key for other in before for key in parameters[other].fields or [other]]
        words = {value for key in before for value in parameters[key].values or () if isinstance(value, str)}
        for used in sorted(condition.names - {*above, *ignored}):
            with located(source.where((*PARAMETERS, name, "when"))):
                if used in parameters:
                    raise UserError(f"{used!r} is not above {name!r}: move it there")
                if used in words:
                    raise UserError(f"{used} is a word and needs quotes here: '{used}'")
                meant = nearest(used, above) if above else "there are none"
                raise UserError(f"{used!r} is not a parameter above {name!r}: {meant}")


def make_parameter(name: str, spec: Parameter, when: Expression | None, source: YamlSource) -> SearchParameter:
    """The parameter that an entry of `parameters` declares.

    Raises:
        UserError: A parameter of whole numbers has a range that is not whole.
    """
    if spec.rows is not None:
        rows = {row_text(row): row for row in spec.rows}
        return SearchParameter(name, "categorical", choices=tuple(rows), rows=rows)
    if spec.min is None or spec.max is None:
        return SearchParameter(name, "categorical", choices=tuple(spec.values or ()), when=when)
    low, high = spec.min, spec.max
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
        high = tidied(low + math.floor((high - low) / step * (1 + 1e-9)) * step)
    kind: Literal["float", "int"] = "int" if is_whole else "float"
    return SearchParameter(name, kind, low, high, step, "log" in distribution, when=when)
