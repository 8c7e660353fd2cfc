"""The amount of work that reproducing published rows takes."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from models.names import display_name
from results.published.cells import (
    LONGER_FILE,
    SEED_FILE,
    SEQUEL_FILE,
    PublishedCell,
    published_cells,
    table_names,
)
from trainable.grouping import grouped


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """Amount of work behind a set of rows; a configuration printed in several rows counts once.

    A row that prints the median of three runs gives the time of one run, and counts as three runs.
    """

    num_rows: int
    num_configurations: int
    configurations_by_model: dict[str, int]
    """Model in our naming -> number of distinct configurations, in falling order."""
    num_runs: int
    """Number of trainings; a median of three runs counts three times."""
    epochs: int
    """Sum over the distinct configurations."""
    epochs_of_runs: int
    hours: float
    """Published wall time, summed over the distinct configurations; the median if the rows disagree."""
    hours_of_runs: float
    hardware: tuple[str, ...]


def work_counts(cells: Sequence[PublishedCell]) -> WorkCounts:
    """Count the rows and the distinct configurations with their runs, epochs and hours."""
    groups = grouped(cells, lambda cell: cell.configuration)
    epochs = [group[0].epochs for group in groups.values()]
    runs = [max(cell.num_runs for cell in group) for group in groups.values()]
    hours = [statistics.median(cell.minutes for cell in group) / 60 for group in groups.values()]
    return WorkCounts(
        num_rows=len(cells),
        num_configurations=len(groups),
        configurations_by_model=dict(Counter(group[0].model for group in groups.values()).most_common()),
        num_runs=sum(runs),
        epochs=sum(epochs),
        epochs_of_runs=sum(map(int.__mul__, epochs, runs)),
        hours=sum(hours),
        hours_of_runs=sum(hour * count for hour, count in zip(hours, runs, strict=True)),
        hardware=tuple(dict.fromkeys(cell.hardware for cell in cells)),
    )


def plan_text(title: str, counts: WorkCounts) -> str:
    """Return the counts, one per line, with separate numbers for the repeats if there are any."""
    models = ", ".join(f"{count} {display_name(model)}" for model, count in counts.configurations_by_model.items())
    each_run, epochs, hours = "", "", ""
    if counts.num_runs > counts.num_configurations:
        each_run = " (each run of a median counts)"
        epochs = f", {counts.epochs_of_runs:,} with repeats"
        hours = f", {counts.hours_of_runs:,.1f} with repeats"
    return f"""{title}
  rows            {counts.num_rows}
  configurations  {counts.num_configurations} ({models})
  trainings       {counts.num_runs}{each_run}
  epochs          {counts.epochs:,}{epochs}
  GPU-hours       {counts.hours:,.1f}{hours} ({", ".join(counts.hardware)}, as published)"""


def published_plan() -> str:
    """Return the amount of work behind the 16 published tables, and behind each group of further ones."""
    num_tables, known = len(table_names(SEED_FILE)), {cell.configuration for cell in published_cells(SEED_FILE)}
    parts = [plan_text(f"the {num_tables} published tables", work_counts(published_cells(SEED_FILE)))]
    further = {
        LONGER_FILE: f"further tables ({', '.join(table_names(LONGER_FILE))})",
        SEQUEL_FILE: f"the {len(table_names(SEQUEL_FILE))} tables of the sequel on large batches",
    }
    for file, title in further.items():
        cells = published_cells(file)
        new = [cell for cell in cells if cell.configuration not in known]
        num_new = work_counts(new)
        parts.append(
            f"{plan_text(title, work_counts(cells))}\n"
            f"  of these        {num_new.num_configurations} configurations that are not in the {num_tables} tables, "
            f"{num_new.hours:,.1f} GPU-hours"
        )
    return "\n\n".join(parts)
