"""Any training field or result of trials by its name, and which of them a figure shows where nobody says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from results.figures.style import wants_log
from results.parquet.axes import RESULTS, Axis, axis_of, axis_value, ranked_axes
from results.parquet.schema import TRIALS_SCHEMA
from results.parquet.search_results import Parameter, SearchResults
from results.parquet.trials import Cell, Trial
from trainable.config import FIELD_NAMES, is_field
from trainable.errors import UserError
from trainable.field_checks import SYNONYMS
from trainable.ledger.checksums import parse_json
from trainable.records import Status
from trainable.wording import listed, nearest

SWEEP = "sweep"
"""Name of what tells several sweeps apart."""
OBJECTIVE = "objective"
"""Name of the first objective of a search."""
ERROR = "test_error_percent"
OUTCOMES = (OBJECTIVE, "_percent", "_percent_last5", "_loss")
"""Ends of the names of results that only a completed trial has."""
NOT_DRAWN = ("sweep", "superseded", "variables", "versions", "attempts_differ", "model_args")
RESULT_COLUMNS = tuple(
    field.name
    for field in TRIALS_SCHEMA
    if field.name not in (*NOT_DRAWN, *FIELD_NAMES)
    and any(test(field.type) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_string))
)
MOST_CATEGORIES = 24
"""Largest number of words on an axis or as colours."""
MOST_PANELS = 12
MOST_PANELS_UNASKED = 6
MOST_NAMED = 4
"""Number of fields that a message names."""
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of what is on the axes, is told by colours, and has panels of its own; None where nobody says."""

    x: str | None = None
    y: str | None = None
    color: str | None = None
    panel: str | None = None

    def named(self) -> dict[str, str]:
        """Return the names that are given, by role."""
        pairs = (("x", self.x), ("y", self.y), ("color", self.color), ("panel", self.panel))
        return {role: name for role, name in pairs if name is not None}

    def words(self) -> list[str]:
        """Return the given names for a file's name, with the role where one before it is not given."""
        named = self.named()
        return [
            name if [*named][: index + 1] == ["x", "y", "color", "panel"][: index + 1] else f"{role}-{name}"
            for index, (role, name) in enumerate(named.items())
        ]


@dataclass(frozen=True, slots=True)
class SweepTrials:
    """The trials of a sweep that a figure shows."""

    name: str
    trials: Sequence[Trial]
    search: SearchResults | None = None
    is_running: bool = False
    """Whether trials are still to come."""

    @classmethod
    def of_sweep(
        cls, name: str, cells: Sequence[Cell], search: SearchResults | None, *, is_running: bool = False
    ) -> "SweepTrials":
        """Return all trials of a sweep; of a search its proposals, of a population those of the last generation."""
        found = [trial for cell in cells for trial in cell.trials]
        if search is not None:
            found = [item.trial for item in search.finalists] if search.is_population else search.trainings
        return cls(name, found, search, is_running)

    @property
    def outcome(self) -> str:
        """Name of what is to be minimised: the objective of a search, else the test error."""
        return ERROR if self.search is None else OBJECTIVE


def is_parameter(name: str) -> bool:
    """Return whether a name is no result: it is set before the training."""
    return name not in RESULT_COLUMNS and name != OBJECTIVE


def is_mean(axis: Axis) -> bool:
    """Return whether repeats of a configuration are shown by their mean of this result."""
    return axis.is_number and (axis.name in RESULTS or axis.name.endswith(OUTCOMES))


def value_in(trial: Trial, name: str) -> Any:  # noqa: ANN401 (whatever the column holds)
    """Return the value of a field, a variable or a result; None if the trial has none, or did not complete."""
    if is_field(name):
        return axis_value(trial.config, name)
    if name == SWEEP:
        return trial.row.sweep
    if is_parameter(name):
        return parse_json(trial.row.variables).get(name)
    if name.endswith(OUTCOMES) and trial.status is not Status.COMPLETE:
        return None
    value = (trial.row.objective_values or (None,))[0] if name == OBJECTIVE else getattr(trial.row, name)
    return value / MEGABYTE if name == "peak_memory_bytes" and value is not None else value


def resolved(asked: Roles, sweeps: Sequence[SweepTrials]) -> dict[str, Axis]:
    """Return the axis of each role, with defaults for roles that nobody named: the most important fields.

    Raises:
        UserError: a name is unknown, its values do not fit its role, or nothing varies.
    """
    named = asked.named()
    if named.get("color") == SWEEP and len(sweeps) > 1:  # colours tell the sweeps apart by themselves
        del named["color"]
    axes = {role: _named_axis(role, name, sweeps) for role, name in named.items()}
    taken = {axis.name for axis in axes.values()}
    free = [axis for axis in shared_axes(sweeps) if axis.name not in taken]
    if "x" not in axes:
        if not free:
            raise UserError(f"no field varies in {_names(sweeps)}: there is nothing to draw a result against")
        numbers = [axis for axis in free if axis.is_number]
        axes["x"] = next((axis for axis in free[:2] if axis.name == "lr"), (numbers or free)[0])
        free.remove(axes["x"])
    outcomes = {sweep.outcome for sweep in sweeps}
    outcome = outcomes.pop() if len(outcomes) == 1 else ERROR
    if "y" not in axes:
        axes["y"] = _named_axis("y", outcome, sweeps)
    if "color" not in axes and is_parameter(axes["y"].name):
        axes["color"] = _named_axis("color", outcome, sweeps)
    fitting = [axis for axis in free if axis.is_number or len(axis.values) <= MOST_CATEGORIES]
    if "color" not in axes and len(sweeps) == 1 and fitting:
        axes["color"] = fitting[0]
        free.remove(fitting[0])
    few = [axis for axis in free if len(axis.values) <= MOST_PANELS_UNASKED]
    if "panel" not in axes and few and not any(sweep.search for sweep in sweeps):
        axes["panel"] = few[0]
    return axes


def shared_axes(sweeps: Sequence[SweepTrials]) -> list[Axis]:
    """Return the fields that vary in every sweep, or if there are none in all of them together, ranked."""
    varying = [{axis.name for axis in ranked([sweep])} for sweep in sweeps]
    axes = ranked(sweeps)
    return [axis for axis in axes if all(axis.name in names for names in varying)] or axes


def ranked(sweeps: Sequence[SweepTrials]) -> list[Axis]:
    """Return the fields in which any trials differ, the most important for the outcome first."""
    pairs = [(trial.config, value_in(trial, sweep.outcome)) for sweep in sweeps for trial in sweep.trials]
    return ranked_axes(pairs, _parameters(sweeps))


def _parameters(sweeps: Sequence[SweepTrials]) -> list[Parameter]:
    return [parameter for sweep in sweeps if sweep.search for parameter in sweep.search.parameters]


def _named_axis(role: str, name: str, sweeps: Sequence[SweepTrials]) -> Axis:
    """Return the axis of a field or a result for a role.

    Raises:
        UserError: there is none of this name, it has no values or a single one, or they do not fit the role.
    """
    _check_name(role, name, sweeps)
    values = [value_in(trial, name) for sweep in sweeps for trial in sweep.trials]
    if name in RESULT_COLUMNS or name == OBJECTIVE:
        values = [value for value in values if value is not None]
    what = f"--{role} {name}"
    if not values:
        raise UserError(f"{what}: no trial of {_names(sweeps)} has a value")
    axis = axis_of(name, values, _parameters(sweeps))
    if len(axis.values) < 2 and not (role == "y" and is_mean(axis)):
        others = [other.name for other in shared_axes(sweeps)]
        so_far = " so far" * any(sweep.is_running for sweep in sweeps)
        hint = f"; what varies: {listed(others, MOST_NAMED)}" if others else ""
        raise UserError(f"{what}: it is {axis.text(axis.values[0])} in all trials of {_names(sweeps)}{so_far}{hint}")
    most = MOST_PANELS if role == "panel" else math.inf if axis.is_number else MOST_CATEGORIES
    if len(axis.values) > most:
        words = "panels" if role == "panel" else "words"
        raise UserError(f"{what}: it has {len(axis.values)} values; at most {most} {words} are drawn")
    if is_parameter(name):
        return axis
    return replace(axis, is_log=axis.is_number and wants_log(axis.values))


def _check_name(role: str, name: str, sweeps: Sequence[SweepTrials]) -> None:
    texts = {trial.row.variables for sweep in sweeps for trial in sweep.trials}
    variables = {key for text in texts for key in parse_json(text) if key.isidentifier()}
    arguments = {
        f"model_args.{key}" for sweep in sweeps for trial in sweep.trials for key in trial.config.model_arguments()
    }
    is_search = [OBJECTIVE] * all(sweep.search is not None for sweep in sweeps)
    varying = [axis.name for axis in shared_axes(sweeps)]
    fields = [field for field in FIELD_NAMES if field not in NOT_DRAWN]
    several = [SWEEP] * (len(sweeps) > 1)
    if name == SWEEP and not several:
        raise UserError(
            f"--{role} {SWEEP}: there is only one; name several, as in `plot SWEEP OTHER --{role} {SWEEP}`"
        )
    valid = dict.fromkeys(
        [*varying, *several, *is_search, *RESULTS, *sorted(variables | arguments), *fields, *RESULT_COLUMNS]
    )
    if name not in valid:
        hint = nearest(name, valid, SYNONYMS)
        raise UserError(f"--{role} {name}: trials have no field and no result of this name: {hint}")


def _names(sweeps: Sequence[SweepTrials]) -> str:
    return " and ".join(sweep.name for sweep in sweeps)
