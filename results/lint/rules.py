"""The lint rules: independent functions that take all rows and yield their findings.

The thresholds were chosen so that clean tables have no findings (`tests/results_tests/test_lint_clean.py`); if a
published table decided one, its docstring says so.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from models.names import display_name
from results.lint.rows import ErrorByLr, Finding, LintRow, Rule, Severity, distinct, errors_by_lr, lr_studies
from results.tables.layout import format_seconds
from trainable.grouping import grouped
from trainable.rounding import round_significant
from trainable.wording import counted

RATE_DIGITS = 9
"""Significant digits to which rates lr / batch size are compared."""
MIN_GRID = 3
"""Smallest number of learning rates that make a grid: of two, the best one is always at the edge."""
MIN_RULE_SIZES = 3
"""Smallest number of batch sizes with equal lr / batch size that make a rule: two may agree by chance."""
RULE_SHARE = 0.5
"""Smallest share of the table's batch sizes that must follow the rule; otherwise the table has none."""
MAX_SLIP = 0.1
"""Largest relative deviation from the rule that counts as a slip: grids have steps of a fifth and more."""
DIVERGED_FACTOR = 2.0
"""Multiple of the protocol's median error: published rows that converged with too large an lr stay below 1.5."""
DIVERGED_POINTS = 2.0
"""Smallest distance above that median in points: ten times the spread of seeds on CIFAR-10, so that twice a very
small error does not count as divergence."""
MIN_TIMED_SECONDS = 60.0
"""Shortest run whose time is compared: other load on the machine affects shorter ones too much."""
TIME_GAP = 1.2
"""Ratio of neighbouring times per epoch that separates them: printed to the minute, 20m is known to 5 %, and the
scatter within a batch size is a few percent more (8 % in the published tables that agree)."""
MIN_SCALING_SIZES = 4
"""Smallest number of batch sizes for a finding about the linear rule."""
MIN_MISS = 2.0
"""Smallest factor by which the linear rule must miss over the studied batch sizes: grids have steps of 2, so a table
cannot show less."""


def repeated_configurations(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find configurations that occur with the same seed and different errors: the spread between single runs."""
    for (configuration, _), members in grouped(rows, lambda row: (row.configuration, row.seed)).items():
        errors = sorted({row.test_error_percent for row in members})
        if len(errors) > 1:
            protocol, batch_size, lr = configuration
            message = (
                f"batch size {batch_size}, lr {lr:g} ({protocol}) appears with {_list(errors, '.2f')} %: "
                f"{errors[-1] - errors[0]:.2f} points between runs of the same configuration"
            )
            yield Finding(Rule.REPEAT, Severity.WARNING, message, tuple(members))


def off_rule_lrs(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find learning rates close to that of the table's linear rule, but neither equal to it nor rounded from it."""
    slips: dict[tuple[int, float, float, int], list[LintRow]] = {}
    for members in grouped(rows, lambda row: (row.group, row.protocol)).values():
        sizes = grouped(members, lambda row: row.batch_size)
        rates = Counter(_rate(lr, size) for size, lr in {(row.batch_size, row.lr) for row in members})
        rate, num_sizes = max(rates.items(), key=lambda item: item[1])
        if num_sizes < max(MIN_RULE_SIZES, RULE_SHARE * len(sizes)):
            continue
        for size, at_size in sizes.items():
            meant, lrs = round_significant(rate * size, RATE_DIGITS), {row.lr for row in at_size}
            if len(lrs) > 1:  # its own grid need not contain the rule's learning rate
                continue
            lr = lrs.pop()
            if 0 < abs(lr / meant - 1) < MAX_SLIP and not _is_rounded(lr, meant):
                slips.setdefault((size, lr, meant, num_sizes), []).extend(at_size)
    for (size, lr, meant, num_sizes), members in slips.items():
        message = (
            f"batch size {size} has lr {lr:g} where the rule followed by {num_sizes} other batch sizes "
            f"(lr = {meant / size:.3g} x batch size) gives {meant:g}: {100 * (lr / meant - 1):+.1f} %, not a rounding"
            f"{_slip_of_digits(lr, meant)}"
        )
        yield Finding(Rule.OFF_RULE_LR, Severity.ERROR, message, tuple(members))


def edge_optima(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find grids whose best learning rate is the smallest or the largest: a better one may lie outside."""
    for curve in errors_by_lr(rows):
        lrs = list(curve.errors)
        if len(lrs) < MIN_GRID or not set(curve.best_lrs) <= {lrs[0], lrs[-1]}:
            continue
        at_top = curve.best_lrs[-1] == lrs[-1]
        best, inner = (lrs[-1], lrs[-2]) if at_top else (lrs[0], lrs[1])
        message = (
            f"batch size {curve.batch_size} ({curve.protocol}): the best of {len(lrs)} learning rates is the "
            f"{'largest' if at_top else 'smallest'}, {best:g} ({curve.errors[best]:.2f} %, "
            f"{inner:g} has {curve.errors[inner]:.2f} %): the optimum may lie beyond"
        )
        yield Finding(Rule.EDGE_OPTIMUM, Severity.WARNING, message, curve.rows)


def single_lrs(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find batch sizes with a single learning rate in protocols that study the learning rate."""
    for protocol, members in lr_studies(rows, MIN_GRID).items():
        single = [curve for curve in members if len(curve.errors) == 1]
        if not single:
            continue
        single.sort(key=lambda curve: curve.batch_size)
        tried = "; ".join(f"batch size {curve.batch_size}: {_list(curve.errors, 'g')}" for curve in single)
        message = (
            f"only one learning rate ({tried}) where {len(members) - len(single)} other batch sizes have several "
            f"({protocol})"
        )
        at = tuple(row for curve in single for row in curve.rows)
        yield Finding(Rule.SINGLE_LR, Severity.WARNING, message, at)


def near_divergences(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find errors far above the others of the protocol, at a learning rate not below the best of the batch size."""
    unique = distinct(rows)
    best_lrs = {(curve.protocol, curve.batch_size): curve.best_lrs[-1] for curve in errors_by_lr(rows)}
    for protocol, members in grouped(unique, lambda row: row.protocol).items():
        median = statistics.median(row.test_error_percent for row in members)
        for row in members:
            excess = row.test_error_percent - median
            if (
                excess < max((DIVERGED_FACTOR - 1) * median, DIVERGED_POINTS)
                or row.lr < best_lrs[protocol, row.batch_size]
            ):
                continue
            message = (
                f"batch size {row.batch_size}, lr {row.lr:g} ({protocol}): {row.test_error_percent:.2f} %, while the "
                f"median of the protocol is {median:.2f} %{_other_schedules(row, unique)}"
            )
            yield Finding(Rule.NEAR_DIVERGENCE, Severity.WARNING, message, (row,))


def inconsistent_times(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find groups with the same model, batch size and device, but clearly different times per epoch."""
    timed = [row for row in distinct(rows) if row.seconds >= MIN_TIMED_SECONDS]
    alike = grouped(timed, lambda row: (row.protocol._replace(schedule="", epochs=0), row.batch_size, row.device))
    for (protocol, batch_size, _), members in alike.items():
        clusters = _clusters(members)
        if len(clusters) > 1:
            times = ", ".join(map(_cluster_text, clusters))
            variant = f", {protocol.variant}" if protocol.variant else ""
            message = f"batch size {batch_size} ({display_name(protocol.model)}{variant}) takes {times}"
            yield Finding(Rule.TIMES, Severity.WARNING, message, tuple(members))


def lr_scaling(rows: Sequence[LintRow]) -> Iterator[Finding]:
    """Find protocols whose best learning rate does not grow in proportion to the batch size."""
    for protocol, members in lr_studies(rows, MIN_GRID).items():
        grids = sorted(
            (curve for curve in members if len(curve.errors) >= MIN_GRID), key=lambda curve: curve.batch_size
        )
        if len(grids) < MIN_SCALING_SIZES or _miss_of_linear(grids) < MIN_MISS:
            continue
        from results.lint.scaling import against_linear_rule  # loads scipy, which few tables need

        text = against_linear_rule(grids)
        if text is not None:
            at = tuple(row for curve in grids for row in _best_rows(curve))
            yield Finding(Rule.LR_SCALING, Severity.NOTE, f"{text} ({protocol})", at)


def _miss_of_linear(grids: Sequence[ErrorByLr]) -> float:
    """Return the factor by which the linear rule from the first batch size misses the best rate of the last."""
    first, last = grids[0], grids[-1]
    return last.batch_size / first.batch_size * first.best_lrs[0] / last.best_lrs[-1]


def _list(values: Iterable[float], form: str) -> str:
    return " and ".join(f"{value:{form}}" for value in values)


def _rate(lr: float, batch_size: int) -> float:
    """Return lr / batch size without its last bits, so that equal rates compare equal."""
    return round_significant(lr / batch_size, RATE_DIGITS)


def _is_rounded(value: float, exact: float) -> bool:
    """Return whether `value` is `exact` rounded or truncated to the number of decimals that `value` has."""
    num_decimals = len(_digits(value).partition(".")[2])
    return abs(value - exact) < 10.0**-num_decimals


def _digits(value: float) -> str:
    return f"{value:.9f}".rstrip("0")


def _slip_of_digits(lr: float, meant: float) -> str:
    """Return how one wrong digit would explain the difference."""
    got, want = (_digits(value).replace(".", "").lstrip("0") for value in (lr, meant))
    if want in {got[:index] + got[index + 1 :] for index in range(len(got))}:
        return f" (a digit too many: {got} for {want})"
    if got in {want[:index] + want[index + 1 :] for index in range(len(want))}:
        return f" (a digit missing: {got} for {want})"
    if got in {want[:i] + want[i + 1] + want[i] + want[i + 2 :] for i in range(len(want) - 1)}:
        return f" (two digits swapped: {got} for {want})"
    return ""


def _other_schedules(row: LintRow, rows: Sequence[LintRow]) -> str:
    """Return the errors of the same configuration under other schedules, if there are any."""
    others = [
        f"{other.test_error_percent:.2f} % with {other.protocol.schedule}"
        for other in rows
        if other.protocol != row.protocol
        and other.configuration == (row.protocol._replace(schedule=other.protocol.schedule), row.batch_size, row.lr)
    ]
    return f"; {', '.join(others)}" if others else ""


def _clusters(rows: Iterable[LintRow]) -> list[list[LintRow]]:
    """Sort the rows by time per epoch and split them wherever it jumps by TIME_GAP."""
    clusters: list[list[LintRow]] = []
    for row in sorted(rows, key=lambda row: row.seconds_per_epoch):
        if clusters and row.seconds_per_epoch < TIME_GAP * clusters[-1][-1].seconds_per_epoch:
            clusters[-1].append(row)
        else:
            clusters.append([row])
    return clusters


def _cluster_text(rows: Sequence[LintRow]) -> str:
    """Describe rows sorted by time per epoch: `12.9 s per epoch in 2 rows (43m for 200 epochs)`."""
    spans = []
    for epochs, members in sorted(grouped(rows, lambda row: row.protocol.epochs).items()):
        times = list(dict.fromkeys(format_seconds(row.seconds) for row in members))
        spans.append(f"{' to '.join(dict.fromkeys([times[0], times[-1]]))} for {counted(epochs, 'epoch')}")
    ends = dict.fromkeys(f"{row.seconds_per_epoch:.1f}" for row in (rows[0], rows[-1]))
    return f"{' to '.join(ends)} s per epoch in {counted(len(rows), 'row')} ({', '.join(spans)})"


def _best_rows(curve: ErrorByLr) -> list[LintRow]:
    return [row for row in curve.rows if row.lr in curve.best_lrs]


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
