"""The noise between runs, what can be seen through it, and the critical batch size, against simulated truth."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from results.insight.critical import TunedCell, critical_batch_size
from results.insight.noise import NoiseComponents, Trial, detectable_difference, noise_components, runs_needed
from results.insight.optima import Status
from results.insight.runs import NO_NOISE_KNOWN, Noise

CHANCES = np.concatenate([np.linspace(0.1, 0.9, 400), np.zeros(3600)])
"""Chance to be missed, by image."""
TEST_SET_VARIANCE = 1e4 * (CHANCES * (1 - CHANCES)).sum() / CHANCES.size**2


def components(spread: float = 0.0, num_runs: int = 20, names: str = "a") -> NoiseComponents:
    """Draw runs whose chances differ as a whole by a factor with this standard deviation."""
    random = np.random.default_rng(1)
    trials = []
    for name, _ in itertools.product(names, range(num_runs)):
        factor = np.clip(1 + spread * random.standard_normal(), 0, 1.1)
        trials.append(Trial(name, random.random(CHANCES.size) >= factor * CHANCES))
    found = noise_components(trials)
    assert found is not None
    return found


def test_independent_images_explain_all_of_the_noise() -> None:
    found = components()
    assert found.seeds.degrees_of_freedom == 19
    assert found.test_set == pytest.approx(TEST_SET_VARIANCE, rel=0.05)
    assert found.low < TEST_SET_VARIANCE < found.high
    assert found.p_value > 0.01


def test_whole_trainings_that_differ_show_in_the_ratio() -> None:
    found = components(spread=0.08)
    assert found.ratio > 3
    assert found.p_value < 1e-4


def test_without_repeats_there_is_a_lower_bound() -> None:
    found = components(num_runs=1, names="abc")
    assert found.seeds.degrees_of_freedom == 0
    assert np.isnan(found.ratio)
    assert np.isnan(found.p_value)
    assert found.low == pytest.approx(TEST_SET_VARIANCE, rel=0.2)
    assert noise_components([Trial("a", CHANCES > 0)]) is None


def test_the_detectable_difference_is_found_with_its_power() -> None:
    """20,000 t tests of three runs each, with the noise from them: 4 degrees of freedom."""
    difference = detectable_difference(Noise(0.04, 4), num_runs=3)
    random = np.random.default_rng(0)
    first, second = 0.2 * random.standard_normal((2, 20_000, 3)) + np.array([0, difference])[:, None, None]
    variances = (first.var(axis=1, ddof=1) + second.var(axis=1, ddof=1)) / 2
    t = np.abs(first.mean(axis=1) - second.mean(axis=1)) / np.sqrt(2 * variances / 3)
    assert (t > 2.7764).mean() == pytest.approx(0.8, abs=0.01)
    assert detectable_difference(NO_NOISE_KNOWN, num_runs=3) == math.inf


def test_runs_needed() -> None:
    """A normal test needs 2 (1.96 + 0.84)^2 s2 / d^2 = 11.8 runs; few degrees of freedom cost two more."""
    assert runs_needed(Noise(0.03, 10_000), 0.2) == 12
    assert runs_needed(Noise(0.03, 0), 0.2) == 13
    assert runs_needed(Noise(0.03, 14), 1.0) == 1
    assert runs_needed(Noise(0.03, 14), 0.001) is None


def cells(
    critical: float, budgets: tuple[int, ...] = (50, 200, 800), power: float = 0.6, sharpness: float = 1.0
) -> list[TunedCell]:
    random = np.random.default_rng(0)
    return [
        TunedCell(size, epochs, 6 + 3 * (epochs / 50 / (1 + (size / critical) ** sharpness)) ** -power + noise, True)
        for size in (32, 64, 128, 256, 512, 1024, 2048, 4096)
        for epochs in budgets
        for noise in [random.normal(0, 0.15)]
    ]


def test_a_critical_batch_size_within_reach() -> None:
    found = critical_batch_size(cells(512))
    assert found.status is Status.INSIDE
    assert found.low < 512 < found.high < 8 * found.low
    assert found.low < found.value < found.high
    small = critical_batch_size(cells(20))
    assert (small.status, small.low) == (Status.AT_MOST, 0)
    assert 20 < small.high < 200


@pytest.mark.parametrize("sharpness", [0.7, 0.8, 1.2, 1.4])
@pytest.mark.parametrize(("critical", "power"), [(128, 1.0), (512, 0.6), (1024, 1.0)])
def test_epochs_may_lose_their_worth_gradually_or_abruptly(critical: float, power: float, sharpness: float) -> None:
    found = critical_batch_size(cells(critical, power=power, sharpness=sharpness))
    assert found.status is Status.INSIDE
    assert found.low <= critical <= found.high <= 8 * found.low


def test_a_critical_batch_size_out_of_reach_is_not_told() -> None:
    assert critical_batch_size(cells(8192)).why == "it may be above half of the largest batch size"
    assert critical_batch_size(cells(512, budgets=(200,))).why == "needs runs of at least two numbers of epochs"
    flat = [dataclasses.replace(cell, error_percent=8.0) for cell in cells(512)]
    assert critical_batch_size(flat).status is Status.CANNOT_TELL
    diverged = [*cells(512), TunedCell(4096, 1600, math.inf, is_tuned=True)]
    assert critical_batch_size(diverged).why == "a run at the best learning rate has no error"
    edge = [dataclasses.replace(cell, is_tuned=cell.batch_size > 64) for cell in cells(512)]
    assert critical_batch_size(edge).why == "the learning rate is not tuned at batch size 32, 64"
