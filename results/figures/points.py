"""The data of figures: configurations with their errors, published or ours."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from models.names import display_name
from results.parquet.settings import (
    OPTIMIZER_NAMES,
    is_default,
    recipe_words,
    setting_words,
    shared_recipe_fields,
)
from results.parquet.trials import Cell, determines, varying_fields
from results.published.cells import SEQUEL_FILE, PublishedCell, all_cells, table_names
from trainable.config import TrainConfig, value_of
from trainable.wording import counted, format_value, printable_line

PUBLISHED_DATASET = "cifar10"
STRUCTURE = ("model", "dataset", "batch_size", "lr", "schedule", "epochs")
"""Fields that are attributes of a point; other fields that differ within a sweep are in `Point.other`."""
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
    other: tuple[tuple[str, str], ...] = ()
    """(name, value) of further training fields in which the cells of the sweep differ."""
    defaults: frozenset[str] = frozenset()
    """Names of those that have their default value, and `schedule` if it has."""
    shared: tuple[str, ...] = ()
    """Words for what all cells of the sweep share and the 16 first published tables have not."""

    @property
    def error(self) -> float:
        """Mean over the repeats, in percent, for points that have an error.

        The mean of equal errors is exactly their value, without the rounding of the last bit.
        """
        return min(max(statistics.fmean(self.errors), min(self.errors)), max(self.errors))

    @property
    def variant(self) -> tuple[str, ...]:
        """What distinguishes the point from others with the same batch size, lr and number of epochs."""
        return (self.model, self.dataset, self.schedule, *(value for _, value in self.other))

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
    others, shared = _distinguishing_fields(configs), shared_recipe_fields(configs)
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
        other=tuple((name, format_value(value_of(config, name))) for name in others),
        defaults=frozenset(name for name in (SCHEDULE, *others) if is_default(config, name)),
        shared=tuple(recipe_words(config, shared)),
    )


def _distinguishing_fields(configs: Sequence[TrainConfig]) -> list[str]:
    """Return the fields outside STRUCTURE that differ and are not determined by model, data set or schedule."""
    varying = [name for name in varying_fields(configs) if name not in STRUCTURE]
    return [
        name
        for name in varying
        if not any(determines(given, name, configs) for given in ("model", "dataset", "schedule"))
    ]


def error_bars(points: Sequence[Point]) -> list[tuple[float, ...]] | None:
    """Return the distances from each mean to the smallest and to the largest error; None if all of them are 0."""
    spreads = [(point.error - min(point.errors), max(point.errors) - point.error) for point in points]
    return list(zip(*spreads, strict=True)) if any(map(any, spreads)) else None


def bars_line(points: Sequence[Point]) -> str:
    """Return the further line of a title that says what the error bars of these points are; empty without bars."""
    counts = sorted({len(point.errors) for point in points if error_bars([point])})
    if not counts:
        return ""
    runs = f"{counts[-1]} runs" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"
    return f"\nmeans of {runs}; error bars: from the lowest to the highest"


def with_error(points: Iterable[Point]) -> list[Point]:
    """Return the points with at least one finished run."""
    return [point for point in points if point.errors]


def of_source(points: Iterable[Point], source: Source) -> list[Point]:
    """Return the points of one source."""
    return [point for point in points if point.source is source]


def distinguishing_words(point: Point, among: Sequence[Point], *, epochs: bool = True) -> list[str]:
    """Return what distinguishes a point from the others of its source, without batch size and lr.

    Fields that are None in the point have no word. Where several settings differ, those that have their defaults have
    none either: a point without words is the baseline.
    """
    peers = of_source(among, point.source)
    parts = []
    if epochs and len({peer.epochs for peer in peers}) > 1:
        parts.append(counted(point.epochs, "epoch"))
    columns = zip(*(peer.variant for peer in peers), strict=True)
    names = ("model", "dataset", SCHEDULE, *(name for name, _ in point.other))
    differing = {
        name: value for name, value, column in zip(names, point.variant, columns, strict=True) if len({*column}) > 1
    }
    own = {name: differing.pop(name) for name in STRUCTURE if name in differing}
    settings = {name: setting_words(name, value) for name, value in differing.items()}
    if SCHEDULE in own:
        settings = {SCHEDULE: own.pop(SCHEDULE), **settings}
    if len(settings) > 1:
        settings = {name: words for name, words in settings.items() if name not in point.defaults}
    return [*parts, *(words for words in (*own.values(), *settings.values()) if words)]


def title(points: Sequence[Point]) -> str:
    """Return a line per source with its origin and the model, data set, schedule and epochs that its points share."""
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
        ]
        words = [*(part.pop() for part in shared if len(part) == 1), *members[0].shared]
        lines.append(", ".join([members[0].origin, *words]))
    return "\n".join(lines)
