"""Comparisons as Markdown, CSV and JSON, each beginning with the warnings."""

import dataclasses

from models.names import display_name
from results.parquet.markdown import escaped
from results.statistics.compare import ComparedCell, Comparison, Difference
from results.statistics.verdicts import Verdict
from results.tables.layout import Column, csv_text, markdown_table, percent
from trainable.rounding import tidied_results
from trainable.wording import json_text, printable_line


def render_comparison(comparison: Comparison, form: str) -> str:
    """Return the comparison in one of `results.tables.layout.FORMATS`."""
    if form == "csv":
        return comparison_csv(comparison)
    return comparison_json(comparison) if form == "json" else comparison_markdown(comparison)


def comparison_markdown(comparison: Comparison) -> str:
    """Return the warnings, the table, and below it the counts of verdicts, the mean difference and the notes."""
    warnings = "".join(f"> **WARNING: {escaped(text)}**\n>\n" for text in comparison.warnings)
    table = markdown_table(comparison_columns(comparison))
    text = warnings.removesuffix(">\n") + ("\n" if warnings else "") + table
    return text + "\n" + "".join(f"- {escaped(line)}\n" for line in comparison_notes(comparison))


def comparison_columns(comparison: Comparison) -> list[Column]:
    """Return the columns of the table, which has a row for every published configuration."""
    cells = comparison.cells
    published = [cell.published for cell in cells]
    configurations = [item.configuration for item in published]
    has_variants = any(item.variant for item in configurations)
    level = f"{100 * (1 - comparison.alpha):g} % interval"
    columns = [
        Column("Model", "center", [display_name(item.model) for item in configurations]),
        Column("batch size", "right", [str(item.batch_size) for item in configurations], stop=7),
        Column("initial lr", "left", [repr(item.lr) for item in configurations], indent=2),
        Column("lr schedule", "center", [item.schedule for item in configurations]),
        Column("# of Epochs", "right", [str(item.epochs) for item in configurations], stop=7),
        *([Column("variant", "left", [item.variant or "-" for item in configurations])] * has_variants),
        Column("ours", "right", [percent(cell.test_error_percent) for cell in cells], stop=5),
        Column("n", "right", [str(len(cell.errors)) if cell.cell else "-" for cell in cells], stop=2),
        Column("published", "right", [percent(item.test_error_percent) for item in published], stop=6),
        Column("n", "right", [str(item.num_runs) for item in published], stop=2),
        Column("difference", "right", [signed(cell.difference_points) for cell in cells], stop=7),
        Column(level, "center", [interval_text(cell.test) for cell in cells]),
        Column("verdict", "left", [cell.verdict.value for cell in cells]),
    ]
    if any(cell.note for cell in cells):
        columns.append(Column("runs without error", "left", [cell.note for cell in cells]))
    return columns


def comparison_csv(comparison: Comparison) -> str:
    """Return the warnings as lines that begin with '#', then a line for every published configuration."""
    warnings = "".join(f"# WARNING: {printable_line(text)}\n" for text in comparison.warnings)
    rows = [
        {name: "; ".join(value) if isinstance(value, list) else value for name, value in _flat(cell).items()}
        for cell in comparison.cells
    ]
    return warnings + csv_text(tidied_results(rows))


def comparison_json(comparison: Comparison) -> str:
    """Return one JSON object, whose first key is `warnings`."""
    content = {
        "warnings": list(comparison.warnings),
        "notes": list(comparison.notes),
        "sweep": comparison.sweep,
        "table": comparison.table,
        "margin_points": comparison.margin_points,
        "alpha": comparison.alpha,
        "dispersion": dataclasses.asdict(comparison.dispersion),
        "overall": dataclasses.asdict(comparison.overall) if comparison.overall else None,
        "cells": [_flat(cell) for cell in comparison.cells],
    }
    return json_text(tidied_results(content)) + "\n"


def _flat(cell: ComparedCell) -> dict[str, object]:
    test = cell.test
    return {
        **cell.published.configuration._asdict(),
        "tables": list(cell.published.tables),
        "num_runs": len(cell.errors),
        "num_planned": len(cell.cell.trials) if cell.cell else 0,
        "test_error_percent": cell.test_error_percent,
        "num_published_runs": cell.published.num_runs,
        "published_error_percent": cell.published.test_error_percent,
        "difference_points": cell.difference_points,
        "standard_error_points": test.standard_error if test else None,
        "interval_low": test.interval[0] if test else None,
        "interval_high": test.interval[1] if test else None,
        "p_differs": test.p_differs if test else None,
        "p_reproduced": test.p_reproduced if test else None,
        "verdict": cell.verdict.value,
        "departures": [str(departure) for departure in cell.departures],
        "note": cell.note,
    }


def comparison_notes(comparison: Comparison) -> list[str]:
    """Return the lines below the table: counts of verdicts, the mean difference, the notes."""
    counts = ", ".join(f"{comparison.count(verdict)} {verdict}" for verdict in Verdict if comparison.count(verdict))
    lines = [
        f"{counts}; margin {comparison.margin_points:g} points, chance of any wrong verdict of a kind "
        f"at most {100 * comparison.alpha:g} % (t tests, Holm)"
    ]
    if mean := comparison.overall:
        words = f"{mean.verdict} on average, which says nothing about any single row"
        if comparison.p_equal <= comparison.alpha:
            words = disagreement(mean, f"{mean.verdict} on average", comparison.p_equal)
        lines.append(f"mean difference {signed(mean.points)} points {interval_text(mean)}: {words}")
    return lines + list(comparison.notes)


def disagreement(mean: Difference, verdict: str, p_equal: float) -> str:
    """Return what to say of the mean of rows that disagree; that it is small is then no verdict."""
    words = f"the rows disagree (p = {p_equal:.2g})"
    return words if mean.verdict is Verdict.REPRODUCED else f"{verdict}, but {words}"


def signed(value: float | None) -> str:
    """Return a difference in points with its sign; `-` for None."""
    return "-" if value is None else f"{value:+.2f}"


def interval_text(test: Difference | None) -> str:
    """Return `[-0.10, +0.30]`; `-` without a test."""
    return "-" if test is None else f"[{test.interval[0]:+.2f}, {test.interval[1]:+.2f}]"
