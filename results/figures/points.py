"""The data of figures: configurations with their errors, published or ours."""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from models.names import display_name
from results.parquet.axes import FIRST, Axis, axis_of, is_geometric, ranked, varying_axes, zero_if_none
from results.parquet.search_results import Parameter
from results.parquet.settings import (
    OPTIMIZER_NAMES,
    is_default,
    one_at_a_time,
    recipe_words,
    shared_recipe_fields,
    swept_words,
)
from results.parquet.trials import Cell
from results.published.cells import SEQUEL_FILE, PublishedCell, all_cells, table_names
from trainable.config import DEFAULTS, value_of
from trainable.records import Status
from trainable.wording import counted, format_value, listed, printable_line

PUBLISHED_DATASET = "cifar10"
STRUCTURE = ("model", "dataset", "batch_size", "lr", "schedule", "epochs")
"""Fields that are attributes of a point; other fields that differ within a sweep are in `Point.other`."""
MOST_FOLLOWERS = 3
"""Number of fields that the label of an axis names besides its own."""
LOST = (Status.DIVERGED, Status.FAILED)
"""Ends without an error that figures mark at their edge."""
OPTIMIZER, SGD = "optimizer", "sgd"
SCHEDULE = "schedule"
BASELINE = "baseline"
"""Label of what has no other words."""


class Source(StrEnum):
    """Origin of a point; published points are hollow in every figure, ours solid."""

    PUBLISHED = "published"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration with all its repeats."""

    source: Source
    origin: str
    """'published', or the name of the sweep."""
    model: str
    dataset: str
    batch_size: int
    lr: float
    schedule: str
    epochs: int
    errors: tuple[float, ...]
    """Test error (percent) at the last epoch, one per run (published: as printed); empty if no run finished."""
    hours: float | None
    """Hours of one run on its device, training and evaluation; the median over the repeats."""
    hardware: str
    other: tuple[tuple[str, Any], ...] = ()
    """(name, value) of further training fields in which the cells of the sweep differ."""
    defaults: frozenset[str] = frozenset()
    """Names of those that have their default value, and `schedule` if it has."""
    shared: tuple[str, ...] = ()
    """Words for what all cells of the sweep share and the 16 first published tables have not."""
    without_error: tuple[Status, ...] = ()
    """Status of each run without an error."""

    def value(self, name: str) -> Any:  # noqa: ANN401 (whatever the field holds)
        """Return the value of a training field; its default if the field is not among those of the point."""
        if name in STRUCTURE:
            return getattr(self, name)
        value = next((value for other, value in self.other if other == name), DEFAULTS.get(name))
        return zero_if_none(name, value)

    @property
    def is_lost(self) -> bool:
        """Whether a run diverged or failed."""
        return any(status in LOST for status in self.without_error)

    @property
    def error(self) -> float:
        """Mean over the repeats, in percent, for points that have an error.

        The mean of equal errors is exactly their value, without the rounding of the last bit.
        """
        return min(max(statistics.fmean(self.errors), min(self.errors)), max(self.errors))

    @property
    def optimizer(self) -> str:
        """Name of the optimiser, where the points of the figure have several; otherwise empty."""
        return OPTIMIZER_NAMES.get(dict(self.other).get(OPTIMIZER, ""), "")


def published_point(cell: PublishedCell) -> Point:
    """Return the point of a published row; its time is that of a whole run, to the minute."""
    return Point(
        source=Source.PUBLISHED,
        origin=Source.PUBLISHED.value,
        model=cell.model,
        dataset=PUBLISHED_DATASET,
        batch_size=cell.batch_size,
        lr=cell.lr,
        schedule=cell.schedule,
        epochs=cell.epochs,
        errors=(cell.test_error_percent,),
        hours=cell.minutes / 60,
        hardware=cell.hardware,
    )


def published_points(belongs: Callable[[str], bool] | None = None) -> list[Point]:
    """Return the points of the published tables that `belongs` accepts; a run printed in two tables is one point.

    By default these are all tables but those of the sequel.
    """
    sequel = table_names(SEQUEL_FILE)
    cells = [cell for cell in all_cells() if (belongs(cell.table) if belongs else cell.table not in sequel)]
    return list(dict.fromkeys(map(published_point, cells)))


def lars_points() -> list[Point]:
    """Return the points of the sequel's tables of SGD and LARS at 200 epochs."""
    cells = [cell for cell in all_cells() if cell.table.startswith("lars_") and cell.epochs == 200]
    points = [replace(published_point(cell), other=((OPTIMIZER, cell.optimizer),)) for cell in cells]
    return list(dict.fromkeys(points))


def sweep_points(cells: Sequence[Cell], sweep: str) -> list[Point]:
    """Return the points of the cells of a sweep, in their order."""
    configs = [cell.config for cell in cells]
    others = [axis.name for axis in varying_axes(configs) if axis.name not in STRUCTURE]
    shared = shared_recipe_fields(configs)
    return [_sweep_point(cell, sweep, others, shared) for cell in cells]


def _sweep_point(cell: Cell, sweep: str, others: Sequence[str], shared: Sequence[str]) -> Point:
    config, seconds = cell.config, [trial.row.total_seconds for trial in cell.finished]
    return Point(
        source=Source.OURS,
        origin=sweep,
        model=config.model,
        dataset=printable_line(config.dataset),
        batch_size=config.batch_size,
        lr=config.lr,
        schedule=config.schedule,
        epochs=config.epochs,
        errors=tuple(cell.test_errors),
        hours=statistics.median(seconds) / 3600 if seconds else None,
        hardware=printable_line(", ".join(sorted({trial.row.device for trial in cell.trials}))),
        other=tuple((name, value_of(config, name)) for name in others),
        defaults=frozenset(name for name in (SCHEDULE, *others) if is_default(config, name)),
        shared=tuple(recipe_words(config, shared)),
        without_error=tuple(trial.status for trial in cell.trials if trial.status is not Status.COMPLETE),
    )


def point_axes(
    points: Sequence[Point], parameters: Sequence[Parameter] = (), first: Sequence[str] = FIRST
) -> list[Axis]:
    """Return the fields in which points differ, the most important first; `first` come before if all of them vary."""
    names = dict.fromkeys([*STRUCTURE, *(name for point in points for name, _ in point.other)])
    axes = [axis_of(name, [point.value(name) for point in points], parameters) for name in names]
    varying = [axis for axis in axes if len(axis.values) > 1]
    values = [({axis.name: point.value(axis.name) for axis in varying}, point) for point in points]
    return ranked(varying, [(own, error) for own, point in values for error in point.errors or (None,)], first)


def leading_axes(axes: Sequence[Axis], points: Sequence[Point]) -> tuple[list[Axis], dict[Axis, Axis]]:
    """Return the axes that are independent of all before them, and for each other one that which it follows.

    An axis follows another one if their values belong together in pairs, numbers in rising or falling order: the
    learning rate follows the batch size under a linear rule.
    """
    leading: list[Axis] = []
    followers: dict[Axis, Axis] = {}
    for axis in axes:
        owner = next((other for other in leading if _follows(axis, other, points)), None)
        if owner is None:
            leading.append(axis)
        elif owner.is_number and not axis.is_number:  # words lead: what has a rate of its own is no scale of rates
            leading[leading.index(owner)] = axis
            followers = {name: axis if other == owner else other for name, other in followers.items()} | {owner: axis}
        else:
            followers[axis] = owner
    return leading, followers


def group_rank(points: Sequence[Point], axes: Sequence[Axis]) -> Callable[[Point], tuple[int, ...]]:
    """Return the function that gives the rank of a point by its batch size, its epochs, its source and other `axes`.

    If the values of the other axes form no grid, they are ranked as they first appear, which puts the baseline where
    the space has it.
    """
    first = {axis.name: axis.positions for axis in axes if axis.name in ("batch_size", "epochs")}
    others = [axis for axis in axes if axis.name not in first]

    def values_of(point: Point) -> tuple[Any, ...]:
        return tuple(point.value(axis.name) for axis in others)

    found = dict.fromkeys(map(values_of, points))
    if others and _is_grid(points, [axis.name for axis in others]):
        found = dict.fromkeys(itertools.product(*(axis.values for axis in others)))
    ranks = {values: rank for rank, values in enumerate(found)}

    def rank(point: Point) -> tuple[int, ...]:
        leading = [positions[point.value(name)] for name, positions in first.items()]
        return (*leading, list(Source).index(point.source), ranks[values_of(point)])

    return rank


def axis_label(axis: Axis, followers: Mapping[Axis, Axis]) -> str:
    """Return the label of an axis, with the fields that follow it."""
    others = listed([other.label for other, owner in followers.items() if owner == axis], MOST_FOLLOWERS)
    return f"{axis.label} (with it: {others})" if others else axis.label


def _follows(axis: Axis, other: Axis, points: Sequence[Point]) -> bool:
    pairs = {(point.value(other.name), point.value(axis.name)) for point in points}
    if not len(pairs) == len(axis.values) == len(other.values):
        return False
    first, second = other.positions, axis.positions
    order = [second[value] for _, value in sorted(pairs, key=lambda pair: first[pair[0]])]
    return not (axis.is_number and other.is_number) or order in (sorted(order), sorted(order, reverse=True))


def axis_scale(axis: Axis) -> dict[str, Any]:
    """Return the arguments of `set_xscale`; beside 0 a geometric series is linear up to its first number."""
    if not axis.is_number:
        return {"value": "linear"}
    if axis.is_log or (axis.name == "lr" and axis.values[0] > 0):
        return {"value": "log"}
    if axis.values[0] == 0 and len(axis.values) > 2 and is_geometric(axis.values[1:]):
        return {"value": "symlog", "linthresh": axis.values[1]}
    return {"value": "linear"}


def error_bars(points: Sequence[Point]) -> list[tuple[float, ...]] | None:
    """Return the distances from each mean to the smallest and to the largest error; None if all of them are 0."""
    spreads = [(point.error - min(point.errors), max(point.errors) - point.error) for point in points]
    return list(zip(*spreads, strict=True)) if any(map(any, spreads)) else None


def bars_line(points: Sequence[Point]) -> str:
    """Return the further line of a title that says what the error bars of these points are; empty without bars."""
    counts = [len(point.errors) for point in of_source(points, Source.OURS) if point.errors]
    return spans_line(counts, has_bars=any(error_bars([point]) for point in points if point.errors))


def spans_line(counts: Collection[int], *, has_bars: bool = True) -> str:
    """Return the further line of a title about means of these numbers of runs; empty if all are single runs."""
    if max(counts, default=1) == 1:
        return ""
    low, high = min(counts), max(counts)
    runs = f"{high} runs" if low == high else f"{low} to {high} runs"
    return f"\nmeans of {runs}{'; error bars: from the lowest to the highest' * has_bars}"


def with_error(points: Iterable[Point]) -> list[Point]:
    """Return the points with at least one finished run."""
    return [point for point in points if point.errors]


def of_source(points: Iterable[Point], source: Source) -> list[Point]:
    """Return the points of one source."""
    return [point for point in points if point.source is source]


def distinguishing_words(
    point: Point, among: Sequence[Point], shown: Collection[str] = ("batch_size", "lr")
) -> list[str]:
    """Return what distinguishes a point from the others of its source, without the fields that are `shown` otherwise.

    Where a baseline is changed in one setting at a time, as in the published tables, settings with default values
    have no word: a point without words is the baseline.
    """
    peers = of_source(among, point.source)

    def differs(name: str) -> bool:
        values = {peer.value(name) for peer in peers} if name not in shown else set()
        return len(values) > 1 and len(set(map(format_value, values))) > 1

    words = {
        "batch_size": f"batch size {point.batch_size}",
        "lr": f"lr {point.lr:.4g}",
        "epochs": counted(point.epochs, "epoch"),
        "model": point.model,
        "dataset": point.dataset,
    }
    others = {name: swept_words(name, value) for name, value in point.other}
    settings = {name: text for name, text in {SCHEDULE: point.schedule, **others}.items() if differs(name)}
    if one_at_a_time([tuple(peer.value(name) for name in settings) for peer in peers]):
        settings = {name: text for name, text in settings.items() if name not in point.defaults}
    return [*(text for name, text in words.items() if differs(name)), *settings.values()]


def _is_grid(points: Sequence[Point], names: Sequence[str]) -> bool:
    """Return whether the values of these fields occur in all combinations."""
    found = {tuple(point.value(name) for name in names) for point in points}
    return len(found) == math.prod(len(set(column)) for column in zip(*found, strict=True))


def title(points: Sequence[Point], shown: Collection[str] = ("batch_size", "lr")) -> str:
    """Return a line per source with its origin and what its points share, without the fields that are `shown`."""
    lines = []
    for source in Source:
        members = of_source(points, source)
        if not members:
            continue
        shared = [
            {display_name(point.model) for point in members},
            {point.dataset for point in members},
            {point.schedule for point in members},
            {counted(point.epochs, "epoch") for point in members},
            *([{f"batch size {point.batch_size}" for point in members}] * ("batch_size" not in shown)),
            *([{f"lr {point.lr:.4g}" for point in members}] * ("lr" not in shown)),
        ]
        words = [*(part.pop() for part in shared if len(part) == 1), *members[0].shared]
        lines.append(", ".join([members[0].origin, *words]))
    return "\n".join(lines)


def missing_words(points: Sequence[Point], *, lost: bool = True) -> str:
    """Return how many configurations have no error, by the status of their runs: `2 diverged, 1 stopped`.

    `lost` counts diverged and failed ones, too, which some figures mark at their edge instead.
    """
    first = [point.without_error[0] for point in points if point.without_error and not point.errors]
    counts = Counter(status.lower() for status in first if lost or status not in LOST)
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
