"""The simulation behind `benchmarks/insight_repeats.py`, with a few sweeps."""

from benchmarks.insight_repeats import few, measure, published
from results.insight.separation import Limits


def test_figures_are_the_same_each_time() -> None:
    assert measure(published, Limits(3), 2) == measure(published, Limits(3), 2)


def test_clear_differences_are_found_for_few_runs() -> None:
    figures = measure(few(3, 20.0), Limits(10), 10)
    assert figures["best found"] == figures["by uniform"] == 100
    assert figures["separated"] > 0 == figures["wrongly"]
    assert figures["runs"] < 50
