"""What figures are drawn from: a configuration with its errors, whether published or ours."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.names import display_name
from results.parquet.trials import Cell, varying_fields
from results.published.cells import LONGER_FILE, SEED_FILE, PublishedCell, published_cells
from trainable.config import TrainConfig
from trainable.wording import counted, format_value

PUBLISHED_DATASET = "cifar10"
STRUCTURE = ("model", "dataset", "batch_size", "lr", "schedule", "epochs")
"""Fields that a point has itself; what else differs within a sweep is in `Point.other`."""


class Source(StrEnum):
    """Where a point comes from: hollow in every figure if published, solid if ours."""

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
    """Test error (percent) at the last epoch, one a run (published: as printed); empty where none finished."""
    hours: float | None
    """Of one run on its device, training and evaluation; the median over the repeats."""
    hardware: str
    other: tuple[tuple[str, str], ...] = ()
    """(name, value) of the further training fields in which the sweep's cells differ."""

    @property
    def error(self) -> float:
        """The mean over the repeats, percent; only for points that have an error.

        Of equal errors it is that very number, which rounding would miss by its last bit.
        """
        return min(max(statistics.fmean(self.errors), min(self.errors)), max(self.errors))

    @property
    def variant(self) -> tuple[str, ...]:
        """What sets it apart from points of the same batch size, lr and length."""
        return (self.model, self.dataset, self.schedule, *(f"{name} {value}" for name, value in self.other))


def published_point(cell: PublishedCell) -> Point:
    """A printed row; the time is that of a whole run, to the minute."""
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


def published_points(belongs: Callable[[str], bool] = lambda table: True) -> list[Point]:
    """Points of the published tables whose names `belongs` takes; a run that is printed in two tables is one."""
    cells = [cell for file in (SEED_FILE, LONGER_FILE) for cell in published_cells(file)]
    return list(dict.fromkeys(published_point(cell) for cell in cells if belongs(cell.table)))


def sweep_points(cells: Sequence[Cell], sweep: str) -> list[Point]:
    """A sweep's cells at their own values, in their order."""
    others = _telling_fields([cell.config for cell in cells])
    return [_sweep_point(cell, sweep, others) for cell in cells]


def _sweep_point(cell: Cell, sweep: str, others: Sequence[str]) -> Point:
    config, seconds = cell.config, [trial.row.total_seconds for trial in cell.finished]
    return Point(
        source=Source.OURS,
        origin=sweep,
        model=config.model,
        dataset=config.dataset,
        batch_size=config.batch_size,
        lr=config.lr,
        schedule=config.schedule,
        epochs=config.epochs,
        errors=tuple(cell.test_errors),
        hours=statistics.median(seconds) / 3600 if seconds else None,
        hardware=", ".join(sorted({trial.row.device for trial in cell.trials})),
        other=tuple((name, format_value(getattr(config, name))) for name in others),
    )


def _telling_fields(configs: Sequence[TrainConfig]) -> list[str]:
    """The fields outside STRUCTURE that differ, less those that follow from model, data set or schedule."""
    varying = [name for name in varying_fields(configs) if name not in STRUCTURE]
    return [
        name
        for name in varying
        if not any(_decides(given, name, configs) for given in ("model", "dataset", "schedule"))
    ]


def _decides(given: str, name: str, configs: Iterable[TrainConfig]) -> bool:
    """Whether each value of the one field goes with a single value of the other."""
    pairs = {(getattr(config, given), getattr(config, name)) for config in configs}
    return len(pairs) == len({first for first, _ in pairs})


def with_error(points: Iterable[Point]) -> list[Point]:
    """The points in which at least one run finished."""
    return [point for point in points if point.errors]


def of_source(points: Iterable[Point], source: Source) -> list[Point]:
    return [point for point in points if point.source is source]


def telling_parts(point: Point, among: Sequence[Point], *, epochs: bool = True) -> list[str]:
    """Words for what sets a point apart from the others of its source, batch size and lr left out."""
    peers = of_source(among, point.source)
    parts = []
    if epochs and len({peer.epochs for peer in peers}) > 1:
        parts.append(counted(point.epochs, "epoch"))
    columns = zip(*(peer.variant for peer in peers), strict=True)
    parts += [word for word, column in zip(point.variant, columns, strict=True) if len(set(column)) > 1]
    return parts


def title(points: Sequence[Point]) -> str:
    """A line a source: its origin, and whatever of model, data set, schedule and length its points share."""
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
        lines.append(", ".join([members[0].origin, *(part.pop() for part in shared if len(part) == 1)]))
    return "\n".join(lines)
