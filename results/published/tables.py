"""Published tables as they were printed."""

from models.names import display_name
from results.published.cells import LONGER_FILE, SEED_FILE, PublishedCell, published_cells, table_cells, table_names
from results.tables.layout import Column, TableRow, error_header, format_seconds, markdown_table, render
from trainable.errors import UserError
from trainable.wording import nearest

ALL = "all"
"""Name of all 16 published tables, in the order of printing."""
LARGE_MODEL_TABLE = "main"
"""The only table with a column for the original papers; the others have the columns of our own tables."""
NAME_WIDTH = 38
"""Width in characters of its text columns, as printed."""


def published_table(name: str, form: str) -> str:
    """Return a published table, or ALL, in one of `results.tables.layout.FORMATS`.

    Markdown is byte for byte as it was printed; ALL has a blank line between tables.

    Raises:
        UserError: no such table.
    """
    if form == "markdown" and name == ALL:
        return "\n".join(published_table(table, form) for table in table_names())
    rows = published_rows(name)
    if form == "markdown" and name == LARGE_MODEL_TABLE:
        return _large_model_markdown(rows, [cell.paper for cell in table_cells(name)])
    return render(rows, form, with_mean=False)


def published_rows(name: str) -> list[TableRow]:
    """Return the rows of a published table, or of ALL, in the order of printing.

    Raises:
        UserError: no such table.
    """
    if name == ALL:
        return [_row(cell) for cell in published_cells()]
    names = [*table_names(SEED_FILE), *table_names(LONGER_FILE)]
    if name not in names:
        raise UserError(f"no published table {name!r}: {nearest(name, [ALL, *names])}")
    return [_row(cell) for cell in table_cells(name)]


def _row(cell: PublishedCell) -> TableRow:
    return TableRow(
        model=display_name(cell.model),
        batch_size=cell.batch_size,
        lr=cell.lr,
        schedule=cell.schedule,
        epochs=cell.epochs,
        other={},
        num_runs=cell.num_runs,
        num_planned=cell.num_runs,
        test_error_percent=cell.test_error_percent,
        mean_test_error_percent=cell.test_error_percent if cell.num_runs == 1 else None,
        std_test_error_percent=None,
        total_seconds=60.0 * cell.minutes,
        note="",
    )


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
