"""Clean tables stay without findings; one spoilt figure gives its finding, and that alone."""

import dataclasses
from collections.abc import Callable

import pytest

from results.lint.rows import LintRow, Rule, errors_by_lr
from results.lint.rules import lint
from tests.results_tests.lint_samples import clean_sequel, clean_table, with_error

SPOILT_SEEDS = [seed for seed in range(60) if len({row.batch_size for row in clean_table(seed)}) >= 7][:15]
"""Seeds of tables with enough batch sizes to tell exponent 1 from 0.5."""
Spoil = Callable[[list[LintRow]], list[LintRow]]


def test_200_clean_tables_have_no_findings() -> None:
    findings = {seed: found for seed in range(200) if (found := lint(clean_table(seed)))}
    assert findings == {}


def test_200_clean_tables_with_the_columns_of_the_sequel_have_no_findings() -> None:
    findings = {seed: found for seed in range(200) if (found := lint(clean_sequel(seed)))}
    assert findings == {}


def test_the_clean_tables_are_worth_looking_at() -> None:
    """Every rule has something to judge in them."""
    rows = clean_table(0)
    assert len({row.batch_size for row in rows}) >= 4
    assert len({row.lr for row in rows if row.group.startswith("initial_lr")}) >= 5
    assert len({row.test_error_percent for row in rows}) > 30
    assert len({(*row.configuration, row.seed) for row in rows}) < len(rows)


def at(rows: list[LintRow], group: str, schedule: str, index: int) -> LintRow:
    return [row for row in rows if row.group == group and row.protocol.schedule == schedule][index]


def another_run(rows: list[LintRow]) -> list[LintRow]:
    row = at(rows, "cosine", "cosine", 1)
    return [*rows, with_error(row, row.test_error_percent + 0.05)]


def slipped_lr(rows: list[LintRow]) -> list[LintRow]:
    row = at(rows, "multistep", "multistep", 0)
    return [dataclasses.replace(each, lr=each.lr * 0.98) if each is row else each for each in rows]


def diverged(rows: list[LintRow]) -> list[LintRow]:
    row = at(rows, "multistep", "multistep", -1)
    return [with_error(each, 28.97) if each is row else each for each in rows]


def cut_grid(rows: list[LintRow]) -> list[LintRow]:
    """The sweep's grid at one batch size ends at its best learning rate; the longer side stays."""
    grid = next(curve for curve in errors_by_lr(rows) if curve.protocol.schedule == "constant")
    lrs, best = list(grid.errors), grid.best_lrs[0]
    above = lrs.index(best) < len(lrs) / 2
    gone = {lr for lr in lrs if (lr < best if above else lr > best)}
    return [
        row for row in rows if (row.protocol, row.batch_size) != grid.rows[0].configuration[:2] or row.lr not in gone
    ]


def lone_lr(rows: list[LintRow]) -> list[LintRow]:
    size = rows[0].batch_size
    lr = rows[0].lr
    return [
        row
        for row in rows
        if row.batch_size != size or row.protocol.schedule != "constant" or f"{row.lr:.3g}" == f"{lr:.3g}"
    ]


def other_machine(rows: list[LintRow]) -> list[LintRow]:
    row = at(rows, "multistep", "multistep", 2)
    return [dataclasses.replace(each, seconds=1.5 * each.seconds) if each is row else each for each in rows]


def square_root(rows: list[LintRow]) -> list[LintRow]:
    """The grids of the sweep moved from the linear to the square-root rule."""
    return [
        dataclasses.replace(row, lr=row.lr / row.batch_size**0.5) if row.protocol.schedule == "constant" else row
        for row in rows
    ]


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (another_run, Rule.REPEAT),
        (slipped_lr, Rule.OFF_RULE_LR),
        (diverged, Rule.NEAR_DIVERGENCE),
        (cut_grid, Rule.EDGE_OPTIMUM),
        (lone_lr, Rule.SINGLE_LR),
        (other_machine, Rule.TIMES),
        (square_root, Rule.LR_SCALING),
    ],
)
def test_one_oddity_is_one_finding(spoil: Spoil, rule: Rule) -> None:
    rules = [[finding.rule for finding in lint(spoil(clean_table(seed)))] for seed in SPOILT_SEEDS]
    assert rules == [[rule]] * len(SPOILT_SEEDS)


GHOST, MIXED = "ghost batch size 128", "mixed precision"


def spoilt(rows: list[LintRow], variant: str, index: int, **changes: float) -> list[LintRow]:
    row = [row for row in rows if row.protocol.variant == variant][index]
    return [dataclasses.replace(each, **changes) if each is row else each for each in rows]  # type: ignore[arg-type]


def of_lars(rows: list[LintRow]) -> list[LintRow]:
    return [row for row in rows if row.protocol.variant == "LARS"]


def lars_again(rows: list[LintRow]) -> list[LintRow]:
    row = of_lars(rows)[2]
    return [*rows, with_error(row, row.test_error_percent + 0.05)]


def lars_cut(rows: list[LintRow]) -> list[LintRow]:
    """The grid of LARS at one batch size ends at its best learning rate; the longer side stays."""
    grid = errors_by_lr(of_lars(rows))[0]
    lrs, best = list(grid.errors), grid.best_lrs[0]
    above = lrs.index(best) < len(lrs) / 2
    return [row for row in rows if row not in grid.rows or not (row.lr < best if above else row.lr > best)]


def lars_alone(rows: list[LintRow]) -> list[LintRow]:
    grid = errors_by_lr(of_lars(rows))[0]
    return [row for row in rows if row not in grid.rows or row.lr == grid.best_lrs[0]]


def lars_by_root(rows: list[LintRow]) -> list[LintRow]:
    lars = of_lars(rows)
    return [dataclasses.replace(row, lr=row.lr / row.batch_size**0.5) if row in lars else row for row in rows]


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lars_again, Rule.REPEAT),
        (
            lambda rows: spoilt(rows, GHOST, 0, lr=0.98 * next(row for row in rows if row.group == GHOST).lr),
            Rule.OFF_RULE_LR,
        ),
        (lambda rows: spoilt(rows, MIXED, 0, test_error_percent=48.52), Rule.NEAR_DIVERGENCE),
        (lars_cut, Rule.EDGE_OPTIMUM),
        (lars_alone, Rule.SINGLE_LR),
        (lambda rows: spoilt(rows, "LARS", 1, seconds=1.5 * of_lars(rows)[1].seconds), Rule.TIMES),
        (lars_by_root, Rule.LR_SCALING),
    ],
    ids=[*("repeat", "ghosts off the rule", "mixed diverged", "edge", "single", "times", "scaling")],
)
def test_one_oddity_among_the_rows_of_the_sequel_is_one_finding_that_names_the_variant(
    spoil: Spoil, rule: Rule
) -> None:
    seeds = [seed for seed in SPOILT_SEEDS if len({row.batch_size for row in of_lars(clean_sequel(seed))}) >= 7]
    assert len(seeds) >= 5
    for seed in seeds:
        (finding,) = lint(spoil(clean_sequel(seed)))
        assert finding.rule is rule, seed
        assert rule is Rule.OFF_RULE_LR or {row.protocol.variant for row in finding.rows} <= {"LARS", MIXED}
