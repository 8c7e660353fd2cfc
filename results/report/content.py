"""The content of a report, made from the two Parquet tables and their metadata alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import yaml

from results.figures.parameter_importance import parameter_importance
from results.lint.rows import Finding, rows_of_cells
from results.lint.rules import lint
from results.parquet.schema import METADATA_PREFIX
from results.parquet.search_results import SearchResults, read_search
from results.parquet.trials import Cell, EpochsByKey, Trial, epochs_from_table, group_repeats, trials_from_table
from results.published.cells import table_cells
from results.report.formatting import Facts, config_words, trial_anchor
from results.report.insight_section import InsightSection, insight_section
from results.report.linked_table import LinkedTable
from results.report.search_section import SearchSection, search_section
from results.report.summary import summary_facts
from results.report.trial_list import TrialList, trial_list
from results.statistics.compare import Comparison, compare
from results.statistics.importance import Importance
from results.statistics.matching import stands_for
from results.tables.layout import caption, in_table_order, percent, table_columns
from results.tables.search_table import heading, rounded_row, shown_cells, sweep_rows
from trainable.errors import UserError
from trainable.limited_yaml import load_limited
from trainable.records import Status
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial without a final result."""

    anchor: str
    """Anchor of the row of the trial."""
    status: str
    what: str
    """Configuration and seed."""
    progress: str
    """Epochs done and last values."""
    error: str
    """Text of the error as recorded; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that both forms of a report contain, except the figures."""

    sweep: str
    description: str
    facts: Facts
    table: LinkedTable
    insight: InsightSection | None
    """None if the errors tell of no best learning rate."""
    references: list[str]
    """A line for every published table that the space names."""
    comparison: Comparison | None
    comparison_anchors: Sequence[str | None]
    findings: list[Finding]
    failures: list[Failure]
    trials: TrialList
    search: SearchResults | None
    search_section: SearchSection | None
    """None, like `search`, if the sweep is not a search."""
    heading: str
    """Which trials the rows of the table are; empty if they are all planned ones."""
    importances: list[tuple[str, Importance]]
    """(label of an objective of a search, its parameter importances)."""
    space: str
    """YAML text of the space."""
    cells: list[Cell]
    epochs: EpochsByKey


def make_report(trials: pa.Table, epochs: pa.Table, sweep: str) -> Report:
    """Make the report of a sweep from its `trials` and `epochs` tables."""
    metadata = _metadata(trials)
    cells = in_table_order(group_repeats(trials_from_table(trials)))
    records = epochs_from_table(epochs)
    search = read_search(trials)
    listed = trial_list(cells, search.objectives if search else ())
    anchors = {
        anchor: group.anchor if len(group.trial_anchors) > 1 else anchor
        for group in listed.groups
        for anchor in group.trial_anchors
    }

    def anchor_of(cell: Cell) -> str:
        return anchors[trial_anchor(cell.trials[0])]

    comparison = _comparison(sweep, cells)
    compared = [item.cell for item in comparison.cells] if comparison else []
    space = metadata.get("space", "")
    named = _loaded(space)
    shown = cells if search is None else shown_cells(search)
    rows = sweep_rows(shown, search)
    if search is not None:
        rows = list(map(rounded_row, rows))
    importances = parameter_importance(search, records) if search else []
    return Report(
        sweep=sweep,
        description=str(named.get("description") or ""),
        facts=summary_facts(cells, metadata, search),
        table=LinkedTable(
            table_columns(rows, with_mean=_has_repeats(shown)), list(map(anchor_of, shown)), note=caption(rows)
        ),
        insight=insight_section(cells, metadata.get("scale", "")),
        references=_references(named, cells),
        comparison=comparison,
        comparison_anchors=[anchor_of(cell) if cell else None for cell in compared],
        findings=lint(rows_of_cells(cells)),
        failures=[_failure(cell, trial, records) for cell in cells for trial in cell.trials if _is_failure(trial)],
        trials=listed,
        search=search,
        search_section=search_section(search, importances, named) if search else None,
        heading=heading(search) if search else "",
        importances=importances,
        space=space,
        cells=cells,
        epochs=records,
    )


def _metadata(table: pa.Table) -> dict[str, str]:
    found: Mapping[bytes, bytes] = table.schema.metadata or {}
    return {name.decode().removeprefix(METADATA_PREFIX): value.decode() for name, value in found.items()}


def _loaded(space: str) -> dict[str, Any]:
    """Return the content of a space; empty if the text is not a mapping."""
    try:
        content = load_limited(space)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _has_repeats(cells: Sequence[Cell]) -> bool:
    return any(len(cell.trials) > 1 for cell in cells)


def _comparison(sweep: str, cells: Sequence[Cell]) -> Comparison | None:
    """Return the comparison; None if no configuration is in the published tables."""
    try:
        return compare(sweep, cells)
    except UserError:
        return None


def _references(space: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
    ours = {stands_for(cell) for cell in cells}
    lines = []
    for name in map(str, space.get("reference") or []):
        try:
            theirs = {cell.configuration for cell in table_cells(name)}
        except UserError:
            lines.append(f"{name}: not in the published tables of this version")
            continue
        lines.append(f"{name}: {len(ours & theirs)} of its {counted(len(theirs), 'configuration')} in this sweep")
    return lines


def _is_failure(trial: Trial) -> bool:
    """Return whether a trial has no final result for another reason than being stopped by the scheduler."""
    return trial.status is not Status.COMPLETE and trial.row.stopped_epoch is None


def _failure(cell: Cell, trial: Trial, records: EpochsByKey) -> Failure:
    row = trial.row
    progress = f"{row.epochs_done} of {counted(trial.config.epochs, 'epoch')}"
    epochs = records.get(row.trial_key, ())
    if epochs:
        last = epochs[-1]
        loss = "not finite" if last.train_loss is None else f"{last.train_loss:.4g}"
        progress += f", training loss {loss}, test error {percent(last.test_error_percent)} % after the last epoch"
    what = f"{config_words(cell)}, seed {trial.config.seed}"
    return Failure(trial_anchor(trial), row.status.lower(), what, progress, row.error or "")
