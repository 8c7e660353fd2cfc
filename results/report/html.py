"""Reports as one HTML file that needs neither network nor scripts."""

from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from results.report.content import Report
from results.report.linked_table import LinkedTable
from results.statistics.comparison_text import comparison_columns, comparison_notes
from trainable.wording import printable

TEMPLATE = "report.html.jinja"


def html_value(value: object) -> object:
    """Return a value for the template, which escapes markup; control characters are no part of HTML."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render_html(report: Report, figures: Mapping[str, str]) -> str:
    """Render a report as HTML; text from YAML files, errors and names is escaped.

    `figures` maps file stems to SVG elements, the only markup that is not escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
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
        figures={stem: Markup(svg) for stem, svg in figures.items()},  # noqa: S704
        comparison=LinkedTable(comparison_columns(comparison), report.comparison_anchors) if comparison else None,
        warnings=comparison.warnings if comparison else (),
        notes=comparison_notes(comparison) if comparison else [],
    )
