"""Check a table of results for what a careful reader would question."""

from collections.abc import Sequence

from results.lint.rows import Finding, LintRow, Severity
from results.lint.rules import (
    edge_optima,
    inconsistent_times,
    lr_scaling,
    near_divergences,
    off_rule_lrs,
    repeated_configurations,
    single_lrs,
)
from trainable.wording import counted

RULES = (
    off_rule_lrs,
    repeated_configurations,
    near_divergences,
    edge_optima,
    single_lrs,
    inconsistent_times,
    lr_scaling,
)


def lint(rows: Sequence[LintRow]) -> list[Finding]:
    """Return all findings, the most severe first, otherwise in the order of RULES."""
    findings = [finding for rule in RULES for finding in rule(rows)]
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))


def lint_text(rows: Sequence[LintRow]) -> str:
    """Return a line for every finding, and a last line with their number."""
    findings = lint(rows)
    lines = [f"{finding.severity:8} {finding.rule:18} {finding.message}" for finding in findings]
    return "\n".join([*lines, f"{counted(len(findings), 'finding')} in {counted(len(rows), 'row')}"])
