"""What a scatter of any fields shows: a mark per configuration, and the trials that have none."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.figures.fields import (
    MOST_NAMED,
    OBJECTIVE,
    Roles,
    SweepTrials,
    is_mean,
    is_parameter,
    ranked,
    resolved,
    value_in,
)
from results.figures.points import spans_line, sweep_points, title
from results.parquet.axes import Axis
from results.parquet.trials import Trial, group_repeats
from trainable.records import Status
from trainable.wording import counted, listed

LOST = {
    Status.DIVERGED: ("x", "×", "diverged"),
    Status.FAILED: ("+", "+", "failed"),
    Status.STOPPED: ("|", "|", "stopped early"),
    Status.INCOMPLETE: (".", "·", "unfinished"),
    Status.COMPLETE: ("_", "–", "complete"),
}
"""Status of a trial without a value -> marker, the marker in words, and what happened to it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A configuration of a sweep, with the means of its results over its repeats."""

    sweep: str
    values: Mapping[str, Any]
    """Role -> value."""
    spans: Mapping[str, tuple[float, float]]
    """Role -> lowest and highest value of the repeats, for results."""
    num_runs: int

    @property
    def has_bars(self) -> bool:
        """Whether its error bars have a length."""
        return any(low < high for role, (low, high) in self.spans.items() if role in ("x", "y"))


@dataclass(frozen=True, slots=True)
class LostTrial:
    """A trial without one of the values, because it did not complete or has none."""

    sweep: str
    status: Status
    values: Mapping[str, Any]
    """Role -> value, without those that it lacks."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Everything that is drawn."""

    axes: Mapping[str, Axis]
    """Role -> axis; `x` and `y` always."""
    labels: Mapping[str, str]
    """Role -> label of the axis."""
    sweeps: list[str]
    marks: list[Mark]
    lost: list[LostTrial]
    heading: list[str]
    """A line per sweep."""
    others: list[str]
    """Names of further fields in which the trials differ."""
    has_ranges: bool
    """Whether values were drawn from ranges."""
    objective: str = ""
    """Which of several objectives is drawn."""

    @property
    def is_joined(self) -> bool:
        """Whether lines join the marks of a colour and a panel: they differ in x only, a number of a grid."""
        axis, color = self.axes["x"], self.axes.get("color")
        if self.others or self.has_ranges or not axis.is_number or not is_parameter(axis.name):
            return False
        roles = ("panel", "color", "x")
        counts = Counter((mark.sweep, *(mark.values.get(role) for role in roles)) for mark in self.marks)
        return (color is None or not is_mean(color)) and max(counts.values(), default=0) == 1

    @property
    def title(self) -> str:
        """The heading, and what the reader of the marks must know."""
        also = f"points also differ in {listed(self.others, MOST_NAMED)}" if self.others else ""
        lines = "\n".join(line for line in (*self.heading, also, self.note) if line)
        has_bars = any(mark.has_bars for mark in self.marks)
        return lines + spans_line([mark.num_runs for mark in self.marks], has_bars=has_bars)

    @property
    def results(self) -> list[str]:
        """Names of the results that a trial must have for a mark."""
        return list(dict.fromkeys(axis.name for axis in self.axes.values() if not is_parameter(axis.name)))

    @property
    def num_hidden(self) -> int:
        """Number of marks that lie on another one; those of one word are beside each other."""
        if not self.axes["x"].is_number:
            return 0
        counts = Counter(tuple(mark.values.get(role) for role in ("panel", "x", "y")) for mark in self.marks)
        return sum(count - 1 for count in counts.values())

    @property
    def note(self) -> str:
        """What is hidden or has no mark: trials by what happened to them, and marks that lie on others."""
        hidden = f"{counted(self.num_hidden, 'point')} on others" if self.num_hidden else ""
        return "; ".join(filter(None, (self._lost_words(), hidden, self.objective)))

    def _lost_words(self) -> str:
        """Return how many trials have no mark, by what happened to them; empty if there are none."""
        if not self.lost:
            return ""
        counts = Counter(trial.status for trial in self.lost)
        is_at_edge = any(not {"x", "y"} <= trial.values.keys() for trial in self.lost)
        parts = [f"{counts[status]} {words} ({sign})" for status, (_, sign, words) in LOST.items() if counts[status]]
        value = "value" if counts[Status.COMPLETE] else "final value"
        return f"trials without a {value}{', at the edge' * is_at_edge}: {', '.join(parts)}"


def scatter(sweeps: Sequence[SweepTrials], asked: Roles) -> Scatter:
    """Return what is drawn of the trials of one or several sweeps.

    Raises:
        UserError: a name is unknown, its values do not fit its role, or nothing varies.
    """
    axes = resolved(asked, sweeps)
    marks = [mark for sweep in sweeps for mark in _marks(sweep, axes)]
    lost = [trial for sweep in sweeps for trial in _lost(sweep, axes)]
    objectives = next((sweep.search.objectives for sweep in sweeps if sweep.search), ())
    labels = {role: objectives[0].label if axis.name == OBJECTIVE else axis.label for role, axis in axes.items()}
    is_first = len(objectives) > 1 and OBJECTIVE in {axis.name for axis in axes.values()}
    drawn = {axis.name for axis in axes.values()}
    others = [axis.name for axis in ranked(sweeps) if axis.name not in drawn]
    has_ranges = any(sweep.search is not None and sweep.search.has_ranges for sweep in sweeps)
    return Scatter(
        axes,
        labels,
        [sweep.name for sweep in sweeps],
        marks,
        lost,
        _heading(sweeps, drawn | {*others}),
        others,
        has_ranges,
        f"objective: the first of {len(objectives)}, {objectives[0].label}" if is_first else "",
    )


def _known(trial: Trial, axes: Mapping[str, Axis]) -> dict[str, Any]:
    """Return the values of a trial by role; None is a value of a field, but not of a result."""
    values = {role: value_in(trial, axis.name) for role, axis in axes.items()}
    return {role: value for role, value in values.items() if value is not None or is_parameter(axes[role].name)}


def _lost(sweep: SweepTrials, axes: Mapping[str, Axis]) -> list[LostTrial]:
    """Return the trials without one of the values."""
    known = [(trial, _known(trial, axes)) for trial in sweep.trials]
    return [LostTrial(sweep.name, trial.status, values) for trial, values in known if len(values) < len(axes)]


def _marks(sweep: SweepTrials, axes: Mapping[str, Axis]) -> list[Mark]:
    """Return a mark for the trials that have all values and differ in nothing but their seed and their results."""
    means = [role for role, axis in axes.items() if is_mean(axis)]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for trial in sweep.trials:
        values = _known(trial, axes)
        if len(values) == len(axes):
            own = (value for role, value in values.items() if role not in means)
            groups.setdefault((dataclasses.replace(trial.config, seed=0), *own), []).append(values)
    marks = []
    for runs in groups.values():
        found = {role: [run[role] for run in runs] for role in means}
        spans = {role: (min(values), max(values)) for role, values in found.items()}
        centre = {role: min(max(statistics.fmean(found[role]), low), high) for role, (low, high) in spans.items()}
        marks.append(Mark(sweep.name, {**runs[0], **centre}, spans, len(runs)))
    return marks


def _heading(sweeps: Sequence[SweepTrials], varying: Collection[str]) -> list[str]:
    """Return what each sweep is, and how it searched."""
    lines = []
    for sweep in sweeps:
        lines.append(title(sweep_points(group_repeats(sweep.trials), sweep.name), varying))
        if sweep.search is not None:
            generation = ", trials of the last generation" * sweep.search.is_population
            lines.append(f"search by {sweep.search.method}{generation}")
    return lines
