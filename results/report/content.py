"""What a report says, from the two Parquet tables and their metadata alone. Nothing is drawn or rendered here."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import yaml

from models.names import display_name
from results.figures.parameter_importance import parameter_importance
from results.lint.rows import Finding, rows_of_cells
from results.lint.text import lint
from results.parquet.schema import METADATA_PREFIX
from results.parquet.search_results import SearchResults, read_search, with_rounded
from results.parquet.trials import Cell, Trial, epochs_from_table, group_repeats, trials_from_table
from results.published.cells import table_cells
from results.published.reference import named_tables
from results.report.search_section import SearchSection, chosen_facts, search_section
from results.report.trial_list import (
    Facts,
    TrialList,
    config_words,
    moment,
    named_values,
    percent,
    plain,
    trial_anchor,
    trial_list,
)
from results.statistics.compare import Comparison, compare
from results.statistics.importance import Importance
from results.statistics.matching import stands_for
from results.tables.layout import Column, format_seconds, in_table_order, table_columns, table_rows
from results.tables.search_table import heading, shown_cells
from trainable.errors import UserError
from trainable.records import EpochRecord, Purpose, Status
from trainable.rounding import printed_lr
from trainable.wording import counted


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial without a final result."""

    anchor: str
    """Of the trial's row."""
    status: str
    what: str
    """Its configuration and seed."""
    progress: str
    """How far it came."""
    error: str
    """The error's text as it was recorded; empty where none was."""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table of which each row leads to an anchor; None where there is nothing to lead to."""

    columns: list[Column]
    anchors: list[str | None]

    @property
    def rows(self) -> list[list[str]]:
        """The columns' values, row by row."""
        return [list(values) for values in zip(*(column.values for column in self.columns), strict=True)]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that both forms of a report say; figures apart."""

    sweep: str
    description: str
    facts: Facts
    table: ResultTable
    references: list[str]
    """A line for every published table that the space names."""
    comparison: Comparison | None
    comparison_anchors: list[str | None]
    findings: list[Finding]
    failures: list[Failure]
    trials: TrialList
    search: SearchResults | None
    search_section: SearchSection | None
    """Both None where the sweep is no search."""
    heading: str
    """What the rows of the table are; empty where they are all that was planned."""
    importances: list[tuple[str, Importance]]
    """Words for an objective of a search, and what decides it."""
    space: str
    """The YAML text."""
    cells: list[Cell]
    epochs: Mapping[str, Sequence[EpochRecord]]


def make_report(trials: pa.Table, epochs: pa.Table, sweep: str) -> Report:
    """From the two tables of a sweep, as `parquet` reads them."""
    metadata = _metadata(trials)
    cells = in_table_order(group_repeats(trials_from_table(trials)))
    records = epochs_from_table(epochs)
    listed = trial_list(cells)
    anchors: list[str | None] = [
        group.anchor if len(group.trial_anchors) > 1 else group.trial_anchors[0] for group in listed.groups
    ]
    comparison = _comparison(sweep, cells)
    space = metadata.get("space", "")
    named = _loaded(space)
    search = read_search(trials)
    shown = cells if search is None else in_table_order(shown_cells(search))
    shown_anchors = anchors if search is None else _anchors_of(shown, cells, anchors)
    rows = table_rows(shown if search is None else list(map(with_rounded, shown)))
    importances = parameter_importance(search, records) if search else []
    return Report(
        sweep=sweep,
        description=str(named.get("description") or ""),
        facts=_facts(cells, metadata, search),
        table=ResultTable(table_columns(rows, with_mean=_has_repeats(shown)), shown_anchors),
        references=_references(named, cells),
        comparison=comparison,
        comparison_anchors=_comparison_anchors(comparison, cells, anchors) if comparison else [],
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
    """Empty where the text is no mapping: the report then does without."""
    try:
        content = yaml.safe_load(space)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _has_repeats(cells: Sequence[Cell]) -> bool:
    return any(len(cell.trials) > 1 for cell in cells)


def _anchors_of(shown: Sequence[Cell], cells: Sequence[Cell], anchors: Sequence[str | None]) -> list[str | None]:
    """The anchors of some of the cells, which need not be whole: a trial's key tells which it is."""
    places = {
        trial.row.trial_key: anchor for cell, anchor in zip(cells, anchors, strict=True) for trial in cell.trials
    }
    return [places[cell.trials[0].row.trial_key] for cell in shown]


def _facts(cells: Sequence[Cell], metadata: Mapping[str, str], search: SearchResults | None) -> Facts:
    trials = [trial for cell in cells for trial in cell.trials]
    num_planned = int(metadata.get("num_planned", len(trials)))
    facts: Facts = [("trials", _status_counts(trials, num_planned, is_search=search is not None))]
    facts += [("configurations", str(len(cells))), *_best(cells)] if search is None else chosen_facts(search)
    if trials:
        facts += [
            ("time of all trials", format_seconds(sum(trial.row.total_seconds for trial in trials))),
            ("from (UTC)", moment(min(trial.row.start_time for trial in trials))),
            ("to (UTC)", moment(max((t for trial in trials if (t := trial.row.end_time)), default=None))),
            ("data set", _datasets(trials)),
            ("model", _distinct(display_name(trial.config.model) for trial in trials)),
            ("device", _distinct(trial.row.device for trial in trials)),
        ]
    if metadata.get("scale"):
        facts.append(("scale", f"{metadata['scale']} (not the full size of the space)"))
    overrides = json.loads(metadata.get("overrides", "{}"))
    if overrides:
        facts.append(("set on the command line", named_values(metadata["overrides"])))
    extends = json.loads(metadata.get("extends", "[]"))
    if extends:
        facts.append(("extended", f"holds the trials of {counted(len(extends), 'earlier space')}, too"))
    facts.append(("code (commit/source)", metadata.get("code", "-")))
    return facts


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _status_counts(trials: Sequence[Trial], num_planned: int, *, is_search: bool) -> str:
    counts = Counter(trial.status for trial in trials)
    words = [f"{counts[status]} {status.value.lower()}" for status in Status if counts[status]]
    if num_planned > len(trials):
        words.append(f"{num_planned - len(trials)} not begun")
    what = "planned"
    if is_search:
        num_confirming = sum(trial.row.purpose == Purpose.CONFIRM for trial in trials)
        what = f"of the search, {num_confirming} of them to confirm what it chose" if num_confirming else "proposed"
    return f"{num_planned} {what}: {', '.join(words)}" if words else f"none {what}"


def _best(cells: Sequence[Cell]) -> Facts:
    """By the mean test error at the last epoch; it is selected on the test set, and says so."""
    done = [cell for cell in cells if cell.test_errors]
    if not done:
        return []
    best = min(done, key=lambda cell: statistics.fmean(cell.test_errors))
    errors = best.test_errors
    spread = f" +- {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return [
        ("best test error", f"{statistics.fmean(errors):.2f}{spread} % (n = {len(errors)}): {config_words(best)}"),
        ("how it was chosen", "mean at the last epoch, selected on the test set: lower than a new run would give"),
    ]


def _datasets(trials: Sequence[Trial]) -> str:
    """What confirms a search is trained on all of the images that the search had, and so is not told apart."""
    searching = [trial for trial in trials if trial.row.purpose != Purpose.CONFIRM]
    words = "; ".join(dict.fromkeys(_dataset(trial) for trial in searching or trials))
    return f"{words} (none to confirm what was chosen)" if 0 < len(searching) < len(trials) else words


def _dataset(trial: Trial) -> str:
    config = trial.config
    subsets = [
        f"the first {size} {split} images"
        for split, size in (("training", config.train_subset), ("test", config.test_subset))
        if size is not None
    ]
    held_out = [f"{100 * config.holdout:g} % of training held out"] if config.holdout else []
    return ", ".join([config.dataset, f"fingerprint {plain(config.dataset_fingerprint)}", *subsets, *held_out])


def _comparison(sweep: str, cells: Sequence[Cell]) -> Comparison | None:
    """None where no configuration stands in a published table."""
    try:
        return compare(sweep, cells)
    except UserError:
        return None


def _comparison_anchors(
    comparison: Comparison, cells: Sequence[Cell], anchors: Sequence[str | None]
) -> list[str | None]:
    """`compare` takes the cells of a configuration in their order."""
    places: dict[object, list[str | None]] = {}
    for cell, anchor in zip(cells, anchors, strict=True):
        places.setdefault(stands_for(cell), []).append(anchor)
    found: list[str | None] = []
    for item in comparison.cells:
        key = (item.model, item.batch_size, printed_lr(item.lr), item.schedule, item.epochs)
        waiting = places.get(key, [])
        found.append(waiting.pop(0) if waiting else None)
    return found


def _references(space: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
    ours = {stands_for(cell) for cell in cells}
    lines = []
    for name in named_tables(space):
        try:
            theirs = {cell.configuration for cell in table_cells(name)}
        except UserError:
            lines.append(f"{name}: not among the published tables of this version")
            continue
        found = sum((*key[:2], printed_lr(key[2]), *key[3:]) in ours for key in theirs)
        lines.append(f"{name}: {found} of its {counted(len(theirs), 'configuration')} in this sweep")
    return lines


def _is_failure(trial: Trial) -> bool:
    """What a scheduler stopped is none."""
    return trial.status is not Status.COMPLETE and trial.row.stopped_epoch is None


def _failure(cell: Cell, trial: Trial, records: Mapping[str, Sequence[EpochRecord]]) -> Failure:
    row = trial.row
    progress = f"{row.epochs_done} of {counted(trial.config.epochs, 'epoch')}"
    epochs = records.get(row.trial_key, ())
    if epochs:
        last = epochs[-1]
        loss = "not finite" if last.train_loss is None else f"{last.train_loss:.4g}"
        progress += f", training loss {loss}, test error {percent(last.test_error_percent)} % after the last"
    what = f"{config_words(cell)}, seed {trial.config.seed}"
    return Failure(trial_anchor(trial), row.status.lower(), what, progress, row.error or "")
