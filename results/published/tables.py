"""Published tables as they were printed."""

from dataclasses import replace

from models.names import display_name
from results.published.cells import (
    FILES,
    OUR_PRECISIONS,
    SEQUEL_FILE,
    PublishedCell,
    printed_cells,
    published_cells,
    table_names,
)
from results.tables.layout import (
    Column,
    TableRow,
    error_header,
    format_seconds,
    markdown_table,
    plain_table,
    render,
    table_columns,
)
from trainable.errors import UserError
from trainable.wording import nearest

ALL = "all"
"""Name of all 16 published tables, in the order of printing."""
SEQUEL = "sequel"
"""Name of the 18 tables of the sequel, in the order of printing."""
LARGE_MODEL_TABLE = "main"
"""The only table with a column for the original papers; the others have the columns of our own tables."""
NAME_WIDTH = 38
"""Width in characters of its text columns, as printed."""
NO_ERROR = "not reported"
"""Note of a row that was printed without an error."""
ERROR_STOPS = {"lars": 17, "no_weight_decay_on_bn": 18}
"""Beginning of a table's name -> where its errors end, if elsewhere than in our own tables."""


def published_table(name: str, form: str) -> str:
    """Return a published table, ALL or SEQUEL, in one of `results.tables.layout.FORMATS`.

    Markdown is byte for byte as it was printed; a blank line stands between tables.

    Raises:
        UserError: no such table.
    """
    if form == "markdown" and name in (ALL, SEQUEL):
        names = table_names() if name == ALL else table_names(SEQUEL_FILE)
        return "\n".join(published_table(table, form) for table in names)
    cells = _cells(name)
    rows = [_row(cell) for cell in cells]
    if form == "markdown" and name == LARGE_MODEL_TABLE:
        return _large_model_markdown(rows, [cell.paper for cell in cells])
    if form == "markdown" and name in table_names(SEQUEL_FILE):
        return _sequel_markdown(rows, cells)
    return render(rows, form, with_mean=False)


def published_rows(name: str) -> list[TableRow]:
    """Return the rows of a published table, or of ALL or SEQUEL, in the order of printing.

    Raises:
        UserError: no such table.
    """
    return [_row(cell) for cell in _cells(name)]


def _cells(name: str) -> list[PublishedCell]:
    """Return the rows as printed, with those that have no error."""
    if name in (ALL, SEQUEL):
        return list(published_cells() if name == ALL else printed_cells(SEQUEL_FILE))
    names = table_names(*FILES)
    if name not in names:
        raise UserError(f"no published table {name!r}: {nearest(name, [ALL, SEQUEL, *names])}")
    return [cell for file in FILES for cell in printed_cells(file) if cell.table == name]


def _row(cell: PublishedCell) -> TableRow:
    error = cell.test_error_percent if cell.error_printed else None
    return TableRow(
        model=display_name(cell.model),
        batch_size=cell.batch_size,
        lr=cell.lr,
        schedule=cell.schedule,
        epochs=cell.epochs,
        other=_own_values(cell) if cell.table in table_names(SEQUEL_FILE) else {},
        num_runs=cell.num_runs if cell.error_printed else 0,
        num_planned=cell.num_runs,
        test_error_percent=error,
        mean_test_error_percent=error if cell.num_runs == 1 else None,
        std_test_error_percent=None,
        total_seconds=60.0 * cell.minutes if cell.error_printed else None,
        note="" if cell.error_printed else NO_ERROR,
    )


def _own_values(cell: PublishedCell) -> dict[str, object]:
    """Return what varies in the tables of the sequel besides the columns of all tables."""
    return {
        "optimizer": cell.optimizer,
        "ghost_batch_size": cell.ghost_batch_size,
        "weight_decay": cell.weight_decay,
        "weight_decay_on_bn": cell.weight_decay_on_bn,
        "precision": cell.precision,
    }


def _large_model_markdown(rows: list[TableRow], papers: list[str]) -> str:
    errors = [f"{row.test_error_percent:.2f}" for row in rows]
    times = [format_seconds(row.total_seconds) for row in rows if row.total_seconds is not None]
    return markdown_table(
        [
            Column("Model", "left", [row.model for row in rows], width=NAME_WIDTH),
            Column(error_header(rows), "center", errors, stop=14),
            Column("Test Error (in paper)", "center", papers, indent=0, width=NAME_WIDTH),
            Column("Training Time", "right", times, stop=10),
        ]
    )


def _sequel_markdown(rows: list[TableRow], cells: list[PublishedCell]) -> str:
    """Return a table of the sequel: an error of one run among medians says so, a time on another GPU has a star."""
    shown = [replace(row, other=_shown_values(cell), num_planned=1) for row, cell in zip(rows, cells, strict=True)]
    *settings, _, _ = table_columns(shown, with_mean=False)
    of_medians = any(cell.num_runs > 1 for cell in cells)
    several_gpus = len({cell.hardware for cell in cells if cell.error_printed}) > 1
    header = f"Test Error ({'median of 3 runs' if of_medians else '1 run'})"
    stops = [stop for beginning, stop in ERROR_STOPS.items() if cells[0].table.startswith(beginning)]
    errors, times = [], []
    for cell in cells:
        mark = " (1 run)" if of_medians and cell.num_runs == 1 else ""
        errors.append(cell.error_printed.rjust(stops[0] if stops else 12) + mark)
        time = format_seconds(60.0 * cell.minutes) if cell.error_printed else ""
        times.append(time.rjust(9) + "*" * (several_gpus and "V100" in cell.hardware))
    return plain_table(
        [
            *settings,
            Column(header, "center", errors, indent=0),
            Column("Training Time", "right", times),
        ]
    )


def _shown_values(cell: PublishedCell) -> dict[str, object]:
    """Return the training fields that the table of the sequel has columns for."""
    values: dict[str, dict[str, object]] = {
        "lars": {"optimizer": cell.optimizer},
        "ghost_bn": {"ghost_batch_size": cell.ghost_batch_size},
        "no_weight_decay_on_bn": {
            "weight_decay_on": "all" if cell.weight_decay_on_bn else "no_bn",
            "weight_decay": cell.weight_decay,
        },
        "precision": {"precision": OUR_PRECISIONS[cell.precision]},
    }
    return next(shown for beginning, shown in values.items() if cell.table.startswith(beginning))
