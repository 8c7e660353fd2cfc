"""The table of a sweep; of a search what it chose, or what it ran to the end."""

from collections import Counter

import pyarrow as pa

from results.parquet.search_results import SearchResults, read_search, with_rounded
from results.parquet.trials import Cell, group_repeats, trials_from_table
from results.store.search_settings import SCHEDULER_TYPE
from results.tables.layout import render, table_rows
from trainable.records import Status
from trainable.wording import counted


def sweep_table(table: pa.Table, form: str, *, with_mean: bool) -> str:
    """In one of `tables.FORMATS`, from the `trials` table."""
    search = read_search(table)
    if search is None:
        return render(table_rows(group_repeats(trials_from_table(table))), form, with_mean=with_mean)
    cells = shown_cells(search)
    if form != "markdown":
        return render(table_rows(cells), form, with_mean=with_mean)
    return f"{heading(search)}\n\n{render(table_rows(list(map(with_rounded, cells))), form, with_mean=with_mean)}"


def shown_cells(search: SearchResults) -> list[Cell]:
    """The confirmed configurations where there are any, else the finalists."""
    return list(search.confirmed.values()) or group_repeats(one.trial for one in search.finalists)


def heading(search: SearchResults) -> str:
    """What the rows are, and by what they were chosen."""
    objective = " and ".join(one.words for one in search.objectives)
    num_trials = counted(len(search.trials), "trial")
    how = f"{search.algorithm}, scheduler {search.scheduler[SCHEDULER_TYPE]}"
    if search.confirmed:
        return f"Chosen by {objective}, of {num_trials} ({how}); trained again on all training images:"
    if not search.finalists:
        return f"A search ({how}, steered by {objective}); {nothing_ended(search)}."
    come = "that ran to the end"
    if search.is_population:
        come = f"of the last generation, each row the last of {counted(search.num_generations, 'generation')}"
    return (
        f"The {len(search.finalists)} of {num_trials} {come} ({how}, steered by {objective}); trained without the "
        "held-out images, not confirmed:"
    )


def nothing_ended(search: SearchResults) -> str:
    """Why there is no row: no trial ran to the end."""
    statuses = Counter(one.trial.status for one in search.trials)
    if not statuses:
        return "no trial has begun"
    if len(search.trials) >= search.num_trials and list(statuses) == [Status.DIVERGED]:
        return f"all {len(search.trials)} trials diverged" if len(search.trials) > 1 else "its one trial diverged"
    words = ", ".join(f"{number} {status.value.lower()}" for status, number in statuses.items())
    return f"no trial has run to the end ({words})"
