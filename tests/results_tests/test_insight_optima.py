"""The best learning rate of every batch size, against simulated truth and the published rows."""

import math

import numpy as np
import pytest
from scipy import stats

from results.insight.optima import Status, optima
from results.insight.regret import Rule, rule_regret
from results.insight.runs import NO_NOISE_KNOWN, Noise, Run, curves_of
from results.insight.shapes import all_shapes, shape_penalties
from tests.results_tests.insight_samples import NOISE, power_law, simulated_runs

SIZES = (128, 256, 512, 1024)


def test_shapes_are_zero_and_least_at_the_optimum_with_one_curvature() -> None:
    shapes = all_shapes(np.array([-3.0, -0.01, 0.0, 0.01, 3.0]))
    assert shapes.shape == (*shape_penalties().shape[:1], 5)
    assert np.allclose(shapes[:, 2], 0)
    assert (shapes[:, [0, 1, 3, 4]] > 0).all()
    assert np.allclose(shapes[:, 1], 1e-4, rtol=0.03)
    assert np.allclose(shapes[7:, 3], 1e-4, rtol=0.03)


def test_optima_inside_the_grid() -> None:
    truth = power_law(0.5, SIZES)
    best = optima(simulated_runs(truth, range(-3, 4)))
    assert [optimum.status for optimum in best.optima] == [Status.INSIDE] * len(SIZES)
    for optimum in best.optima:
        assert optimum.low <= truth[optimum.batch_size] <= optimum.high
        assert optimum.low < optimum.lr < optimum.high < 4 * optimum.low
        assert optimum.error_percent == pytest.approx(8, abs=0.3)
        assert optimum.told == (optimum.low, optimum.high)
    assert 28 - 8 - 8 - 2 <= best.fit_noise.degrees_of_freedom < 28 - 8 - 2, "rates 3 octaves off count for less"
    assert optima(simulated_runs(truth, range(-1, 2))).fit_noise.degrees_of_freedom == 12 - 8 - 2
    assert 0 < best.fit_noise.variance < 3 * NOISE**2


def test_residuals_are_not_taken_for_noise_between_seeds() -> None:
    runs = simulated_runs(power_law(0.5, SIZES), range(-3, 4))
    assert optima(runs).seed_noise == NO_NOISE_KNOWN
    repeated = optima([*runs, Run(runs[0].batch_size, runs[0].lr, runs[0].error_percent + 0.2)]).seed_noise
    assert repeated.variance == pytest.approx(0.02)
    assert repeated.degrees_of_freedom == 1
    assert optima(runs, Noise(0.03, 5)).seed_noise == Noise(0.03, 5)


def test_optima_beyond_the_grid_are_bounds() -> None:
    best = optima(simulated_runs({128: 0.8, 256: 0.8, 512: 6.4, 1024: 0.1}, range(-2, 3)))
    statuses = {optimum.batch_size: optimum for optimum in best.optima}
    assert [statuses[size].status for size in SIZES] == [Status.INSIDE] * 2 + [Status.AT_LEAST, Status.AT_MOST]
    assert 0.8 < statuses[512].low <= 6.4 <= statuses[512].high
    assert statuses[1024].low <= 0.1 <= statuses[1024].high < 0.8
    assert statuses[512].told == (statuses[512].low, math.inf)
    assert statuses[1024].told == (0, statuses[1024].high)


def test_what_cannot_be_told() -> None:
    runs = simulated_runs(power_law(0.5, SIZES), range(-3, 4))
    flat = [Run(32, lr, 8.0 + shift) for lr, shift in ((0.4, 0.0), (0.5, 0.1), (0.6, 0.0))]
    diverged = [Run(2048, lr, error) for lr, error in ((0.4, 90.0), (0.8, 88.0), (1.6, math.nan))]
    optima_by_size = {o.batch_size: o for o in optima([*runs, *flat, *diverged, Run(64, 0.4, 8.0)]).optima}
    reasons = {size: optimum.why for size, optimum in optima_by_size.items() if optimum.status is Status.CANNOT_TELL}
    assert reasons == {
        32: "all errors within noise of each other",
        64: "fewer than 3 rates",
        2048: "no error is better than chance",
    }
    assert 0 < optima_by_size[32].low < optima_by_size[32].high < math.inf
    assert all(optima_by_size[size].told == (0, math.inf) for size in reasons)
    few = optima([Run(8, lr, 8 + lr) for lr in (0.1, 0.2, 0.4)])
    assert few.optima[0].why == "too few rates in all for an estimate of the noise"
    assert optima([Run(8, lr, 8 + lr) for lr in (0.1, 0.2, 0.4)], Noise(0.02, 10)).fits


def test_divergence_bounds_the_optimum_without_moving_it() -> None:
    """At twice the best rate training jumps to chance; a smooth shape through it would be far off."""
    truth = power_law(0.5, SIZES)
    runs = simulated_runs(truth, range(-3, 4), shape=lambda u: u**2 / 2 if u < 0.9 else math.inf)
    best = optima(runs)
    for optimum in best.optima:
        assert optimum.low <= truth[optimum.batch_size] <= optimum.high <= 4 * truth[optimum.batch_size]
        assert optimum.status is not Status.CANNOT_TELL
    below = optima([run if run.lr > 0.15 else Run(run.batch_size, run.lr, math.inf) for run in runs])
    assert all(regret.low >= 0 for regret in rule_regret(below, Rule.LINEAR, 512) if regret.is_measured)


def test_deviance_and_likelihood_are_those_of_student() -> None:
    best = optima(simulated_runs(power_law(0.5, SIZES), range(-2, 3)), Noise(0.02, 10))
    degrees = best.fit_noise.degrees_of_freedom
    assert best.critical_deviance == pytest.approx(stats.t.ppf(0.975, degrees) ** 2)
    roots = np.sqrt([fit.profile for fit in best.fits.values()])
    assert np.allclose(best.likelihoods(), stats.t.pdf(roots, degrees) / stats.t.pdf(0, degrees))


def test_no_interval_is_narrower_than_the_grid_of_optima() -> None:
    truth = power_law(0.5, SIZES)
    exact = [
        Run(size, lr, 8 + math.log2(lr / best) ** 2) for size, best in truth.items() for lr in (0.2, 0.4, 0.8, 1.6)
    ]
    for found in optima(exact, Noise(1e-6, 1000)).optima:
        assert found.low * 2**0.049 <= found.lr <= found.high / 2**0.049


def test_rates_that_diverge_bound_the_optimum() -> None:
    errors = {0.1: 90.0, 0.2: 9.0, 0.4: 8.0, 0.8: 9.0, 1.6: math.nan, 3.2: 90.0}
    curve = curves_of([Run(8, lr, error) for lr, error in errors.items()], 90.0)[0][0]
    assert curve.bounds == (math.log2(0.1), math.log2(1.6))


def _cubic(u: float) -> float:
    return u**2 * (1 + u) / 2 if u > 0 else math.sqrt(1 + u**2) - 1


def test_many_rates_far_away_do_not_make_an_unknown_shape_certain() -> None:
    """No fitted shape is linear on one side and cubic on the other: all rates together would move the optimum."""
    truth = power_law(0.5, SIZES)
    octaves = [step / 2 for step in range(-8, 9)]
    sweeps = [optima(simulated_runs(truth, octaves, seed, _cubic)).optima for seed in range(4)]
    held = [found.told[0] <= truth[found.batch_size] <= found.told[1] for sweep in sweeps for found in sweep]
    assert sum(held) >= 14


def test_a_long_random_search() -> None:
    random = np.random.default_rng(0)
    truth = power_law(0.5, SIZES)
    runs = [
        run
        for octave in random.uniform(-3, 3, 120)
        for run in simulated_runs(truth, [octave], int(octave * 1e6) % 999)
    ]
    found = optima(runs)
    assert found.fit_noise.variance == pytest.approx(NOISE**2, rel=0.3)
    for optimum in found.optima:
        assert optimum.low <= truth[optimum.batch_size] <= optimum.high
        assert optimum.low * 2**0.05 <= optimum.lr <= optimum.high / 2**0.05, "no narrower than the grid of optima"


def test_scale_of_rates_does_not_matter() -> None:
    runs = simulated_runs(power_law(0.5, SIZES), range(-3, 4))
    scaled = [Run(run.batch_size, run.lr / 1024, run.error_percent) for run in runs]
    for first, second in zip(optima(runs).optima, optima(scaled).optima, strict=True):
        assert second.low * 1024 == pytest.approx(first.low)
        assert second.status is first.status


def test_repeats_tell_the_noise() -> None:
    """The variance of 8.0 and 8.2 is 0.02. With weights 2 and 1, 8.0 and 8.3 have mean 8.1 and variance 0.06."""
    runs = [Run(8, 0.1, 8.0), Run(8, 0.1, 8.2), Run(8, 0.2, 9.0), Run(16, 0.1, 8.0, 0.5), Run(16, 0.1, 8.3)]
    curves, noise = curves_of(runs, 90.0)
    assert noise.degrees_of_freedom == 2
    assert noise.variance == pytest.approx((0.02 + 0.06) / 2)
    assert [list(curve.errors) for curve in curves] == [[pytest.approx(8.1), 9.0], [pytest.approx(8.1)]]
    assert curves[1].variance_factors == pytest.approx([1 / 3])
