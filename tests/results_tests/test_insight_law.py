"""The law between batch size and best learning rate, against simulated truth and the published rows."""

import dataclasses

import numpy as np
import pytest

from results.insight.law import LINEAR, SQUARE_ROOT, Band, Law, Preferred, Verdict, _band, law
from results.insight.optima import BestRates, optima
from results.insight.regret import Rule, rate_regret, rule_regret
from results.insight.runs import Noise, Run
from results.published.cells import published_cells
from results.published.recipe import published_recipe
from results.statistics.matching import published_repeats
from results.statistics.noise import pooled_dispersion
from tests.results_tests.insight_samples import levelling, power_law, simulated_runs
from trainable.errors import UserError

SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)


def fitted(best: BestRates) -> Law:
    found = law(best)
    assert found is not None
    return found


@pytest.mark.parametrize(("exponent", "other"), [(LINEAR, SQUARE_ROOT), (SQUARE_ROOT, LINEAR)])
def test_a_rule_is_compatible_where_the_other_is_rejected(exponent: float, other: float) -> None:
    found = fitted(optima(simulated_runs(power_law(exponent), range(-3, 4))))
    assert exponent in found.exponent
    assert found.exponent.high - found.exponent.low < 0.4
    assert (found.verdict(exponent), found.verdict(other)) == (Verdict.COMPATIBLE, Verdict.REJECTED)
    assert found.preferred is not Preferred.LEVELLING


def test_levelling_off_is_found_with_its_batch_size() -> None:
    truth = levelling(2.5, 300, SIZES)
    found = fitted(optima(simulated_runs(truth, range(-5, 4))))
    assert found.preferred is Preferred.LEVELLING
    assert 300 in found.noise_batch_size
    assert 2.5 in found.lr_max
    assert all(lr in found.levelling_lrs[size] for size, lr in truth.items())


def test_too_little_to_tell() -> None:
    assert law(optima(simulated_runs(power_law(1, SIZES[:2]), range(-3, 4)))) is None
    few = fitted(optima(simulated_runs(power_law(0.75, (128, 256, 512)), range(-1, 2))))
    assert [few.verdict(exponent) for exponent in (LINEAR, SQUARE_ROOT)] == [Verdict.CANNOT_TELL] * 2
    both = dataclasses.replace(few, exponent=Band(0.7, 0.6, 0.8), levelling_factor=0.2)
    assert [both.verdict(exponent) for exponent in (LINEAR, SQUARE_ROOT)] == [Verdict.REJECTED] * 2
    assert both.preferred is Preferred.POWER
    assert dataclasses.replace(few, levelling_factor=0.5).preferred is Preferred.EITHER


def test_quantiles_of_a_band() -> None:
    """Values 0 to 99 spread over -0.5 to 99.5."""
    band = _band(np.arange(100.0), np.ones(100))
    assert (band.low, band.value, band.high) == pytest.approx((2, 49.5, 97))


def test_what_a_rule_costs() -> None:
    """With best rates by the square root, the linear rule from 128 is 1.5 octaves too high at 1024: 1.1 points."""
    best = optima(simulated_runs(power_law(0.5, (64, 128, 256, 512, 1024)), range(-3, 4)))
    linear = {regret.batch_size: regret for regret in rule_regret(best, Rule.LINEAR, 128)}
    root = {regret.batch_size: regret for regret in rule_regret(best, Rule.SQUARE_ROOT, 128)}
    start = next(optimum.lr for optimum in best.optima if optimum.batch_size == 128)
    assert linear[1024].lr == pytest.approx(8 * start)
    assert 0.5 < linear[1024].low < linear[1024].points < linear[1024].high < 2.5
    assert linear[1024].low <= 1.125 <= linear[1024].high
    assert root[1024].low == 0 <= root[1024].points < 0.3
    assert linear[128].low == 0 == pytest.approx(linear[128].points, abs=0.02)
    with pytest.raises(UserError, match="batch size 96 has no best rate to scale from"):
        rule_regret(best, Rule.LINEAR, 96)


def test_rates_far_outside_the_grid_have_no_measured_cost() -> None:
    best = optima(simulated_runs(power_law(0.5, (64, 128, 256, 4096)), range(-2, 3)))
    far = next(regret for regret in rule_regret(best, Rule.LINEAR, 64) if regret.batch_size == 4096)
    assert not far.is_measured
    assert far.why == "rates from 0.2 to 3.2 were better than chance"


@pytest.mark.parametrize(("octaves", "is_measured"), [(0.4, True), (0.6, False)])
def test_how_far_outside_the_grid_a_cost_is_told(octaves: float, is_measured: bool) -> None:
    best = optima(simulated_runs(power_law(0.5), range(-2, 3)))
    rates = [0.2 / 2**octaves, 3.2 * 2**octaves]
    assert [rate_regret(best.fits[256], lr, best.critical_deviance).is_measured for lr in rates] == [is_measured] * 2


@pytest.fixture(scope="module")
def published() -> list[Run]:
    return [
        Run(cell.batch_size, cell.lr, cell.test_error_percent)
        for cell in published_cells()
        if cell.table.startswith("initial_lr")
    ]


@pytest.fixture(scope="module")
def noise() -> Noise:
    dispersion = pooled_dispersion(published_repeats(published_recipe()))
    return Noise(dispersion.run_variance(8, 10_000), dispersion.degrees_of_freedom)


def test_the_published_rates_level_off(published: list[Run], noise: Noise) -> None:
    """The single exponent averages two regimes; without batch size 32 the laws can hardly be told apart."""
    found = fitted(optima(published, noise))
    assert found.preferred is Preferred.LEVELLING
    assert 10 < found.levelling_factor < 100
    assert found.exponent.value == pytest.approx(0.52, abs=0.03)
    assert found.lr_max.value == pytest.approx(2.55, abs=0.15)
    assert found.noise_batch_size.value == pytest.approx(520, abs=40)
    assert found.verdict(LINEAR) is Verdict.REJECTED
    assert found.verdict(SQUARE_ROOT) is Verdict.COMPATIBLE
    rest = fitted(optima([run for run in published if run.batch_size > 32], noise))
    assert 1 < rest.levelling_factor < 5
