"""Which configurations of two sweeps, or of two arms of one sweep, are compared with each other.

**Pairs.** A configuration is paired with the equal one of the other side, else with one that differs in a single
field. Fields that the program fills in (the milestones of a schedule, the momentum of an optimiser) are no difference
of their own. Of several such fields the one is taken that pairs most configurations, and of several numbers the
nearest by ratio. What was measured on other test images has no pair.

**The best of a field.** With `best` each side is represented by its configuration with the least mean error over
that field, for example the learning rate; tests allow for this choice.
"""

import contextlib
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.parquet.axes import axis_of, axis_value, value_words, varying_variables
from results.parquet.search_results import Parameter
from results.parquet.settings import FILLED_IN, is_default
from results.parquet.trials import Cell, Trial, group_repeats
from trainable.config import FIELD_NAMES, TrainConfig, fields_that_differ, is_field, value_of
from trainable.errors import UserError
from trainable.field_checks import SYNONYMS
from trainable.grouping import grouped
from trainable.ledger.checksums import parse_json
from trainable.wording import MAX_LISTED, counted, format_value, listed, nearest

SWEEP = "sweep"
RUN_COLUMNS = ("code", "device", "execution", "precision_resolved", "num_threads")
"""Columns of `trials`, besides training fields, whose values can be the arms of a sweep."""
TEST_IMAGES = ("dataset", "dataset_fingerprint", "test_subset")
FILLED = "filled in"
"""Stands for any value that the program filled in."""
MOST_REASONS = 4
Settings = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of comparisons: a sweep, or the trials of a sweep with one value of a field."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A configuration of the first arm and one of another arm."""

    first: Cell
    other: Cell
    field: str
    """The field in which they differ; SWEEP, or a column of `trials`, if they have equal settings."""
    choices: tuple[int, int] = (1, 1)
    """Numbers of configurations of which `first` and `other` are the best."""

    @property
    def is_one_training(self) -> bool:
        """Whether both sides have the very same trainings, which sweeps of one store share."""
        first, other = ({(trial.row.trial_key, trial.row.generation) for trial in cell.trials} for cell in self.sides)
        return bool(first & other)

    @property
    def sides(self) -> tuple[Cell, Cell]:
        return self.first, self.other


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs of two arms, and why other configurations have none."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def arms_by(trials: Sequence[Trial], field: str, sweep: str, parameters: Sequence[Parameter] = ()) -> list[Arm]:
    """Return the arms of a sweep, by the values of a training field, a variable or a column of `trials`.

    Numbers are in ascending order, words in the order of the search's choices, else of their first trials.

    Args:
        trials: rows of the sweep; superseded trainings count if `field` is one of RUN_COLUMNS.
        field: name of the field, or FIELD=VALUE, which puts the arm of this value first.
        sweep: name of the sweep, for messages.
        parameters: those of the search, if it is one.

    Raises:
        UserError: no such field, or it has a single value.
    """
    name, _, first = field.partition("=")
    varying = _varying([trial.config for trial in trials])
    variables = _variables(trials)
    if not is_field(name) and name not in (*RUN_COLUMNS, *variables):
        valid = [*varying, *variables, *(FIELD_NAMES if name in SYNONYMS else ())] or RUN_COLUMNS
        raise UserError(f"--by {name}: no such field: {nearest(name, valid, SYNONYMS)}")
    if name in ("seed", "parent"):
        raise UserError(f"--by {name}: arms differ in a setting, for example {' or '.join(varying[:2]) or 'lr'}")
    used = [trial for trial in trials if name in RUN_COLUMNS or not trial.row.superseded]
    groups = grouped(used, lambda trial: setting_in(trial, name))
    if len(groups) < 2:
        fields = listed([*varying, *varying_variables(trials)], MAX_LISTED) or "none"
        value = value_words(name, next(iter(groups), None))
        raise UserError(f"--by {name}: all trials of {sweep!r} have {value}; fields that vary: {fields}")
    values = list(axis_of(name, groups, parameters).values)
    if first:
        meant = _meant(field, first, values, sweep)
        values.sort(key=lambda value: value != meant)
    labels = [setting_text(name, value) for value in values]
    if len({*labels}) < len(labels):
        labels = [setting_text(name, value, digits=None) for value in values]
    return [_arm(f"{name} {label}", groups[value]) for label, value in zip(labels, values, strict=True)]


def setting_in(trial: Trial, name: str) -> Any:  # noqa: ANN401 (whatever the field holds)
    """Return the value of a training field, of a column of `trials` or of a variable that `derive` used."""
    if is_field(name):
        return axis_value(trial.config, name)
    return getattr(trial.row, name) if name in RUN_COLUMNS else parse_json(trial.row.variables).get(name)


def setting_text(name: str, value: object, *, digits: int | None = 6) -> str:
    """Return a value as a space has it, with a word for None."""
    return value_words(name, None) if value is None else format_value(value, digits=digits)


def _meant(field: str, text: str, values: Sequence[Any], sweep: str) -> Any:  # noqa: ANN401
    """Return the value that a text means: the same number, or a word as spaces or tables have it."""
    name = field.partition("=")[0]
    with contextlib.suppress(ValueError):
        for value in values:
            if isinstance(value, int | float) and not isinstance(value, bool) and float(text) == value:
                return value
    forms = {str(value): value for value in values}
    forms |= {form: value for value in values for form in (setting_text(name, value), value_words(name, value))}
    for form, value in forms.items():
        if form.casefold() == text.casefold():
            return value
    words = [setting_text(name, value) for value in values]
    is_number = all(isinstance(value, int | float) for value in values)
    hint = f"valid: {listed(words, MAX_LISTED)}" if is_number else nearest(text, words)
    raise UserError(f"--by {field}: no trial of {sweep!r} has it: {hint}")


def _variables(trials: Iterable[Trial]) -> list[str]:
    """Return the names of the variables that `derive` used besides fields."""
    return sorted({name for trial in trials for name in parse_json(trial.row.variables)} - {*FIELD_NAMES})


def sweep_arm(sweep: str, trials: Sequence[Trial]) -> Arm:
    """Return a sweep as an arm."""
    return _arm(sweep, [trial for trial in trials if not trial.row.superseded])


def _arm(label: str, trials: Sequence[Trial]) -> Arm:
    """Return the configurations without inherited weights; of several trainings of a trial the last one counts."""
    last = {trial.config: trial for trial in trials if trial.config.parent is None}
    if not last:
        raise UserError(f"{label} has no trials that began with random weights: there is nothing to compare")
    return Arm(label, tuple(group_repeats(last.values())))


def pair_arms(first: Arm, other: Arm, *, by: str = SWEEP, best: str | None = None) -> Pairing:
    """Pair the configurations of `other` with those of `first`.

    Args:
        first: the arm to compare with.
        other: the arm that is compared.
        by: the field of which the arms are values; SWEEP for two sweeps.
        best: a training field over which each side is represented by its best configuration.

    Raises:
        UserError: `best` is no training field, or is the field of the arms.
    """
    cells = (*first.cells, *other.cells)
    variables = _variables(cell.trials[0] for cell in cells)
    if best is not None and (best == by or not (is_field(best) or best in variables)):
        hint = nearest(best, (*FIELD_NAMES, *variables), SYNONYMS)
        raise UserError(f"--best {best}: {'the arms differ in it' if best == by else f'no such field: {hint}'}")
    names = [name for name in _varying([cell.config for cell in cells]) if name != best]
    for name in {by, best} & {*variables}:
        names = _without_derived(names, str(name), cells)
    left, right = (_choices(arm.cells, names, best) for arm in (first, other))
    found = list(_candidates(right, left, names, by))
    frequent = [name for name, _ in Counter(name for candidates in found for name in candidates).most_common()]
    pairs: list[Pair] = []
    paired, num_same = set(), 0
    for choice, candidates in zip(right, found, strict=True):
        name = by if by in candidates else next((name for name in frequent if name in candidates), by)
        for near in _nearest(choice, candidates.get(name, []), name):
            paired |= {near, choice}
            pair = Pair(near.cell, choice.cell, name, (near.number, choice.number))
            num_same += pair.is_one_training
            pairs += [pair] * (not pair.is_one_training)
    notes = []
    if num_same:
        what = counted(num_same, "configuration is", "configurations are")
        notes.append(f"{what} the same trainings in {first.label} and {other.label}")
    for arm, partner, own, theirs in ((other, first, right, left), (first, other, left, right)):
        if alone := [choice for choice in own if choice not in paired]:
            what = counted(len(alone), f"configuration of {arm.label} has", f"configurations of {arm.label} have")
            notes.append(f"{what} no pair in {partner.label}: {'; '.join(_reasons(alone, theirs, names, by, best))}")
    return Pairing(tuple(pairs), (*notes, *_run_notes(first, other, by)))


def _run_notes(first: Arm, other: Arm, by: str) -> Iterator[str]:
    """Yield in which versions of the code, devices and so on the runs of two arms differ."""
    for column in RUN_COLUMNS:
        ours, theirs = (
            sorted({str(getattr(trial.row, column)) for cell in arm.cells for trial in cell.finished})
            for arm in (first, other)
        )
        if column != by and ours != theirs and ours and theirs:
            words = [listed(values, MOST_REASONS) for values in (ours, theirs)]
            yield f"{column}: {words[0]} in {first.label}, {words[1]} in {other.label}"


def _varying(configs: Sequence[TrainConfig]) -> list[str]:
    return [name for name in fields_that_differ(configs) if name not in ("seed", "parent")]


def _without_derived(names: Sequence[str], variable: str, cells: Sequence[Cell]) -> list[str]:
    """Return the names without the field that is derived from a variable and the others.

    Of several that could be, it is the one with most values, as a product has more values than its factors.
    """

    def number(fields: Sequence[str]) -> int:
        return len({tuple(setting_in(cell.trials[0], field) for field in fields) for cell in cells})

    def is_derived(name: str) -> bool:
        others = [other for other in names if other != name]
        return number(others) < number(names) and number([variable, *others]) == number([variable, *names])

    derived = max(filter(is_derived, names), key=lambda name: number([name]), default=None)
    return [name for name in names if name != derived]


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """A configuration with the settings by which it is paired."""

    cell: Cell
    settings: Settings
    number: int
    """Number of configurations of which it is the best."""


def _choices(cells: Sequence[Cell], names: Sequence[str], best: str | None) -> list[_Choice]:
    """Return the configurations, or the best of each group that differ in `best` alone."""
    groups = grouped(cells, lambda cell: _settings(cell.config, names))
    if best is None:
        return [_Choice(cell, settings, 1) for settings, group in groups.items() for cell in group]
    choices = []
    for settings, group in groups.items():
        finished = [cell for cell in group if cell.test_errors]
        cell = min(finished, key=lambda cell: statistics.fmean(cell.test_errors), default=group[0])
        choices.append(_Choice(cell, settings, max(len(finished), 1)))
    return choices


def _settings(config: TrainConfig, names: Sequence[str]) -> Settings:
    """Return the values of fields, with FILLED for each that the program filled in."""
    return tuple(
        FILLED if name in FILLED_IN and is_default(config, name) else value_of(config, name) for name in names
    )


def _differing(choices: Sequence[_Choice], others: Sequence[_Choice]) -> Iterator[NDArray[np.bool_]]:
    """Yield for each choice whether each of the others (first axis) differs from it in each field (second axis)."""
    codes: dict[object, int] = {}
    own, theirs = (
        np.array([[codes.setdefault(value, len(codes)) for value in choice.settings] for choice in side])
        for side in (choices, others)
    )
    yield from (theirs.reshape(len(others), -1) != row for row in own)


def _candidates(
    choices: Sequence[_Choice], others: Sequence[_Choice], names: Sequence[str], by: str
) -> Iterator[dict[str, list[_Choice]]]:
    """Yield for each choice the others that are equal or differ in one field only, by that field."""
    most = 0 if by in RUN_COLUMNS else 1
    barred = np.array([name in TEST_IMAGES for name in names], dtype=np.bool_)
    for differing in _differing(choices, others):
        (near,) = np.nonzero((differing.sum(axis=1) <= most) & ~differing[:, barred].any(axis=1))
        found = [
            (names[int(differing[at].argmax())] if differing[at].any() else by, others[at]) for at in near.tolist()
        ]
        groups = grouped(found, lambda pair: pair[0])
        yield {name: [other for _, other in group] for name, group in groups.items()}


def _nearest(choice: _Choice, others: Sequence[_Choice], field: str) -> list[_Choice]:
    """Return the one with the nearest number in the field; all of them if its values are words."""
    if len(others) < 2 or not is_field(field):
        return list(others)
    values = [value_of(other.cell.config, field) for other in (choice, *others)]
    if not all(type(value) in (int, float) for value in values):
        return list(others)
    own, *theirs = values
    by_ratio = min(values) > 0
    distances = [abs(math.log(value / own)) if by_ratio else abs(value - own) for value in theirs]
    return [min(zip(distances, theirs, others, strict=True), key=lambda found: found[:2])[2]]


def _reasons(
    alone: Sequence[_Choice], others: Sequence[_Choice], names: Sequence[str], by: str, best: str | None
) -> list[str]:
    """Return why these have no pair: the fields in which the nearest of the others differ."""
    own = {
        name
        for at, name in enumerate(names)
        if name == by or all(len({choice.settings[at] for choice in side}) == 1 for side in (alone, others))
    }
    nearest_ones = (differing[differing.sum(axis=1).argmin()] for differing in _differing(alone, others))
    misses = Counter(tuple(itertools.compress(names, differs)) for differs in nearest_ones)
    reasons = []
    for fields, number in misses.most_common(MOST_REASONS):
        apart = [field for field in fields if field not in own]
        text = f"the nearest differs in {' and '.join(filter(None, [', '.join(fields[:-1]), *fields[-1:]])) or by}"
        if {*fields} & {*TEST_IMAGES}:
            text = f"other test images ({', '.join(field for field in fields if field in TEST_IMAGES)} differ)"
        elif len(fields) < 2:
            text += ", and has a nearer one"
        elif best is None and len(apart) == 1 and len(fields) == 2:
            text += f" (--best {apart[0]} compares the best of each side)"
        reasons.append(f"{text} ({number})" if len(misses) > 1 else text)
    rest = len(misses) - MOST_REASONS
    return [*reasons, *([f"and {rest} more such reasons"] * (rest > 0))]
