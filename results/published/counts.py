"""How much work stands behind published rows: what reproducing them takes."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from models.names import display_name
from results.published.cells import LONGER_FILE, SEED_FILE, PublishedCell, published_cells, table_names


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """Counts for a set of rows; a configuration that stands in several rows is work done once.

    A row that prints the median of three runs gives the time of one: `runs` count it three times.
    """

    num_rows: int
    num_configurations: int
    configurations_by_model: dict[str, int]
    """Our model name -> distinct configurations, most first."""
    num_runs: int
    """Trainings, a median of three runs counted three times."""
    epochs: int
    """Summed over the distinct configurations."""
    epochs_of_runs: int
    hours: float
    """Published wall time summed over the distinct configurations; the median where the rows disagree."""
    hours_of_runs: float
    hardware: tuple[str, ...]


def work_counts(cells: Sequence[PublishedCell]) -> WorkCounts:
    """Count the rows and the distinct work in them."""
    groups: dict[tuple[str, int, float, str, int], list[PublishedCell]] = {}
    for cell in cells:
        groups.setdefault(cell.configuration, []).append(cell)
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
    """The counts, one a line; figures with the repeats only where there are any."""
    models = ", ".join(f"{count} {display_name(model)}" for model, count in counts.configurations_by_model.items())
    has_repeats = counts.num_runs > counts.num_configurations
    epochs = f", {counts.epochs_of_runs:,} with the repeats" if has_repeats else ""
    hours = f", {counts.hours_of_runs:,.1f} with the repeats" if has_repeats else ""
    return "\n".join(
        [
            title,
            f"  rows            {counts.num_rows}",
            f"  configurations  {counts.num_configurations} ({models})",
            f"  trainings       {counts.num_runs}" + (" (medians of several runs count each)" if has_repeats else ""),
            f"  epochs          {counts.epochs:,}{epochs}",
            f"  GPU-hours       {counts.hours:,.1f}{hours} ({', '.join(counts.hardware)}, as published)",
        ]
    )


def published_plan() -> str:
    """The work behind the seed's tables, and that of the further ones beside it."""
    seed, longer = published_cells(SEED_FILE), published_cells(LONGER_FILE)
    known = {cell.configuration for cell in seed}
    new = [cell for cell in longer if cell.configuration not in known]
    title = f"further tables ({', '.join(table_names(LONGER_FILE))})"
    return "\n".join(
        [
            plan_text(f"the seed's {len(table_names(SEED_FILE))} tables", work_counts(seed)),
            "",
            plan_text(title, work_counts(longer)),
            f"  of these        {len(new)} configurations that the seed's tables lack, "
            f"{work_counts(new).hours:,.1f} GPU-hours",
        ]
    )
