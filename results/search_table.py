"""The table of a sweep; of a search what it chose, or what it ran to the end."""

import pyarrow as pa

from results.search_results import SearchResults, read_search, with_rounded
from results.tables import render, table_rows
from results.trials import Cell, group_repeats, trials_from_table


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
    if search.confirmed:
        return (
            f"Chosen by {objective}, of {len(search.trials)} trials ({search.algorithm}, scheduler "
            f"{search.scheduler['type']}); trained again on all training images:"
        )
    come = "of the last generation" if search.is_population else "that ran to the end"
    return (
        f"The {len(search.finalists)} of {len(search.trials)} trials {come} ({search.algorithm}, scheduler "
        f"{search.scheduler['type']}, steered by {objective}); trained without the "
        "held-out images, none chosen yet:"
    )
