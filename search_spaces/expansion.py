"""From a space to its trials: rows, the grid's product, the parts, each with its repeats; duplicates collapse."""

import dataclasses
import functools
import graphlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces.expressions import Expression, Number
from search_spaces.loader import LoadedSpace
from search_spaces.scaling import Scaling, find_scale, parse_scales, stands_for
from search_spaces.schema import Part, Space, axis_values
from search_spaces.yaml_source import KeyPath, YamlSource, parse_scalar
from trainable.config import FIELD_NAMES, PlannedTrial, TrainConfig, check_settable
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


def expand(loaded: LoadedSpace, overrides: Mapping[str, Any], scale: str | None = None) -> Expansion:
    """All trials of the space, with `overrides` put over whatever the file says.

    With a scale, the space is computed at its full size, then scaled; `overrides` of training fields come
    after that, those of variables before.

    Raises:
        UserError: a key that is neither a training field nor used by `derive`, an impossible value, an
            expression that cannot be computed, with file, line and key; or no such scale.
    """
    space, source = loaded.space, loaded.source
    expressions: dict[str, Expression] = {}
    for key, text in space.derive.items():
        with located(source.where(("derive", key))):
            expressions[key] = Expression(text)
    names = _variables(expressions)
    _check_keys(loaded, names, overrides)
    scales = parse_scales(loaded, names)
    scaling = None if scale is None else find_scale(loaded, scales, scale)
    before = {key: value for key, value in overrides.items() if scaling is None or key not in FIELD_NAMES}
    after = {key: value for key, value in overrides.items() if key not in before}
    for key in before:
        expressions.pop(key, None)
    trials: list[PlannedTrial] = []
    for path, combination in _combinations(space):
        with located(functools.partial(_place, source, path, before)):
            values = {**space.defaults, **combination, **before}
            inputs = _derive(values, expressions)
            config = TrainConfig(**values)
        variables: dict[str, Number | str] = dict(inputs)
        if scaling is not None:
            variables |= stands_for(config)
            config = _scaled(scaling, config, inputs, after)
        with located(functools.partial(_place, source, path, overrides)):
            trials += _repeat(space, config, variables)
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
            check_settable(key)
        if "model" in overrides:
            raise UserError(f"the model is {model!r} already: give it once")
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
    """Every row and every point of a grid, with the path at which it is written."""
    for path, part in _parts(space):
        defaults = part.defaults if path else {}
        for index, row in enumerate(part.rows or ()):
            yield (*path, "rows", index), {**defaults, **row}
        if part.grid is not None:
            axes = [axis_values(axis) for axis in part.grid.values()]
            for point in itertools.product(*axes):
                yield (*path, "grid"), {**defaults, **dict(zip(part.grid, point, strict=True))}


def _parts(space: Space) -> Iterator[tuple[KeyPath, Space | Part]]:
    """The space itself, whose rows and grid come first, then its parts."""
    yield (), space
    for index, part in enumerate(space.parts or ()):
        yield ("parts", index), part


def _place(source: YamlSource, path: KeyPath, overrides: Mapping[str, Any], field: str | None) -> str:
    """Where the wrong field was written: on the command line, in the combination, or in the defaults."""
    if field is None:
        return source.where(path)
    if field in overrides:
        return "--set"
    places: list[KeyPath] = [(*path, field), (*path[:2], "defaults", field), ("defaults", field)]
    written = [place for place in places if place in source.lines]
    return source.where(written[0] if written else path)


def _variables(expressions: Mapping[str, Expression]) -> tuple[str, ...]:
    """What expressions need beside the training fields."""
    used = {name for expression in expressions.values() for name in expression.names}
    return tuple(sorted(used - {*FIELD_NAMES}))


def _check_keys(loaded: LoadedSpace, variables: tuple[str, ...], overrides: Mapping[str, Any]) -> None:
    space, source = loaded.space, loaded.source
    paths: list[KeyPath] = []
    for path, part in _parts(space):
        paths += [(*path, "defaults", key) for key in part.defaults]
        paths += [(*path, "rows", index, key) for index, row in enumerate(part.rows or ()) for key in row]
        paths += [(*path, "grid", key) for key in part.grid or {}]
    for path in paths:
        with located(source.where(path)):
            check_settable(str(path[-1]), variables)
            if path[-1] in space.derive:
                raise UserError(f"{path[-1]!r} is derived too: give it here or in derive, not in both")
    for key in space.derive:
        with located(source.where(("derive", key))):
            check_settable(key)
    for key in overrides:
        with located("--set"):
            check_settable(key, variables)


def _scaled(
    scaling: Scaling, full: TrainConfig, inputs: Mapping[str, Number], overrides: Mapping[str, Any]
) -> TrainConfig:
    values = {**scaling.values(full, inputs), **overrides}
    with located(lambda field: "--set" if field in overrides else scaling.where(field)):
        return TrainConfig(**values)


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


def _repeat(space: Space, first: TrainConfig, variables: Mapping[str, Number | str]) -> list[PlannedTrial]:
    configs = [dataclasses.replace(first, seed=first.seed + repeat) for repeat in range(space.repeats)]
    return [PlannedTrial(config, repeat, dict(variables)) for repeat, config in enumerate(configs)]
