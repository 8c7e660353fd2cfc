"""Expand a space into its trials: rows, combinations of the grid, parts and repeats, without duplicates."""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.user_code import UserCode, provide
from search_spaces.loader import LoadedSpace
from search_spaces.own_code import OwnCode
from search_spaces.proposals import ProposalMaker
from search_spaces.repeats import RepeatsSpec, num_first, num_most
from search_spaces.schema import Space, axis_values
from search_spaces.trial_maker import TrialMaker, parts_of
from search_spaces.unused import unused_axes
from search_spaces.wandb_sweep import in_their_words
from search_spaces.yaml_source import KeyPath, YamlSource, parse_scalar
from trainable.config import PlannedTrial, TrainConfig, check_settable
from trainable.errors import UserError, located
from trainable.field_checks import ARGUMENT_PREFIX

MAX_TRIALS = 100_000
SEEDS_ELSEWHERE = "max decides the seeds: leave seed out of rows and grid"
MAX_NAMED = 10**15
"""Largest number of trials that a message writes out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Expansion:
    """The trials of a space in the order of its file, and notes for the user."""

    trials: list[PlannedTrial]
    notes: list[str]
    sources: tuple[UserCode, ...] = ()
    """Sources of the models and losses of the user's own that the trials need."""
    repeats: RepeatsSpec | None = None
    """What decides the number of seeds; None if all trials are listed."""
    search: ProposalMaker | None = None
    """The search, if the space is one; `trials` is then empty, because its trials are not known in advance."""


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Parse the arguments of --set, for example `["lr=0.1"]`.

    Raises:
        UserError: An argument does not have the form key=value.
    """
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UserError(f"--set {setting}: write key=value, for example --set epochs=2")
        value = parse_scalar(text)
        if key.strip() == "model_args" and isinstance(value, dict):
            overrides |= {f"{ARGUMENT_PREFIX}{name}": argument for name, argument in value.items()}
        else:
            overrides[key.strip()] = value
    return overrides


def expand(loaded: LoadedSpace, overrides: Mapping[str, Any], scale: str | None = None) -> Expansion:
    """All trials of the space. The values in `overrides` replace those of the file.

    A search has no trials in advance; the expansion then holds its ProposalMaker.

    Raises:
        UserError: A key is neither a training field nor used by `derive`, a value is impossible, an expression cannot
            be computed, or there is no such scale.
    """
    with in_their_words(loaded.source):
        return _expand(loaded, overrides, scale)


def _expand(loaded: LoadedSpace, overrides: Mapping[str, Any], scale: str | None) -> Expansion:
    space, source = loaded.space, loaded.source
    if space.search is not None:
        search = ProposalMaker(loaded, overrides, scale)
        return Expansion([], search.notes, search.sources, search=search)
    _check_count(space, source)
    maker = TrialMaker(loaded, overrides, scale)
    trials: list[PlannedTrial] = []
    made: list[tuple[KeyPath, Mapping[str, Any], TrainConfig]] = []
    for path, combination in _combinations(space):
        config, variables = maker.make(path, combination)
        made.append((path, combination, config))
        location = functools.partial(maker.where, path)
        with located(location):
            trials += _repeat(num_first(space.repeats), PlannedTrial(config, 0, variables, location=location))
    distinct, note = drop_duplicates(trials)
    why = unused_axes(space, made) if note else []
    notes = [f"{note} ({'; '.join(why)})" if why else note] if note else []
    if len({(trial.config.train_subset, trial.config.holdout) for trial in distinct if trial.config.holdout}) > 1:
        notes.append(
            "held-out errors are on different images where train_subset or holdout differ: compare test errors"
        )
    repeats = None if isinstance(space.repeats, int) else space.repeats
    configurations = {dataclasses.replace(trial.config, seed=0) for trial in distinct}
    if repeats is not None and len(distinct) != num_first(repeats) * len(configurations):
        raise UserError(f"{source.where(('repeats',))}: {SEEDS_ELSEWHERE}")
    if repeats is not None:
        _check_budget(repeats, len(configurations), source)
    return Expansion(distinct, notes, maker.sources, repeats=repeats)


def parse_config(model: str, settings: Sequence[str]) -> TrainConfig:
    """The configuration of `train`, from the command line alone. The sources that it names are provided.

    Raises:
        UserError: A key is unknown, or a value is impossible.
    """
    overrides = parse_overrides(settings)
    with located(lambda field: "--set" if field in overrides else "train"):
        for key in overrides:
            check_settable(key)
        if "model" in overrides:
            raise UserError(f"the model is {model!r} already: give it once")
        code = OwnCode(Path())
        values = code.configured({"model": model, **overrides}, set())
        provide(code.sources.values())
        return TrainConfig(**values)


def dataset_name(trials: Sequence[PlannedTrial]) -> str:
    """The data set of these trials.

    Raises:
        UserError: They have more than one.
    """
    names = sorted({trial.config.dataset for trial in trials})
    if len(names) > 1:
        raise UserError(f"a sweep has one data set, this space names {' and '.join(names)}: run one at a time")
    return names[0]


def tie_to_data(
    trials: Sequence[PlannedTrial], name: str, fingerprint: str, num_train: int, num_test: int
) -> list[PlannedTrial]:
    """The trials with the identity of their data set. Trials that become equal are merged.

    Raises:
        UserError: A batch or a subset is larger than the data set, or no image is held out.
    """
    tied = []
    for trial in trials:
        with contextlib.nullcontext() if trial.location is None else located(trial.location):
            config = trial.config.for_dataset(name, fingerprint, num_train, num_test)
        tied.append(dataclasses.replace(trial, config=config))
    return drop_duplicates(tied)[0]


def drop_duplicates(trials: Sequence[PlannedTrial]) -> tuple[list[PlannedTrial], str]:
    """The trials with different configurations, each at its first position, and a note if any was dropped."""
    first: dict[TrainConfig, PlannedTrial] = {}
    for trial in trials:
        first.setdefault(trial.config, trial)
    distinct = list(first.values())
    dropped = len(trials) - len(distinct)
    note = f"{dropped} of {len(trials)} trials left out: same configuration as another trial" if dropped else ""
    return distinct, note


def _check_budget(repeats: RepeatsSpec, num_configurations: int, source: YamlSource) -> None:
    """Refuse a budget that does not suffice for the seeds that every configuration begins with."""
    allowed, least = int(repeats.budget * repeats.max * num_configurations + 1e-9), num_first(repeats)
    if allowed < least * num_configurations:
        raise UserError(
            f"{source.where(('repeats', 'budget'))}: {allowed} trials are fewer than two seeds for each of "
            f"{num_configurations} configurations: give at least {math.ceil(100 * least / repeats.max) / 100:g}"
        )


def _check_count(space: Space, source: YamlSource) -> None:
    """Count the trials without making them, and refuse too many where they pass the limit."""
    total, most = 0, num_most(space.repeats)
    for path, part in parts_of(space):
        combinations = math.prod(len(axis_values(axis)) for axis in part.grid.values()) if part.grid else 0
        for key, count in (("rows", len(part.rows or ())), ("grid", combinations)):
            num_trials = count * most
            total += num_trials
            if total > MAX_TRIALS:
                counted = f"{num_trials:,}" if num_trials < MAX_NAMED else f"more than {MAX_NAMED:,}"
                before = f" after {total - num_trials:,} others" if total > num_trials else ""
                where = source.where((*path, key))
                raise UserError(f"{where}: {counted} trials{before}: at most {MAX_TRIALS:,} are possible")


def _combinations(space: Space) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Every row and every combination of a grid, with the path of its keys in the file."""
    for path, part in parts_of(space):
        defaults = part.defaults if path else {}
        for index, row in enumerate(part.rows or ()):
            yield (*path, "rows", index), {**defaults, **row}
        if part.grid is not None:
            axes = [axis_values(axis) for axis in part.grid.values()]
            for point in itertools.product(*axes):
                yield (*path, "grid"), {**defaults, **dict(zip(part.grid, point, strict=True))}


def _repeat(num: int, first: PlannedTrial) -> list[PlannedTrial]:
    seed = first.config.seed
    configs = [dataclasses.replace(first.config, seed=seed + repeat) for repeat in range(num)]
    return [dataclasses.replace(first, config=config, repeat=repeat) for repeat, config in enumerate(configs)]
