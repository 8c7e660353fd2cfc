"""From a space to its trials: rows, then the grid's product, each with its repeats; duplicates collapse."""

import dataclasses
import functools
import graphlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces.expressions import Expression, Number
from search_spaces.loader import LoadedSpace
from search_spaces.schema import Space, axis_values
from search_spaces.yaml_source import KeyPath, YamlSource, parse_scalar
from trainable.config import FIELD_NAMES, SETTABLE_FIELDS, PlannedTrial, TrainConfig, check_field_name
from trainable.errors import UserError, located

MAX_TRIALS = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Expansion:
    """The trials of a space in the order in which they are written, and what the user should know of them."""

    trials: list[PlannedTrial]
    notes: list[str]


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """`["lr=0.1", ...]`, as --set gives them, into values.

    Raises:
        UserError: not of the form key=value.
    """
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UserError(f"--set {setting}: write key=value, for example --set epochs=2")
        overrides[key.strip()] = parse_scalar(text)
    return overrides


def expand(loaded: LoadedSpace, overrides: Mapping[str, Any]) -> Expansion:
    """All trials of the space, with `overrides` put over whatever the file says.

    Raises:
        UserError: a key that is neither a training field nor used by `derive`, an impossible value, an
            expression that cannot be computed; with file, line and key.
    """
    space, source = loaded.space, loaded.source
    expressions: dict[str, Expression] = {}
    for key, text in space.derive.items():
        with located(source.where(("derive", key))):
            expressions[key] = Expression(text)
    _check_keys(loaded, expressions, overrides)
    for key in overrides:
        expressions.pop(key, None)
    trials: list[PlannedTrial] = []
    for path, combination in _combinations(space):
        with located(functools.partial(_place, source, path, overrides)):
            values = {**space.defaults, **combination, **overrides}
            variables = _derive(values, expressions)
            trials += _repeat(space, values, variables)
        if len(trials) > MAX_TRIALS:
            raise UserError(f"{source.path}: more than {MAX_TRIALS} trials")
    distinct, note = drop_duplicates(trials)
    return Expansion(distinct, [note] if note else [])


def parse_config(model: str, settings: Sequence[str]) -> TrainConfig:
    """One configuration from the command line alone, for `train`.

    Raises:
        UserError: an unknown key, or an impossible value.
    """
    overrides = parse_overrides(settings)
    with located(lambda field: "--set" if field in overrides else "train"):
        for key in overrides:
            _check_settable(key, ())
        return TrainConfig(**{"model": model, **overrides})


def dataset_name(trials: Sequence[PlannedTrial]) -> str:
    """The one data set of these trials.

    Raises:
        UserError: there are several.
    """
    names = sorted({trial.config.dataset for trial in trials})
    if len(names) > 1:
        raise UserError(f"a sweep has one data set, this space names {' and '.join(names)}: run one at a time")
    return names[0]


def tie_to_data(
    trials: Sequence[PlannedTrial], name: str, fingerprint: str, num_train: int, num_test: int
) -> list[PlannedTrial]:
    """The trials on the data set that they will see; those that thereby become equal collapse.

    Raises:
        UserError: a batch or a subset larger than the data set.
    """
    tied = [
        dataclasses.replace(trial, config=trial.config.for_dataset(name, fingerprint, num_train, num_test))
        for trial in trials
    ]
    return drop_duplicates(tied)[0]


def drop_duplicates(trials: Sequence[PlannedTrial]) -> tuple[list[PlannedTrial], str]:
    """Equal configurations once, in their first place; and a note where there were any."""
    first: dict[TrainConfig, PlannedTrial] = {}
    for trial in trials:
        first.setdefault(trial.config, trial)
    distinct = list(first.values())
    dropped = len(trials) - len(distinct)
    note = f"{dropped} of {len(trials)} trials are duplicates of others and are trained once" if dropped else ""
    return distinct, note


def _combinations(space: Space) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    for index, row in enumerate(space.rows or ()):
        yield ("rows", index), dict(row)
    if space.grid is not None:
        axes = [axis_values(axis) for axis in space.grid.values()]
        for point in itertools.product(*axes):
            yield ("grid",), dict(zip(space.grid, point, strict=True))


def _place(source: YamlSource, path: KeyPath, overrides: Mapping[str, Any], field: str | None) -> str:
    """Where the wrong field was written: on the command line, in the combination, or in the defaults."""
    if field is None:
        return source.where(path)
    if field in overrides:
        return "--set"
    written = [place for place in ((*path, field), ("defaults", field)) if place in source.lines]
    return source.where(written[0] if written else path)


def _check_keys(loaded: LoadedSpace, expressions: Mapping[str, Expression], overrides: Mapping[str, Any]) -> None:
    space, source = loaded.space, loaded.source
    used = {name for expression in expressions.values() for name in expression.names}
    variables = tuple(sorted(used - {*FIELD_NAMES}))
    paths: list[KeyPath] = [("defaults", key) for key in space.defaults]
    paths += [("rows", index, key) for index, row in enumerate(space.rows or ()) for key in row]
    paths += [("grid", key) for key in space.grid or {}]
    for path in paths:
        with located(source.where(path)):
            _check_settable(str(path[-1]), variables)
            if path[-1] in space.derive:
                raise UserError(f"{path[-1]!r} is derived too: give it here or in derive, not in both")
    for key in space.derive:
        with located(source.where(("derive", key))):
            _check_settable(key, ())
    for key in overrides:
        with located("--set"):
            _check_settable(key, variables)


def _check_settable(key: str, variables: tuple[str, ...]) -> None:
    check_field_name(key, also=variables)
    if key in FIELD_NAMES and key not in SETTABLE_FIELDS:
        raise UserError(f"{key!r} is found out by the program, not set")


def _derive(values: dict[str, Any], expressions: Mapping[str, Expression]) -> dict[str, Number]:
    """Put the derived values into `values`; return (and take out) those that are no training fields."""
    for key in _order(expressions):
        expression = expressions[key]
        numbers = {
            name: value
            for name, value in {**_field_defaults(), **values}.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        try:
            values[key] = expression.compute(numbers)
        except UserError as error:
            raise UserError(f"derive.{key}: {error}") from None
    return {key: values.pop(key) for key in list(values) if key not in FIELD_NAMES}


def _order(expressions: Mapping[str, Expression]) -> list[str]:
    """The keys in an order in which each expression finds the derived values that it needs."""
    needs = {key: [name for name in expressions if name in one.names] for key, one in expressions.items()}
    try:
        return list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        raise UserError(f"derive goes round in a circle: {' -> '.join(error.args[1])}") from None


def _field_defaults() -> dict[str, Any]:
    return {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}


def _repeat(space: Space, values: Mapping[str, Any], variables: Mapping[str, Number]) -> list[PlannedTrial]:
    first = TrainConfig(**values)
    configs = [dataclasses.replace(first, seed=first.seed + repeat) for repeat in range(space.repeats)]
    return [PlannedTrial(config, repeat, dict(variables)) for repeat, config in enumerate(configs)]
