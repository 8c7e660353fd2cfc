"""The variance of a run: from repeats and the binomial, and of medians."""

import operator
from collections.abc import Sequence

import numpy as np
import pytest

from results.published.cells import MEDIAN_VARIANCE
from results.published.recipe import published_recipe
from results.statistics.matching import published_repeats
from results.statistics.noise import Repeats, binomial_variance, pooled_dispersion


def test_the_binomial_variance_in_squared_points() -> None:
    """p = 0.2, n = 400: 0.16 / 400 = 0.0004, or (2 points)^2."""
    assert binomial_variance(20, 400) == pytest.approx(4.0)


def test_the_dispersion_is_averaged_by_degrees_of_freedom() -> None:
    """Variances 2 (one degree) and 1 (two degrees) over binomial 4 and 4: (0.5 + 2 * 0.25) / 3."""
    groups = [Repeats([19.0, 21.0], 400), Repeats([19.0, 20.0, 21.0], 400), Repeats([7.0], 400), Repeats([0, 0], 400)]
    dispersion = pooled_dispersion(groups)
    assert dispersion.factor == pytest.approx(1 / 3)
    assert dispersion.degrees_of_freedom == 3
    assert dispersion.run_variance(20, 1600) == pytest.approx(1 / 3)


def test_without_repeats_there_is_no_noise_to_estimate() -> None:
    with pytest.raises(ValueError, match="no configuration with repeats"):
        pooled_dispersion([Repeats([8.0], 10_000)])


def test_the_published_repeats() -> None:
    """Pairs of single runs, and three configurations with a median of three between single runs, one on a V100."""
    groups = published_repeats(published_recipe())
    medians = {tuple(group.test_errors): group for group in groups if len(group.test_errors) > 2}
    assert [*medians] == [(8.87, 8.73, 8.83, 8.87), (10.32, 10.20, 9.88), (8.07, 8.26, 8.45)]
    v = MEDIAN_VARIANCE[3]
    assert [group.variance_factors for group in medians.values()] == [[1, 1, v, 1], [1, v, 1], [1, v, 1]]
    pairs = [sorted(group.test_errors) for group in groups if len(group.test_errors) == 2]
    seed, mixed = pairs[:3], pairs[3:]
    assert seed == [[8.08, 8.40], [7.53, 7.74], [7.15, 7.42]]
    assert mixed == [[11.78, 11.92], [10.16, 10.48], [8.98, 9.10], [7.84, 8.05]]

    def share(errors: Sequence[float], weights: Sequence[float]) -> float:
        mean = sum(map(operator.mul, errors, weights)) / sum(weights)
        squares = [weight * (error - mean) ** 2 for error, weight in zip(errors, weights, strict=True)]
        return float(sum(squares) / (mean * (100 - mean) / 10_000))

    by_hand = [share(pair, (1, 1)) for pair in pairs]
    by_hand += [share(errors, [1 / factor for factor in group.variance_factors]) for errors, group in medians.items()]
    dispersion = pooled_dispersion(groups)
    assert dispersion.degrees_of_freedom == 14
    assert dispersion.factor == pytest.approx(sum(by_hand) / 14) == pytest.approx(0.347, abs=0.001)


def test_the_variance_of_a_median() -> None:
    medians = np.median(np.random.default_rng(0).normal(size=(200_000, 3)), axis=1)
    assert {1: 1.0, 3: pytest.approx(medians.var(), rel=0.01)} == MEDIAN_VARIANCE


def test_independent_misses_on_the_same_images_have_less_than_the_binomial_variance() -> None:
    """The reasoning itself: 40 images that are missed with p_i, the rest never; both runs see the same images."""
    random = np.random.default_rng(0)
    chances = np.zeros(400)
    chances[:40] = np.linspace(0.1, 0.9, 40)
    runs = 100 * (random.random((4000, 400)) < chances).mean(axis=1)
    expected = 1e4 * (chances * (1 - chances)).sum() / 400**2
    assert runs.var() == pytest.approx(expected, rel=0.1)
    assert np.diff(runs.reshape(-1, 2)).var() == pytest.approx(2 * expected, rel=0.1)
    assert expected < 0.8 * binomial_variance(100 * chances.mean(), 400)
