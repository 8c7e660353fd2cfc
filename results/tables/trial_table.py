"""The table of all trials of a sweep: what each of them trained, and what came of it."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from results.parquet.axes import varying_axes
from results.parquet.search_results import SearchResults, read_search
from results.parquet.trials import Cell, Trial, best_cell, group_repeats, trials_from_table
from results.tables import layout
from results.tables.layout import Column, TableRow, number_column
from results.tables.search_table import (
    rounded_row,
    rounding_note,
    searched_columns,
    searched_rows,
    with_unnamed,
    with_variables,
)
from results.tables.sorting import sort_rows
from trainable.records import Purpose, TrialRow
from trainable.rounding import tidied


def trial_table(table: pa.Table, form: str, *, sort: str | None = None) -> str:
    """Return a row for each trial, in one of `results.tables.layout.FORMATS`.

    Planned trials are in the order of the sweep's table, those of a search in the order of their proposals, and then
    those that confirm. `sort` is a column, as `sort_rows` takes it.

    Raises:
        UserError: there is no such column.
    """
    search = read_search(table)
    pairs = _searched(table, search) if search else _planned(table)
    if sort:
        pairs = sort_rows(pairs, [_flat(*pair) for pair in pairs], sort)
    if form != "markdown":
        return layout.rows_text([_flat(*pair) for pair in pairs], form)
    rows = [row for row, _ in pairs]
    columns = _columns(list(map(rounded_row, rows)) if search else rows, [trial for _, trial in pairs])
    note = rounding_note(table, rows, search, "--all") if search else ""
    return layout.markdown_table(columns) + layout.caption_line(rows) + note


def _planned(table: pa.Table) -> list[tuple[TableRow, Trial]]:
    """Return the trials of a sweep without a search; those of its best configuration are the best."""
    cells = layout.in_table_order(group_repeats(trials_from_table(table)))
    best = best_cell(cells)
    trials = [trial for cell in cells for trial in cell.trials]
    marks = [cell is best for cell in cells for _ in cell.trials]
    rows = _single_rows(trials, [axis.name for axis in varying_axes([trial.config for trial in trials])])
    rows = with_variables(rows, trials)
    return [(replace(row, best=mark), trial) for row, mark, trial in zip(rows, marks, trials, strict=True)]


def _searched(table: pa.Table, search: SearchResults) -> list[tuple[TableRow, Trial]]:
    trials = search.trainings
    trials += [trial for number in sorted(search.confirmed) for trial in search.confirmed[number].trials]
    return list(
        zip(searched_rows(_single_rows(trials, searched_columns(search)), trials, search), trials, strict=True)
    )


def _single_rows(trials: Sequence[Trial], columns: Sequence[str]) -> list[TableRow]:
    cells = [Cell(trial.config, (trial,)) for trial in trials]
    return with_unnamed(layout.table_rows(cells, columns), cells)


def _flat(row: TableRow, trial: Trial) -> dict[str, object]:
    """Return all values of a trial by name."""
    kept = trial.row
    search = {} if row.proposal is None else {"proposal": row.proposal, "purpose": kept.purpose}
    parent = {} if row.proposal is None else {"parent": trial.config.parent}
    results = {
        **_objectives(row, kept),
        "test_error_percent": _final_error(trial),
        "total_seconds": kept.total_seconds,
    }
    return {
        "trial_key": kept.trial_key,
        **search,
        **layout.flat_settings(row),
        "seed": trial.config.seed,
        **parent,
        "status": kept.status.lower(),
        "epochs_done": kept.epochs_done,
        **{name: tidied(value) for name, value in results.items()},
        "best": row.best,
    }


def _columns(rows: Sequence[TableRow], trials: Sequence[Trial]) -> list[Column]:
    kept = [trial.row for trial in trials]
    parents = [trial.config.parent or "-" for trial in trials]
    seeds = [str(trial.config.seed) for trial in trials]
    shown = [replace(row, objectives=_objectives(row, own)) for row, own in zip(rows, kept, strict=True)]
    is_search = any(row.proposal is not None for row in rows)
    errors = number_column("test error %", [layout.percent(_final_error(trial)) for trial in trials])
    return [
        Column("trial", "left", [row.trial_key for row in kept]),
        *([proposal_column(kept)] * is_search),
        *layout.setting_columns(rows),
        *([Column("parent", "left", parents)] * ({*parents} != {"-"})),
        *([number_column("seed", seeds)] * (len({*seeds}) > 1)),
        Column("status", "left", [row.status.lower() for row in kept]),
        number_column("epochs done", [str(row.epochs_done) for row in kept]),
        *layout.objective_columns(shown),
        errors if is_search else replace(errors, bold=layout.best_marks(rows)),
        number_column("total time", [layout.format_seconds(row.total_seconds) for row in kept]),
    ]


def _objectives(row: TableRow, kept: TrialRow) -> dict[str, float | None]:
    """Return the objectives of the trial itself: what confirms a proposal has none."""
    own = kept.objective_values if kept.purpose != Purpose.CONFIRM else None
    return dict(zip(row.objectives, own or [None] * len(row.objectives), strict=True))


def _final_error(trial: Trial) -> float | None:
    """Return the test error unless more epochs are to come, or an exception ended the trial."""
    return trial.row.test_error_percent if trial.status.is_final else None


def proposal_column(rows: Sequence[TrialRow]) -> Column:
    """Return the column with the proposal that each trial of a search is or confirms."""
    texts = {Purpose.SEARCH: "{}", Purpose.CONFIRM: "{}, confirmed"}
    return Column("proposal", "left", [texts.get(Purpose(row.purpose), "-").format(row.proposal) for row in rows])
