"""The figure `insight`: what is drawn of a sweep."""

import math

import pytest

from results.figures.insight import MOST_CURVES, draw_insight, error_curves
from results.figures.style import image
from results.insight.findings import Insight, findings
from results.insight.groups import Error, Group
from results.insight.runs import Run

RATES = [0.1 * 2.0**step for step in range(-3, 4)]


def insight_of(sizes: list[int], best_lr: float = 0.1, **changes: float) -> Insight:
    runs = [
        Run(size, lr, changes.get(f"at_{lr:g}", 8 + (math.log2(lr / best_lr)) ** 2 + 0.01 * (size % 3)))
        for size in sizes
        for lr in RATES
    ]
    return findings([Group("a group", (), 1, Error.TEST, tuple(runs), ())]).insights[0]


def test_curves_have_their_least_error_at_the_best_rate() -> None:
    for curve in error_curves(insight_of([32, 64, 128])):
        lr, error = min(curve.fitted, key=lambda point: point[1])
        assert abs(math.log2(lr / curve.optimum.lr)) < 0.1
        assert abs(error - curve.optimum.error_percent) < 0.01
        assert [lr for lr, _ in curve.errors] == pytest.approx(RATES)


def test_what_is_no_better_than_chance_is_marked_and_not_fitted() -> None:
    curve = error_curves(insight_of([64], **{"at_0.8": 90.0}))[0]
    assert [round(lr, 9) for lr in curve.saturated_lrs] == [0.8]
    assert max(lr for lr, _ in curve.fitted) < 0.5


def test_of_many_batch_sizes_some_have_curves() -> None:
    assert len(error_curves(insight_of([2**power for power in range(16)]))) == MOST_CURVES


def test_a_bound_and_few_batch_sizes_are_drawn() -> None:
    """Neither a law nor the cost of a rule is known here."""
    insight = insight_of([32, 64], best_lr=1.6)
    assert insight.law is None
    assert image(draw_insight(insight, "a title"), "svg").startswith(b"<?xml")
