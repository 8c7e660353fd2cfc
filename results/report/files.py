"""Writing the two files of a report from the Parquet files of a sweep."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from results.parquet.files import read_epochs, read_trials
from results.parquet.stamp import stamped
from results.report.content import make_report
from results.report.failure_logs import failure_logs
from results.report.figures import inline_figures
from results.report.html import render_html
from results.report.markdown import render_markdown
from results.report.page_data import page_data, page_json
from results.store.store import Store
from trainable.errors import UserError
from trainable.ledger.files import write_atomically

HTML = "report.html"
MARKDOWN = "report.md"


def report_texts(
    trials: pa.Table, epochs: pa.Table, sweep: str, logs: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the content of both files, made from the tables of a sweep and what `failure_logs` returns."""
    report = make_report(trials, epochs, sweep)
    figures, left_out = inline_figures(report)
    page = render_html(report, figures, page_json(page_data(trials, epochs, logs)), left_out)
    texts = {HTML: page, MARKDOWN: f"{render_markdown(report)}\n"}
    return {name: stamped(text, trials, epochs) for name, text in texts.items()}


def write_report(store: Store, sweep: str, folder: Path) -> list[Path]:
    """Write both forms of the report; equal Parquet files and logs give equal bytes.

    Raises:
        UserError: no such sweep, no readable Parquet file, or the folder cannot be written.
    """
    trials, epochs = read_trials(store, sweep), read_epochs(store, sweep)
    texts = report_texts(trials, epochs, sweep, failure_logs(store, trials))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(folder / name, text.encode())
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    return [folder / name for name in texts]
