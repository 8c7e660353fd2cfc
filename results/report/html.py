"""Reports as one HTML file that needs no network. It can be read without scripts; with them it is interactive."""

from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from results.report.content import Report
from results.report.linked_table import LinkedTable
from results.report.page_data import SCRIPTS
from results.statistics.comparison_text import comparison_columns, comparison_notes
from trainable.wording import printable

HERE = Path(__file__).resolve().parent
TEMPLATE = "report.html.jinja"

MOST_ROWS = 200
"""Number of rows above which a browser with scripts shows only the interactive table: laying out rows takes time."""


def html_value(value: object) -> object:
    """Return a value for the template, which escapes markup; control characters are no part of HTML."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render_html(
    report: Report, figures: Mapping[str, str], data: str = "", left_out: Mapping[str, str] | None = None
) -> str:
    """Render a report as HTML; text from YAML files, errors and names is escaped.

    Args:
        report: the content.
        figures: file stem -> SVG element. Apart from our scripts this is the only markup that is not escaped.
        data: JSON text of `page_json` for the interactive part, which an empty text leaves out.
        left_out: name of a figure -> why it is left out.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        finalize=html_value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    comparison = report.comparison
    return environment.get_template(TEMPLATE).render(
        report=report,
        MOST_ROWS=MOST_ROWS,
        figures={stem: Markup(svg) for stem, svg in figures.items()},  # noqa: S704
        left_out=left_out or {},
        data=Markup(data),  # noqa: S704
        scripts=[Markup((HERE / name).read_text(encoding="utf-8")) for name in SCRIPTS if data],  # noqa: S704
        comparison=LinkedTable(comparison_columns(comparison), report.comparison_anchors) if comparison else None,
        warnings=comparison.warnings if comparison else (),
        notes=comparison_notes(comparison) if comparison else [],
    )
