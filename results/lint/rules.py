"""The lint rules: each takes all rows and gives its findings; none knows of another.

The thresholds were chosen so that clean tables stay without findings (`tests/results_tests/test_lint_clean.py`);
where a published table decided one, its reason says so.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from models.names import display_name
from results.lint.lr_exponent import fit_exponent
from results.lint.rows import Curve, Finding, LintRow, Rule, Severity, curves, distinct, lr_studies
from results.tables.layout import format_seconds
from trainable.rounding import round_significant
from trainable.wording import counted

RATE_DIGITS = 9
"""Significant digits to which rates lr / batch size are compared."""
MIN_GRID = 3
"""Learning rates that make a grid: of two, one is always the best and always at the edge."""
MIN_RULE_SIZES = 3
"""Batch sizes that share one lr / batch size, before it counts as the table's rule: two may do so by chance."""
RULE_SHARE = 0.5
"""... and the share of the table's batch sizes that they make: else the table has no rule."""
MAX_SLIP = 0.1
"""Deviation from the rule that is taken for a slip: grids step by a fifth and more (1.6, 2.0, 2.4)."""
DIVERGED_FACTOR = 2.0
"""Times the protocol's median error: converged rows with too large an lr stay below 1.5 in the published tables."""
DIVERGED_POINTS = 2.0
"""Percentage points above that median at least: ten times the spread of seeds on CIFAR-10, so that twice a very
small error is no divergence."""
MIN_TIMED_SECONDS = 60.0
"""Shorter runs are not compared in time: what else the machine does weighs too much."""
TIME_GAP = 1.2
"""Ratio of neighbouring times an epoch that parts them: printed to the minute, 20m is known to 5 %, and the
scatter within a batch size is a few percent more (8 % in the published tables that agree)."""
EXPONENT_LEVEL = 0.99
"""Confidence at which an exponent is said to be rejected: 95 % may accuse one clean table in twenty."""
MIN_MISS = 2.0
"""... and the factor by which the linear rule must be wrong over the batch sizes studied: grids step by 2, so that
less is nothing that a table could show."""
LINEAR, SQUARE_ROOT = 1.0, 0.5
"""The exponents of the linear rule (Goyal et al. 2017) and of the square-root rule (Krizhevsky 2014)."""

Key = TypeVar("Key", bound=Hashable)


def repeated_configurations(rows: Sequence[LintRow]) -> list[Finding]:
    """One configuration and seed with several errors: the spread between runs, in a table of single runs."""
    findings = []
    for (configuration, _), members in _grouped(rows, lambda row: (row.configuration, row.seed)).items():
        errors = sorted({row.test_error_percent for row in members})
        if len(errors) > 1:
            protocol, batch_size, lr = configuration
            message = (
                f"batch size {batch_size}, lr {lr:g} ({protocol}) stands with {_list(errors, '.2f')} %: "
                f"{errors[-1] - errors[0]:.2f} points between runs of one configuration"
            )
            findings.append(Finding(Rule.REPEAT, Severity.WARNING, message, tuple(members)))
    return findings


def off_rule_lrs(rows: Sequence[LintRow]) -> list[Finding]:
    """A learning rate close to the one that the table's linear rule asks for, but neither it nor it rounded."""
    slips: dict[tuple[int, float, float, int], list[LintRow]] = {}
    for members in _grouped(rows, lambda row: (row.group, row.protocol)).values():
        sizes = _grouped(members, lambda row: row.batch_size)
        rates = Counter(_rate(lr, size) for size, lr in {(row.batch_size, row.lr) for row in members})
        rate, num_sizes = max(rates.items(), key=lambda item: item[1])
        if num_sizes < max(MIN_RULE_SIZES, RULE_SHARE * len(sizes)):
            continue
        for size, at_size in sizes.items():
            meant, lrs = round_significant(rate * size, RATE_DIGITS), {row.lr for row in at_size}
            if len(lrs) > 1:  # a grid of its own: it need not hold the rule's learning rate
                continue
            lr = lrs.pop()
            if 0 < abs(lr / meant - 1) < MAX_SLIP and not _is_rounded(lr, meant):
                slips.setdefault((size, lr, meant, num_sizes), []).extend(at_size)
    findings = []
    for (size, lr, meant, num_sizes), members in slips.items():
        message = (
            f"batch size {size} has lr {lr:g} where the rule of {num_sizes} other batch sizes "
            f"(lr = {meant / size:.3g} x batch size) gives {meant:g}: {100 * (lr / meant - 1):+.1f} %, no rounding"
            f"{_slip_of_digits(lr, meant)}"
        )
        findings.append(Finding(Rule.OFF_RULE_LR, Severity.ERROR, message, tuple(members)))
    return findings


def edge_optima(rows: Sequence[LintRow]) -> list[Finding]:
    """The best learning rate is the first or last of its grid: a better one may lie outside."""
    findings = []
    for curve in curves(rows):
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
        findings.append(Finding(Rule.EDGE_OPTIMUM, Severity.WARNING, message, curve.rows))
    return findings


def single_lrs(rows: Sequence[LintRow]) -> list[Finding]:
    """Batch sizes with one learning rate in a protocol that studies the learning rate."""
    findings = []
    for protocol, members in lr_studies(rows, MIN_GRID).items():
        single = [curve for curve in members if len(curve.errors) == 1]
        if not single:
            continue
        single.sort(key=lambda curve: curve.batch_size)
        tried = "; ".join(f"batch size {curve.batch_size}: {_list(curve.errors, 'g')}" for curve in single)
        message = (
            f"one learning rate only ({tried}) where {len(members) - len(single)} other batch sizes have several "
            f"({protocol})"
        )
        at = tuple(row for curve in single for row in curve.rows)
        findings.append(Finding(Rule.SINGLE_LR, Severity.WARNING, message, at))
    return findings


def near_divergences(rows: Sequence[LintRow]) -> list[Finding]:
    """An error far above the others of its protocol, at no smaller a learning rate than its batch size's best."""
    unique = distinct(rows)
    best_lrs = {(curve.protocol, curve.batch_size): curve.best_lrs[-1] for curve in curves(rows)}
    findings = []
    for protocol, members in _grouped(unique, lambda row: row.protocol).items():
        median = statistics.median(row.test_error_percent for row in members)
        for row in members:
            excess = row.test_error_percent - median
            if (
                excess < max((DIVERGED_FACTOR - 1) * median, DIVERGED_POINTS)
                or row.lr < best_lrs[protocol, row.batch_size]
            ):
                continue
            message = (
                f"batch size {row.batch_size}, lr {row.lr:g} ({protocol}): {row.test_error_percent:.2f} % against a "
                f"median of {median:.2f} % in its protocol{_other_schedules(row, unique)}"
            )
            findings.append(Finding(Rule.NEAR_DIVERGENCE, Severity.WARNING, message, (row,)))
    return findings


def inconsistent_times(rows: Sequence[LintRow]) -> list[Finding]:
    """Times an epoch that fall apart at one model, batch size and device."""
    findings = []
    timed = [row for row in distinct(rows) if row.seconds >= MIN_TIMED_SECONDS]
    for key, members in _grouped(
        timed, lambda row: (row.protocol.model, row.batch_size, row.device, row.protocol.other)
    ).items():
        clusters = _clusters(members)
        if len(clusters) > 1:
            message = f"batch size {key[1]} ({display_name(key[0])}) takes " + ", ".join(map(_cluster_text, clusters))
            findings.append(Finding(Rule.TIMES, Severity.WARNING, message, tuple(members)))
    return findings


def lr_scaling(rows: Sequence[LintRow]) -> list[Finding]:
    """The best learning rate grows with the batch size, but not in proportion."""
    findings = []
    for protocol, members in lr_studies(rows, MIN_GRID).items():
        grids = [curve for curve in members if len(curve.errors) >= MIN_GRID]
        law = fit_exponent(grids)
        if law is None or law.miss_of(LINEAR) < MIN_MISS or _holds(law.interval(EXPONENT_LEVEL), LINEAR):
            continue
        low, high = law.interval(0.95)
        root = "not rejected" if _holds(law.interval(0.95), SQUARE_ROOT) else "rejected too"
        message = (
            f"best lr ~ batch size ^ {law.exponent:.2f} (95 % {low:.2f} to {high:.2f}) over {law.num_points} batch "
            f"sizes ({protocol}): the linear rule's exponent 1 is rejected, 0.5 is {root}"
        )
        at = tuple(row for curve in grids for row in _best_rows(curve))
        findings.append(Finding(Rule.LR_SCALING, Severity.NOTE, message, at))
    return findings


def _grouped(rows: Iterable[LintRow], key: Callable[[LintRow], Key]) -> dict[Key, list[LintRow]]:
    groups: dict[Key, list[LintRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _list(values: Iterable[float], form: str) -> str:
    return " and ".join(f"{value:{form}}" for value in values)


def _rate(lr: float, batch_size: int) -> float:
    """Return lr / batch size without its last bits, so that equal rates compare equal."""
    return round_significant(lr / batch_size, RATE_DIGITS)


def _is_rounded(value: float, exact: float) -> bool:
    """Whether `value` is `exact` rounded, or cut off, to the places after the point that `value` has."""
    num_places = len(_digits(value).partition(".")[2])
    return abs(value - exact) < 10.0**-num_places


def _digits(value: float) -> str:
    return f"{value:.9f}".rstrip("0")


def _slip_of_digits(lr: float, meant: float) -> str:
    """How one digit would explain the difference."""
    got, want = (_digits(value).replace(".", "").lstrip("0") for value in (lr, meant))
    if want in {got[:place] + got[place + 1 :] for place in range(len(got))}:
        return f" (a digit too many: {got} for {want})"
    if got in {want[:place] + want[place + 1 :] for place in range(len(want))}:
        return f" (a digit missing: {got} for {want})"
    if got in {want[:at] + want[at + 1] + want[at] + want[at + 2 :] for at in range(len(want) - 1)}:
        return f" (two digits swapped: {got} for {want})"
    return ""


def _other_schedules(row: LintRow, rows: Sequence[LintRow]) -> str:
    """What the same point has under other schedules, if anything."""
    others = [
        f"{other.test_error_percent:.2f} % with {other.protocol.schedule}"
        for other in rows
        if other.protocol != row.protocol
        and other.configuration == (row.protocol._replace(schedule=other.protocol.schedule), row.batch_size, row.lr)
    ]
    return f"; {', '.join(others)}" if others else ""


def _clusters(rows: Iterable[LintRow]) -> list[list[LintRow]]:
    """Rows by rising time an epoch, parted wherever it jumps by TIME_GAP."""
    clusters: list[list[LintRow]] = []
    for row in sorted(rows, key=lambda row: row.seconds_per_epoch):
        if clusters and row.seconds_per_epoch < TIME_GAP * clusters[-1][-1].seconds_per_epoch:
            clusters[-1].append(row)
        else:
            clusters.append([row])
    return clusters


def _cluster_text(rows: Sequence[LintRow]) -> str:
    """`12.9 s an epoch in 2 rows (43m for 200 epochs)`; rows rise in time an epoch."""
    spans = []
    for epochs, members in sorted(_grouped(rows, lambda row: row.protocol.epochs).items()):
        times = list(dict.fromkeys(format_seconds(row.seconds) for row in members))
        spans.append(f"{' to '.join(dict.fromkeys([times[0], times[-1]]))} for {counted(epochs, 'epoch')}")
    ends = dict.fromkeys(f"{row.seconds_per_epoch:.1f}" for row in (rows[0], rows[-1]))
    return f"{' to '.join(ends)} s an epoch in {counted(len(rows), 'row')} ({', '.join(spans)})"


def _best_rows(curve: Curve) -> list[LintRow]:
    return [row for row in curve.rows if row.lr in curve.best_lrs]


def _holds(interval: tuple[float, float], value: float) -> bool:
    return interval[0] <= value <= interval[1]
