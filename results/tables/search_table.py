"""The table of a sweep; for a search, the configurations that it chose or completed."""

from collections import Counter

import pyarrow as pa

from results.parquet.search_results import SearchResults, read_search, searched_fields, with_rounded
from results.parquet.trials import Cell, group_repeats, trials_from_table
from results.store.search_settings import SCHEDULER_TYPE
from results.tables.layout import render, table_rows
from trainable.records import Status
from trainable.wording import counted


def sweep_table(table: pa.Table, form: str, *, with_mean: bool) -> str:
    """Return the table in one of `results.tables.layout.FORMATS`, made from the `trials` table."""
    search = read_search(table)
    if search is None:
        return render(table_rows(group_repeats(trials_from_table(table))), form, with_mean=with_mean)
    cells, searched = shown_cells(search), searched_fields(search)
    if form != "markdown":
        return render(table_rows(cells, searched), form, with_mean=with_mean)
    rows = table_rows(list(map(with_rounded, cells)), searched)
    return f"{heading(search)}\n\n{render(rows, form, with_mean=with_mean)}"


def shown_cells(search: SearchResults) -> list[Cell]:
    """Return the confirmed configurations if there are any, otherwise the finalists."""
    return list(search.confirmed.values()) or group_repeats(trial.trial for trial in search.finalists)


def heading(search: SearchResults) -> str:
    """Return a line that tells which trials the rows are, and how they were chosen."""
    objectives = " and ".join(objective.label for objective in search.objectives)
    num_trials = counted(len(search.trials), "trial")
    how = f"{search.algorithm}, scheduler {search.scheduler[SCHEDULER_TYPE]}"
    if search.confirmed:
        return f"Chosen from {num_trials} ({how}) by {objectives}, and retrained on all training images:"
    if not search.finalists:
        return f"Search ({how}) for the least {objectives}: {nothing_ended(search)}."
    which = "completed trials"
    if search.is_population:
        which = f"trials in the last of {counted(search.num_generations, 'generation')}"
    return (
        f"The {len(search.finalists)} {which}, of {num_trials} ({how}) that searched for the least {objectives}; "
        "trained without the held-out images, not confirmed:"
    )


def nothing_ended(search: SearchResults) -> str:
    """Return why there are no rows: no trial has completed."""
    statuses = Counter(trial.trial.status for trial in search.trials)
    if not statuses:
        return "no trial has started"
    if len(search.trials) >= search.num_trials and list(statuses) == [Status.DIVERGED]:
        return f"all {len(search.trials)} trials diverged" if len(search.trials) > 1 else "its only trial diverged"
    words = ", ".join(f"{number} {status.value.lower()}" for status, number in statuses.items())
    return f"no trial has completed ({words})"
