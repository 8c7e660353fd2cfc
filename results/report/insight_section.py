"""The section of a report that says what the results mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from results.insight.findings import findings
from results.insight.groups import groups_of_trials
from results.insight.sentences import Sentence, critical_sentence, sentences
from results.insight.text import MAX_GROUPS, group_heading, insight_text, table_columns
from results.parquet.trials import Cell
from results.report.linked_table import LinkedTable


@dataclass(frozen=True, slots=True)
class InsightGroup:
    """What the runs with equal settings but batch size, learning rate and seed tell."""

    heading: str
    cautions: tuple[str, ...]
    sentences: list[Sentence]
    table: LinkedTable


@dataclass(frozen=True, slots=True)
class InsightSection:
    """What the errors tell about learning rates and batch sizes."""

    groups: list[InsightGroup]
    """The groups that tell the most."""
    critical: list[tuple[str, Sentence]]
    """Label of groups that differ in their epochs alone, and what they tell of the critical batch size."""
    num_hidden: int
    """Number of groups that tell of best rates and are not among `groups`."""
    markdown: str
    """The same, and what is left out, as Markdown."""


def insight_section(cells: Sequence[Cell], scale: str) -> InsightSection | None:
    """Return the section; None if no group of runs tells of a best rate.

    Args:
        cells: the configurations of the sweep.
        scale: the scale of its space; empty for the full size.
    """
    found = findings(groups_of_trials((trial for cell in cells for trial in cell.trials), scale=scale))
    telling = [insight for insight in found.insights if insight.tells_rates]
    if not telling:
        return None
    groups = [
        InsightGroup(
            group_heading(insight),
            insight.cautions,
            sentences(insight),
            LinkedTable(table_columns(insight), [None] * len(insight.best.optima)),
        )
        for insight in telling[:MAX_GROUPS]
    ]
    critical = [(item.label, critical_sentence(item)) for item in found.critical if item.is_told]
    return InsightSection(groups, critical, len(telling) - len(groups), insight_text(found, heading="###"))
