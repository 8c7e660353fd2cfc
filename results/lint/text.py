"""Look through a table of results for what a careful reader would stumble over."""

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
    """All findings, the gravest first, else in the order of RULES."""
    findings = [finding for rule in RULES for finding in rule(rows)]
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))


def lint_text(rows: Sequence[LintRow]) -> str:
    """A line for every finding, and how many there are."""
    findings = lint(rows)
    lines = [f"{finding.severity:8} {finding.rule:18} {finding.message}" for finding in findings]
    return "\n".join([*lines, f"{len(findings)} findings in {len(rows)} rows"])
