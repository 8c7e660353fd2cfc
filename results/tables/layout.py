"""Tables with the columns and alignment of the published tables, as Markdown, CSV and JSON."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from models.names import display_name
from results.parquet.axes import axis_value, varying_axes
from results.parquet.markdown import escaped
from results.parquet.search_results import Objective
from results.parquet.settings import NONE_WORDS, OPTIMIZER_NAMES, shared_recipe_fields
from results.parquet.trials import Cell
from trainable.config import TrainConfig, value_of
from trainable.records import Status
from trainable.rounding import tidied
from trainable.wording import format_value, json_text, printable_line

FORMATS = ("markdown", "csv", "json")
PRECISION_NAMES = {"fp32": "FP32", "pure_fp16": "FP16", "fp16": "mixed"}
ON_BN = {"all": "yes", "no_bn": "no"}
LARGE_LR = 100
FORMULA_STARTS = ("=", "+", "-", "@")
PUBLISHED_COLUMNS = ("model", "batch_size", "lr", "schedule", "epochs")
BEFORE_BATCH_SIZE = ("optimizer", "precision", "weight_decay_on")
AFTER_BATCH_SIZE = ("ghost_batch_size",)
"""Fields whose columns stand where the published sequel has them, as does `weight_decay` beside `weight_decay_on`;
those of other fields come after the epochs."""
RESULTS = (
    *("num_runs", "num_planned", "test_error_percent", "mean_test_error_percent", "std_test_error_percent"),
    *("total_seconds", "note"),
)
"""Fields of a row that are results of the runs."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a Markdown table.

    Numbers end `stop` characters from the left edge of the column, as in the published tables; other values are
    indented or centred.
    """

    header: str
    align: str
    """'left', 'right' or 'center': the alignment that the rule below the header asks for."""
    values: list[str]
    stop: int | None = None
    indent: int | None = None
    """Indent of left-aligned values; None centres them in a centred column, otherwise puts them at the edge."""
    width: int = 0
    """Smallest width in characters; longer values widen the column."""
    bold: Sequence[bool] = ()
    """Whether each value is bold; none is if there is nothing."""

    def lines(self) -> list[str]:
        """Return the header, the rule and the values, equally wide and without the bars."""
        bold = self.bold or [False] * len(self.values)
        cells = [self._aligned(value, is_bold=mark) for value, mark in zip(self.values, bold, strict=True)]
        width = max(self.width, len(self.header), *(len(cell) for cell in cells), 1)
        rules = {
            "left": f":{'-' * (width + 1)}",
            "right": f"{'-' * (width + 1)}:",
            "center": f":{'-' * width}:",
        }
        centred = self.stop is None and self.indent is None and self.align == "center"
        body = [cell.center(width) if centred else cell.ljust(width) for cell in cells]
        return [f" {self.header.ljust(width)} ", rules[self.align], *(f" {line} " for line in body)]

    def _aligned(self, value: str, *, is_bold: bool) -> str:
        text, stars = (f"**{value}**", 2) if is_bold else (value, 0)
        return text.rjust(self.stop + stars) if self.stop is not None else " " * (self.indent or 0) + text


@dataclass(frozen=True, slots=True)
class TableRow:
    """Results of one configuration."""

    model: str
    batch_size: int
    lr: float
    schedule: str
    epochs: int
    other: dict[str, object]
    """Values of further training fields in which the rows differ."""
    num_runs: int
    """Number of finished repeats, out of `num_planned`."""
    num_planned: int
    test_error_percent: float | None
    """Test error at the last epoch; the median of several runs."""
    mean_test_error_percent: float | None
    std_test_error_percent: float | None
    """Sample standard deviation; None for fewer than two runs."""
    total_seconds: float | None
    """Time of training and evaluation; the median of several runs."""
    note: str
    """Text shown instead of the error if no run finished."""
    shared: dict[str, object] = field(default_factory=dict)
    """Values of fields of the recipe that are not as in the published tables and the same in all rows."""
    unnamed: dict[str, object] = field(default_factory=dict)
    """Values of the further fields that tell how to train the configuration again, in CSV and JSON only."""
    objectives: dict[str, float | None] = field(default_factory=dict)
    """Values of the objectives of a search by their metrics, from the proposal that the row trains or confirms."""
    proposal: int | None = None
    """Number of that proposal; None without a search."""
    best: bool | None = None
    """Whether the row is the best, or on the Pareto front; None in published tables, which mark none."""


def table_rows(cells: Sequence[Cell], columns: Sequence[str] | None = None) -> list[TableRow]:
    """Return a row for each configuration.

    Args:
        cells: the configurations.
        columns: training fields that are columns, besides those of the published tables. By default these are the
            fields that differ, and the rows are sorted by `in_table_order`.
    """
    ordered = in_table_order(cells) if columns is None else cells
    configs = [cell.config for cell in ordered]
    names = [axis.name for axis in varying_axes(configs)] if columns is None else columns
    others = [name for name in names if name not in PUBLISHED_COLUMNS]
    shared = [name for name in shared_recipe_fields(configs) if name not in others]
    return [_row(cell, others, shared) for cell in ordered]


def in_table_order(cells: Sequence[Cell]) -> list[Cell]:
    """Sort by batch size and lr descending if the published tables have columns for all that differs.

    Otherwise the order stays, which is that of the space.
    """

    def rank(config: TrainConfig) -> tuple[str, int, str, int, float]:
        return (display_name(config.model), config.epochs, config.schedule, -config.batch_size, -config.lr)

    varying = {axis.name for axis in varying_axes([cell.config for cell in cells])}
    published = {*PUBLISHED_COLUMNS, *BEFORE_BATCH_SIZE, *AFTER_BATCH_SIZE}
    is_published = varying <= (published | {"weight_decay"} if "weight_decay_on" in varying else published)
    return sorted(cells, key=lambda cell: rank(cell.config)) if is_published else list(cells)


def _row(cell: Cell, others: Sequence[str], shared: Sequence[str]) -> TableRow:
    errors = cell.test_errors
    seconds = [trial.row.total_seconds for trial in cell.finished]
    unfinished = [trial for trial in cell.trials if trial.status is not Status.COMPLETE]
    return TableRow(
        model=display_name(cell.config.model),
        batch_size=cell.config.batch_size,
        lr=cell.config.lr,
        schedule=cell.config.schedule,
        epochs=cell.config.epochs,
        other={name: axis_value(cell.config, name) for name in others},
        num_runs=len(errors),
        num_planned=len(cell.trials),
        test_error_percent=statistics.median(errors) if errors else None,
        mean_test_error_percent=statistics.fmean(errors) if errors else None,
        std_test_error_percent=statistics.stdev(errors) if len(errors) > 1 else None,
        total_seconds=statistics.median(seconds) if seconds else None,
        note="" if errors else next((trial.row.status.lower() for trial in unfinished), "no error"),
        shared={name: value_of(cell.config, name) for name in shared},
    )


def render(rows: Sequence[TableRow], form: str, *, with_mean: bool) -> str:
    """Return the table in one of FORMATS; `with_mean` adds mean +- std to Markdown (CSV and JSON always have it).

    What all rows share is a line below a Markdown table, and has columns in CSV and JSON.
    """
    if form == "markdown":
        return markdown_table(table_columns(rows, with_mean=with_mean)) + caption_line(rows)
    return rows_text([flat_row(row) for row in rows], form)


def rows_text(rows: Sequence[Mapping[str, object]], form: str) -> str:
    """Return rows with the same keys as CSV or JSON."""
    return csv_text(rows) if form == "csv" else json_text(rows) + "\n"


def caption(rows: Sequence[TableRow]) -> str:
    """Return what all rows share besides the published recipe; empty if it is nothing."""
    words = ", ".join(f"{name} {format_value(value)}" for name, value in (rows[0].shared if rows else {}).items())
    return f"All trials: {words}" if words else ""


def caption_line(rows: Sequence[TableRow]) -> str:
    """Return the caption for the space below a Markdown table."""
    line = escaped(caption(rows))
    return f"\n{line}\n" if line else ""


def percent(value: float | None) -> str:
    """Return a percentage with two decimals, without the sign; `-` for None."""
    return "-" if value is None else f"{value:.2f}"


def mean_text(errors: Sequence[float]) -> str:
    """Return `0.31 +- 0.04 %`; without the standard deviation if there is only one error."""
    spread = f" +- {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.2f}{spread} %"


def format_seconds(seconds: float) -> str:
    """Format a time as the published tables do, `22m` or `1h17m`; below ten minutes as `3m05s` or `12s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m"


def error_header(rows: Sequence[TableRow]) -> str:
    """Return `Test Error (1 run)` or `Test Error (median of 3 runs)`, without the number if the rows differ in it."""
    planned = {row.num_planned for row in rows}
    if planned == {1}:
        return "Test Error (1 run)"
    return f"Test Error (median of {planned.pop()} runs)" if len(planned) == 1 else "Test Error (median)"


def table_columns(rows: Sequence[TableRow], *, with_mean: bool) -> list[Column]:
    """Return the columns of the published tables and the additional ones that the rows need."""
    header, best = error_header(rows), best_marks(rows)
    errors = [_error_text(row) for row in rows]
    numbers = [str(row.proposal) for row in rows if row.proposal is not None]
    columns = [*([number_column("proposal", numbers)] if numbers else []), *setting_columns(rows)]
    columns += objective_columns(rows)
    columns.append(
        Column(header, "center", errors, stop=len(header) * 2 // 3, bold=() if rows and rows[0].objectives else best)
    )
    if any(row.num_planned > 1 for row in rows):
        columns.append(Column("n", "right", [str(row.num_runs) for row in rows], stop=1))
    if with_mean:
        columns.append(Column("mean +- std", "center", [_mean_text(row) for row in rows]))
    columns.append(Column("Training Time", "right", [_time_text(row) for row in rows], stop=9))
    return columns


def best_marks(rows: Sequence[TableRow]) -> list[bool]:
    """Return which rows are to be marked as the best: none in a table of one row."""
    return [bool(row.best) and len(rows) > 1 for row in rows]


def objective_columns(rows: Sequence[TableRow]) -> list[Column]:
    """Return a column for each objective of the search, in which the best rows are bold."""
    best = best_marks(rows)
    columns = []
    for metric in rows[0].objectives if rows else ():
        values = [row.objectives[metric] for row in rows]
        texts = ["-" if value is None else f"{value:.4g}" for value in values]
        column = number_column(Objective(metric).label, texts)
        columns.append(replace(column, bold=[mark and text != "-" for mark, text in zip(best, texts, strict=True)]))
    return columns


def setting_columns(rows: Sequence[TableRow]) -> list[Column]:
    """Return the columns that tell what the rows train."""
    others = {name: [row.other[name] for row in rows] for name in (rows[0].other if rows else ())}
    leading = [name for name in BEFORE_BATCH_SIZE if name in others]
    if "weight_decay_on" in others and "weight_decay" in others:
        leading.append("weight_decay")
    return [
        Column("Model", "center", [row.model for row in rows]),
        *(_setting_column(name, others.pop(name), is_leading=True) for name in leading),
        Column("batch size", "right", [str(row.batch_size) for row in rows], stop=7),
        *(_setting_column(name, others.pop(name)) for name in AFTER_BATCH_SIZE if name in others),
        Column("initial lr", "left", [_lr_text(row.lr) for row in rows], indent=2),
        Column("lr schedule", "center", [row.schedule for row in rows]),
        Column("# of Epochs", "right", [str(row.epochs) for row in rows], stop=7),
        *(_setting_column(name, values) for name, values in others.items()),
    ]


def _setting_column(name: str, values: Sequence[Any], *, is_leading: bool = False) -> Column:
    """Return the column of a training field, in the form of the published sequel if it has the field's values."""
    if name == "optimizer":
        return Column(name, "center", [OPTIMIZER_NAMES[value] for value in values], indent=3)
    if name == "precision" and {*values} <= {*PRECISION_NAMES}:
        return Column(name, "center", [PRECISION_NAMES[value] for value in values], indent=2)
    if name == "weight_decay_on" and {*values} <= {*ON_BN}:
        return Column("weight decay on BN", "center", [ON_BN[value] for value in values], indent=7)
    if name == "weight_decay" and is_leading:
        return Column("weight decay", "right", [_scientific(value) for value in values], stop=8)
    if name == "ghost_batch_size":
        return Column("ghost batch size", "center", [str(value or "N/A") for value in values])
    none = NONE_WORDS.get(name, "-")
    return number_column(name, [format_value(value, digits=None, none=none) for value in values])


def _lr_text(lr: float) -> str:
    """Return `1.0` for 1, as the published tables do, and `1000` for larger rates than theirs."""
    return repr(lr) if lr < LARGE_LR else format_value(lr, digits=None)


def _scientific(value: float) -> str:
    """Return `5e-4` for 0.0005, with all digits that the value has."""
    shortest = next(text for digits in range(17) if float(text := f"{value:.{digits}e}") == value)
    return shortest.replace("e-0", "e-").replace("e+0", "e+") if value else "0"


def number_column(header: str, values: list[str]) -> Column:
    """Return a right-aligned column whose values end below the end of the header."""
    return Column(header, "right", values, stop=len(header))


def row_values(columns: Sequence[Column]) -> list[list[str]]:
    """Return the values of the columns row by row."""
    return [list(values) for values in zip(*(column.values for column in columns), strict=True)]


def markdown_table(columns: Sequence[Column]) -> str:
    """Return the columns as Markdown, ending with a newline; headers and values are shown unchanged."""
    shown = [
        replace(column, header=escaped(column.header), values=list(map(escaped, column.values))) for column in columns
    ]
    return plain_table(shown)


def plain_table(columns: Sequence[Column]) -> str:
    """Return the columns as Markdown whose headers and values may hold markup."""
    lines = zip(*(column.lines() for column in columns), strict=True)
    return "".join(f"|{'|'.join(cells)}|\n" for cells in lines)


def _error_text(row: TableRow) -> str:
    return row.note if row.test_error_percent is None else f"{row.test_error_percent:.2f}"


def _mean_text(row: TableRow) -> str:
    if row.mean_test_error_percent is None:
        return "-"
    spread = "" if row.std_test_error_percent is None else f" +- {row.std_test_error_percent:.2f}"
    return f"{row.mean_test_error_percent:.2f}{spread}"


def _time_text(row: TableRow) -> str:
    return "-" if row.total_seconds is None else format_seconds(row.total_seconds)


def flat_settings(row: TableRow) -> dict[str, object]:
    """Return what the row trains by the names of the training fields."""
    return {name: getattr(row, name) for name in PUBLISHED_COLUMNS} | row.other | row.shared | row.unnamed


def flat_row(row: TableRow) -> dict[str, object]:
    """Return all values of a row by name."""
    proposal = {} if row.proposal is None else {"proposal": row.proposal}
    results = row.objectives | {name: getattr(row, name) for name in RESULTS}
    after = {} if row.best is None else {"best": row.best}
    return flat_settings(row) | proposal | {name: tidied(value) for name, value in results.items()} | after


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with the same keys as CSV, with a header; no text is a formula for a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_value(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def csv_value(value: object) -> object:
    """Return a value for a cell of CSV. A spreadsheet would run a text that begins like a formula: it gets a `'`."""
    if isinstance(value, tuple):
        return json_text(value, None)
    if not isinstance(value, str):
        return value
    text = printable_line(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text
