"""The quick form of `benchmarks/verdict_errors.py`: how often a table of verdicts errs, and what it can tell."""

import math

import numpy as np
import pytest

from benchmarks.verdict_errors import (
    ALPHA,
    PairScenario,
    Scenario,
    describe,
    describe_pairs,
    error_rates,
    power,
    simulate,
    simulate_pairs,
)

NUM_TABLES = 4000
FACTOR = 0.4
BOUND = ALPHA + 3.5 * math.sqrt(ALPHA * (1 - ALPHA) / NUM_TABLES)
SCENARIOS = [
    Scenario(1, 1, 1, 1.0, (0.0,)),
    Scenario(1, 1, 1, 1.0, (1.0,)),
    Scenario(10, 1, 1, 0.5, (0.0,)),
    Scenario(10, 3, 1, 0.5, (0.0, 3.0)),
    Scenario(10, 3, 3, 0.5, (0.5,)),
    Scenario(10, 3, 3, 0.5, (-0.5,)),
    Scenario(10, 3, 1, 1.0, (1.0, 0.0)),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=describe)
def test_wrong_verdicts_in_a_table_are_as_rare_as_stated(scenario: Scenario) -> None:
    rates = error_rates(scenario, simulate(scenario, NUM_TABLES, FACTOR, np.random.default_rng(1)))
    assert rates
    assert {name: rate for name, rate in rates.items() if rate > BOUND} == {}


def test_the_bound_is_used_up_where_the_tests_have_power() -> None:
    """Guards the simulation: rates near 0 everywhere would show nothing."""
    scenario = Scenario(10, 3, 3, 1.0, (1.0,))
    rates = error_rates(scenario, simulate(scenario, NUM_TABLES, FACTOR, np.random.default_rng(1)))
    assert rates["wrong_reproduced"] > 0.03
    scenario = Scenario(10, 3, 1, 0.5, (0.0, 3.0))
    rates = error_rates(scenario, simulate(scenario, NUM_TABLES, FACTOR, np.random.default_rng(1)))
    assert rates["wrong_differs"] > 0.03


def test_repeats_give_power() -> None:
    random = np.random.default_rng(1)
    one, three = (power(simulate(Scenario(10, n, 1, 0.5, (0.75,)), 500, FACTOR, random)) for n in (1, 3))
    assert one["differs"] < 0.6
    assert three["differs"] > 0.85


PAIRS = [PairScenario(6, 3, 400, quality=0.2), PairScenario(1, 5, 400, quality=0.2)]


@pytest.mark.parametrize("scenario", PAIRS, ids=describe_pairs)
def test_intervals_of_two_sweeps_hold_the_truth_as_often_as_stated(scenario: PairScenario) -> None:
    """McNemar's test on single seeds does not, where seeds differ in quality."""
    num_comparisons = 100
    found = simulate_pairs(scenario, num_comparisons, np.random.default_rng(1))
    deviation = math.sqrt(ALPHA * (1 - ALPHA) / num_comparisons)
    assert found["holds_truth"] > 1 - ALPHA - 2.5 * deviation
    assert found["wrong_differs"] < ALPHA + 2.5 * deviation
    assert found["mcnemar_holds_truth"] < 0.88


def test_common_seeds_give_power_where_seeds_differ() -> None:
    scenario = PairScenario(6, 3, 400, difference=-4.0, quality=0.3, shared=0.9)
    found = simulate_pairs(scenario, 30, np.random.default_rng(1))
    assert found["told_apart"] > found["told_apart_without_common_seeds"] + 0.2
