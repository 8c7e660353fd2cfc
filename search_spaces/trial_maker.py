"""Make the configuration of a trial from one combination of values: defaults, derive, --set, scale."""

import dataclasses
import graphlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.user_code import UserCode
from search_spaces.expressions import Expression, Operand, operands_of
from search_spaces.loader import LoadedSpace
from search_spaces.own_code import OwnCode
from search_spaces.scaling import Scaling, find_scale, parse_scales, stands_for
from search_spaces.schema import SEARCH_SECTIONS, Part, Space
from search_spaces.translations import misplaced
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.config import FIELD_NAMES, TrainConfig, check_settable, check_types, is_field
from trainable.errors import FieldError, UserError, located
from trainable.field_checks import ARGUMENT_PREFIX
from trainable.rounding import tidied
from trainable.wording import format_value, nearest

PARAMETERS: KeyPath = ("parameters",)
"""Path of the section with the parameters of a search."""


class TrialMaker:
    """Makes configurations from combinations of a space's values and the `overrides` of --set.

    With a scale, a trial is computed at full size and then scaled. Overrides of training fields apply after the
    scale, those of variables before it. Overrides of what a search proposes or derives apply both before and after.
    """

    def __init__(
        self,
        loaded: LoadedSpace,
        overrides: Mapping[str, Any],
        scale: str | None,
        conditions: Mapping[str, Expression] | None = None,
    ) -> None:
        """Parse the expressions of the space and check its keys.

        Args:
            conditions: `when` of a search's parameters; the space may also give values for their names.

        Raises:
            UserError: A key is neither a training field nor used by an expression, an expression is not valid, or
                there is no such scale.
        """
        space, source = loaded.space, loaded.source
        self.source = source
        self._own_code = OwnCode(source.path.parent)
        self.expressions: dict[str, Expression] = {}
        for key, text in space.derive.items():
            with located(source.where(("derive", key))):
                self.expressions[key] = Expression(text)
        self.variables = _variables([*self.expressions.values(), *(conditions or {}).values()])
        _check_names(loaded, self.expressions, self.variables, overrides)
        _check_keys(loaded, self.variables, overrides)
        scales = parse_scales(loaded, self.variables)
        self.scaling = None if scale is None else find_scale(loaded, scales, scale)
        self.defaults: dict[str, Any] = dict(space.defaults)
        self._overrides = overrides
        self._after = {key: overrides[key] for key in overrides if self.scaling is not None and is_field(key)}
        of_search = {str(path[-1]) for path in _of_parameters(space)} | {*space.derive} if space.search else set()
        self._before = {key: overrides[key] for key in overrides if key not in self._after or key in of_search}
        for key in self._before:
            self.expressions.pop(key, None)
        with located(source.where(("derive",))):
            self.expressions = _in_order(self.expressions)

    def make(
        self, path: KeyPath, combination: Mapping[str, Any], path_of: Mapping[str, KeyPath] | None = None
    ) -> tuple[TrainConfig, dict[str, Operand]]:
        """The trial's configuration, and its variables.

        Args:
            path: path of the combination in the file.
            path_of: field -> another path, of the part of the combination that holds the field.

        Raises:
            UserError: A value is impossible, or an expression cannot be computed.
        """
        paths = path_of or {}
        with located(lambda field: _location(self.source, paths.get(str(field), path), self._before, field)):
            values = {**self.defaults, **combination, **self._before}
            check_types(values)  # else an expression that uses the value would be blamed
            try:
                inputs = _derive(values, self.expressions)
                config = TrainConfig(**self._own_code.configured(values, self._before.keys()))
            except FieldError as error:
                is_computed = error.field in self.expressions and path != PARAMETERS
                told = f" (with {assignment_words(combination)})" if is_computed else ""
                raise FieldError(error.field, f"{error}{told}") from None
        inputs |= argument_variables(config)
        variables = dict(inputs)
        if self.scaling is not None:
            variables |= stands_for(config)
            config = self._scaled(self.scaling, config, inputs)
            variables |= argument_variables(config)
        return config, variables

    def _scaled(self, scaling: Scaling, full: TrainConfig, inputs: Mapping[str, Operand]) -> TrainConfig:
        overrides = self._after
        values = {**scaling.values(full, inputs), **overrides}
        for name in ("model", "loss"):
            if name in scaling.settings or name in overrides:
                values.pop(f"{name}_fingerprint", None)
        with located(lambda field: "--set" if field in overrides else scaling.where(field)):
            return TrainConfig(**self._own_code.configured(values, overrides.keys()))

    @property
    def sources(self) -> tuple[UserCode, ...]:
        """Sources of the models and losses of the user's own that were named so far."""
        return tuple(self._own_code.sources.values())

    @property
    def operand_names(self) -> set[str]:
        """Names that the expressions of a trial use, without expressions that --set replaces."""
        scaled = {} if self.scaling is None else self.scaling.expressions
        in_force = [*self.expressions.values(), *(scaled[key] for key in scaled if key not in self._after)]
        return {name for expression in in_force for name in expression.names}

    def where(self, path: KeyPath, field: str | None) -> str:
        """Location of this field of a trial: in the scale, in the file, or --set."""
        scaled = {} if self.scaling is None else {**self.scaling.settings, **self.scaling.expressions}
        if self.scaling is not None and field in scaled and field not in self._overrides:
            return self.scaling.where(field)
        return _location(self.source, path, self._overrides, field)


def parts_of(space: Space) -> Iterator[tuple[KeyPath, Space | Part]]:
    """The space itself with its rows and grid, then its parts, each with its path."""
    yield (), space
    for index, part in enumerate(space.parts or ()):
        yield ("parts", index), part


def _location(source: YamlSource, path: KeyPath, overrides: Mapping[str, Any], field: str | None) -> str:
    """Location of a field: --set, the combination, or the defaults."""
    if field is None:
        return source.where(path)
    if field in overrides or any(key.startswith(f"{field}.") for key in overrides):
        return "--set"
    paths: list[KeyPath] = [
        (*path, field),
        ("derive", field),
        (*path[:2], "defaults", field),
        ("defaults", field),
    ]
    written = [candidate for candidate in paths if candidate in source.lines]
    return source.where(written[0] if written else path)


def _variables(expressions: Iterable[Expression]) -> tuple[str, ...]:
    """Names that expressions use besides the training fields."""
    used = {name for expression in expressions for name in expression.names}
    return tuple(sorted(name for name in used if not is_field(name)))


def _of_parameters(space: Space) -> list[KeyPath]:
    """Paths of the keys to which the parameters of a search give values."""
    paths: list[KeyPath] = []
    for name, parameter in (space.parameters or {}).items():
        rows = parameter.rows or ()
        paths += [(*PARAMETERS, name, "rows", index, key) for index, row in enumerate(rows) for key in row]
        paths += [] if rows else [(*PARAMETERS, name)]
    return paths


def _written(space: Space) -> list[KeyPath]:
    """Paths of all keys that have a value in the file."""
    paths = _of_parameters(space)
    for path, part in parts_of(space):
        paths += [(*path, "defaults", key) for key in part.defaults]
        paths += [(*path, "rows", index, key) for index, row in enumerate(part.rows or ()) for key in row]
        paths += [(*path, "grid", key) for key in part.grid or {}]
    return paths


def _check_names(
    loaded: LoadedSpace,
    expressions: Mapping[str, Expression],
    variables: tuple[str, ...],
    overrides: Mapping[str, Any],
) -> None:
    """Check that every name in `derive` is a training field or has a value somewhere."""
    source, paths = loaded.source, {str(path[-1]): path for path in _written(loaded.space)}
    given = [key for key in (*paths, *overrides) if key not in FIELD_NAMES]
    unused = [key for key in paths if not is_field(key) and key not in variables]
    told = f" (nothing uses {unused[0]!r} of line {source.lines[paths[unused[0]]]})" if unused else ""
    for key, expression in expressions.items():
        for name in sorted(expression.names - {*FIELD_NAMES, *given}):
            if key not in overrides:
                meant = nearest(name, [*given, *operands_of(field_defaults())])
                raise UserError(f"{source.where(('derive', key))}: {name!r} has no number: {meant}{told}")


def _check_keys(loaded: LoadedSpace, variables: tuple[str, ...], overrides: Mapping[str, Any]) -> None:
    space, source = loaded.space, loaded.source
    for path in _written(space):
        with located(source.where(path)):
            try:
                check_settable(str(path[-1]), variables)
            except FieldError as error:
                if hint := misplaced(path, is_unknown=False):
                    raise FieldError(error.field, hint) from None
                hint = ", or a name that derive uses" if ": valid: " in str(error) else ""
                raise FieldError(error.field, f"{error}{hint}") from None
            if path[-1] in space.derive:
                raise UserError(f"{path[-1]!r} is derived too: give it here or in derive, not in both")
    for key in space.derive:
        with located(source.where(("derive", key))):
            check_settable(key)
    for key in overrides:
        with located("--set"):
            section = _section_of(key)
            if space.search is not None and section is not None and not is_field(key) and key not in variables:
                raise UserError(f"{key} is not a training field: change it in {source.where((section,))}")
            if key in Space.model_fields and key not in variables:
                raise UserError(f"{key} is a key of the space, not a training field: change it in {source.path}")
            check_settable(key, variables)


def _section_of(key: str) -> str | None:
    """The section of a search that has this key, written as `num_trials` or `search.num_trials`; None if none has."""
    section = key.partition(".")[0]
    if section in SEARCH_SECTIONS:
        return section
    return next((name for name, model in SEARCH_SECTIONS.items() if key in model.model_fields), None)


def _derive(values: dict[str, Any], expressions: Mapping[str, Expression]) -> dict[str, Operand]:
    """Add derived values to `values`; remove and return the values that are not training fields."""
    for key, expression in expressions.items():
        operands = operands_of({**field_defaults(), **values})
        try:
            values[key] = tidied(expression.compute(operands))
        except UserError as error:
            raise FieldError(key, str(error)) from None
    variables = operands_of({key: values.pop(key) for key in list(values) if not is_field(key)})
    return {key: int(value) if isinstance(value, bool) else value for key, value in variables.items()}


def _in_order(expressions: Mapping[str, Expression]) -> dict[str, Expression]:
    """Sort the expressions, so that each one comes after the derived values that it uses."""
    needs = {key: [name for name in expressions if name in expressions[key].names] for key in expressions}
    try:
        return {key: expressions[key] for key in graphlib.TopologicalSorter(needs).static_order()}
    except graphlib.CycleError as error:
        raise UserError(f"is circular: {' -> '.join(error.args[1])}") from None


def argument_variables(config: TrainConfig) -> dict[str, Operand]:
    """The arguments of a model of the user's own as variables, for tables and figures."""
    arguments = config.model_arguments()
    return {
        f"{ARGUMENT_PREFIX}{key}": int(value) if isinstance(value, bool) else value
        for key, value in operands_of(arguments).items()
    }


def assignment_words(values: Mapping[str, Any]) -> str:
    """The values of a row, a combination or a proposal in one line."""
    return " ".join(f"{name}={format_value(value)}" for name, value in values.items())


def field_defaults() -> dict[str, Any]:
    """Default value of each training field."""
    return {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}
