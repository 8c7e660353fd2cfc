"""Reports as Markdown: the same text and tables, without the figures."""

from results.parquet.markdown import code_block, escaped, paragraph
from results.report.content import Failure, Report
from results.report.formatting import Facts
from results.report.search_section import SearchSection
from results.report.trial_list import TrialList
from results.statistics.comparison_text import comparison_markdown
from results.tables.layout import markdown_table


def render_markdown(report: Report) -> str:
    """Render a report as Markdown; text from YAML files, errors and names is escaped or put into code blocks."""
    sections = [
        f"# {escaped(report.sweep)}",
        *([paragraph(report.description)] if report.description else []),
        _facts(report.facts),
        "## Results",
        *([paragraph(report.heading)] if report.heading else []),
        markdown_table(report.table.columns),
        *([paragraph(report.table.note)] if report.table.note else []),
    ]
    if report.insight:
        sections += ["## What it means", report.insight.markdown]
    if report.search_section:
        sections += ["## The search", *_search(report.search_section)]
    if report.references or report.comparison:
        sections += ["## Comparison with the published tables", *_comparison(report)]
    sections += ["## Lint findings", _findings(report)]
    if report.failures:
        sections += ["## Failed, diverged and unfinished trials", *map(_failure, report.failures)]
    sections += ["## All trials", *_trials(report.trials)]
    if report.space:
        sections += ["## The space", code_block(report.space)]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _facts(facts: Facts) -> str:
    return "\n".join(f"- **{escaped(name)}**: {escaped(value)}" for name, value in facts)


def _comparison(report: Report) -> list[str]:
    sections = [comparison_markdown(report.comparison)] if report.comparison else []
    return sections + ["\n".join(f"- {escaped(line)}" for line in report.references)] * bool(report.references)


def _search(section: SearchSection) -> list[str]:
    sections = [_facts(section.facts)]
    for table in section.tables:
        sections += [f"### {escaped(table.heading)}", markdown_table(table.columns)] + [paragraph(table.note)] * bool(
            table.note
        )
    return sections


def _findings(report: Report) -> str:
    lines = [f"- {finding.severity} ({finding.rule}): {escaped(finding.message)}" for finding in report.findings]
    return "\n".join(lines) or "None."


def _failure(failure: Failure) -> str:
    head = f"**{failure.status}** {escaped(failure.what)} (`{failure.anchor}`): {escaped(failure.progress)}"
    return f"{head}\n\n{code_block(failure.error)}" if failure.error else head


def _trials(trials: TrialList) -> list[str]:
    if not trials.groups:
        return ["No trial has started."]
    return ["Shared by all trials:", _facts(trials.shared), markdown_table(trials.columns)]
