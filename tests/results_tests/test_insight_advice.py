"""Which trials are proposed, on sweeps whose best rates are known."""

import math

import pytest

from results.insight.advice import SETTLED_OCTAVES, advise
from results.insight.optima import BestRates, Status, optima
from results.insight.runs import Noise, Run
from tests.results_tests.insight_samples import power_law, simulated_runs

KNOWN_NOISE = Noise(0.15**2, 20)
SIZES = (64, 128, 256, 512)


def equal_costs(best: BestRates) -> dict[int, float]:
    return {optimum.batch_size: 1.0 for optimum in best.optima}


def lrs_at(best: BestRates, batch_size: int, budget: float = 100) -> list[float]:
    advice = advise(best, equal_costs(best), budget)
    return [proposal.lr for proposal in advice.proposals if proposal.batch_size == batch_size]


def test_an_open_edge_is_followed_twice_by_a_factor_of_two() -> None:
    best = optima(simulated_runs(power_law(0.5, SIZES) | {512: 12.8}, range(-2, 3)), KNOWN_NOISE)
    assert best.optima[-1].status is Status.AT_LEAST
    first, second, *more = lrs_at(best, 512)
    assert (first, second) == (6.4, 12.8)
    octaves = [abs(math.log2(lr / best.optima[-1].lr)) for lr in more]
    assert all(1 - 0.01 <= distance <= 1.3 + 0.01 for distance in octaves)
    told = [proposal.settles for proposal in advise(best, equal_costs(best), 100).proposals]
    assert {"whether the best rate is above 3.2", "whether the best rate is above 6.4"} <= set(told)


def test_elsewhere_a_trial_lies_on_the_flank_that_is_farther_from_what_was_measured() -> None:
    steps = (-2.0, -1.0, -0.5, 0.0, 2.5)
    best = optima(simulated_runs(dict.fromkeys(SIZES, 0.8), steps, shape=lambda u: u**2 / 4), KNOWN_NOISE)
    optimum = best.optima[0]
    assert (optimum.status, optimum.high / optimum.low > 2**SETTLED_OCTAVES) == (Status.INSIDE, True)
    assert 1 - 0.01 <= math.log2(lrs_at(best, 64)[0] / optimum.lr) <= 1.3 + 0.01


def test_the_widest_interval_per_cost_comes_first_and_the_budget_is_kept() -> None:
    best = optima(simulated_runs(power_law(0.5, SIZES) | {512: 12.8}, range(-2, 3)), KNOWN_NOISE)
    assert advise(best, equal_costs(best), 3).proposals[0].batch_size == 512
    costs = equal_costs(best) | {512: 1.5}
    assert 512 in {proposal.batch_size for proposal in advise(best, costs, 3).proposals}
    dear = advise(best, equal_costs(best) | {512: 50.0}, 3)
    assert (dear.cost, {proposal.batch_size for proposal in dear.proposals} & {512}) == (3, set())
    assert 512 in dear.open_sizes


def test_nothing_is_open_where_every_best_rate_is_known_well() -> None:
    runs = [run for seed in range(8) for run in simulated_runs(power_law(0.5, SIZES), (-2, -1, 0, 1, 2), seed)]
    sharp = [Run(run.batch_size, run.lr, run.error_percent, 0.01) for run in runs]
    advice = advise(optima(sharp, KNOWN_NOISE), dict.fromkeys(SIZES, 1.0), 100)
    assert (advice.proposals, advice.open_sizes) == ((), ())
    assert all(0 <= gain.points <= gain.most < 0.1 for gain in advice.gains.values())


def test_the_gain_is_large_where_the_best_rate_is_far_from_all_measured() -> None:
    best = optima(simulated_runs(power_law(0.5, SIZES) | {512: 12.8}, range(-2, 3)), KNOWN_NOISE)
    gains = advise(best, equal_costs(best), 1).gains
    assert gains[512].points > 5 * gains[64].points
    assert gains[512].most > gains[512].points


@pytest.mark.parametrize(
    ("rates", "errors", "proposed"),
    [
        ((0.4, 0.8), (9.0, 8.0), [0.2, 1.6, 0.1, 3.2]),
        ((0.4, 0.8, 1.6), (90.0, 90.0, 90.0), [0.2, 0.1]),
        ((0.4, 0.8, 1.6), (9.0, 90.0, 90.0), [0.2, 0.1]),
    ],
)
def test_a_batch_size_without_a_fit_gets_rates_beyond_those_measured(
    rates: tuple[float, ...], errors: tuple[float, ...], proposed: list[float]
) -> None:
    lonely = [Run(32, lr, error) for lr, error in zip(rates, errors, strict=True)]
    best = optima([*lonely, *simulated_runs(power_law(0.5, SIZES), range(-2, 3))], KNOWN_NOISE)
    assert lrs_at(best, 32) == proposed


def test_nothing_is_proposed_beyond_an_edge_where_the_error_is_clearly_higher() -> None:
    errors = {0.025: (1.13, 2.82, 35.77), 0.05: (0.85, 1.69, 20.85), 0.2: (1.13, 1.97, 3.38)}
    errors |= {0.8: (0.28, 1.69, 2.82), 1.6: (2.82, 3.94, 73.52)}
    runs = [Run(size, lr, e) for lr, row in errors.items() for size, e in zip((16, 64, 256), row, strict=True)]
    best = optima(runs)
    assert best.optima[-1].low < best.optima[-1].measured_low
    assert all(0.025 < lr < 1.6 for lr in lrs_at(best, 256, budget=9))
    assert lrs_at(best, 256, budget=9)
