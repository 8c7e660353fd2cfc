"""The multi-fidelity Gaussian process: its formulas, and what it proposes."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from scipy.stats import norm

from results.store.search_log import Earlier
from search_spaces.expressions import Expression
from search_spaces.parameters import SearchParameter
from search_spaces.schema import SchedulerSpec
from sweep.search.mfgp import (
    MAX_DIVERGED,
    MAX_TRIALS,
    MIN_EARLY,
    Encoding,
    Seen,
    log_improvement,
    points_of,
    rungs_of,
)
from sweep.search.mfgp_model import Model, Points, Posterior, matern, mean_covariance, squared_distances
from sweep.search.outcomes import Outcome
from sweep.search.sampler import Sampler
from tests.sweep_tests.driven_searches import LR, NUMBERS, SPACE, active_among, settings

EPOCHS = 9
GROUPS = np.array([0, 1, 1, 2])
WORDS = SearchParameter("optimizer", "categorical", choices=("sgd", "adamw"))
SIZES = SearchParameter("batch_size", "categorical", choices=(256, 16, 64))
LAYERS = SearchParameter("layers", "int", 2, 32, step=2, log=True)
BETA = SearchParameter("beta", "float", 0.5, 0.9, when=Expression("optimizer == 'adamw'"))
MIXED = (LR, WORDS, BETA, SIZES, LAYERS)


def some_points(number: int = 40) -> Points:
    rng = np.random.default_rng(0)
    lag = rng.choice([0, 1 / 3, 2 / 3, 1.0], number)
    return Points(rng.random((number, 4)), lag, rng.integers(0, 15, number), rng.standard_normal(number))


def test_the_gradient_is_that_of_finite_differences() -> None:
    posterior = Posterior(some_points(), GROUPS)
    theta = posterior.prior[:, 0] + 0.3 * np.random.default_rng(1).standard_normal(len(posterior.prior))
    steps = 1e-5 * np.eye(len(theta))
    numeric = [(posterior(theta + step)[0] - posterior(theta - step)[0]) / 2e-5 for step in steps]
    np.testing.assert_allclose(posterior(theta)[1], numeric, rtol=1e-5, atol=1e-5)


def plain_covariance(a: tuple[Any, ...], b: tuple[Any, ...], theta: np.ndarray[Any, Any]) -> float:
    """The covariance of two values (row, lag, trial), as the module states it, without the shared curve and noise."""
    (x, lag, trial), (other, other_lag, other_trial) = a, b
    r = math.sqrt(np.square((x - other) / np.exp(theta[5 + GROUPS])).sum())
    kernel = (1 + math.sqrt(5) * r + 5 / 3 * r * r) * math.exp(-math.sqrt(5) * r)
    own = math.exp(2 * theta[3]) if trial == other_trial else 0.0
    scale = math.exp(2 * theta[0] + theta[1] * (lag + other_lag))
    return float(scale * math.exp(-abs(lag - other_lag) / math.exp(theta[2])) * (kernel + own))


def test_predictions_are_those_of_the_plain_formula() -> None:
    points = some_points(25)
    theta = np.array([0.1, 0.3, -0.2, -1.0, -1.5, -0.5, 0.2, -0.8])
    values = list(zip(points.x, points.lag, points.trial, strict=True))
    known = np.array([[plain_covariance(a, b, theta) for b in values] for a in values])
    known += (math.exp(2 * theta[4]) + 1e-5) * np.eye(len(values))
    x = np.random.default_rng(2).random((3, 4))
    cross = np.array([[plain_covariance((row, 0.0, None), b, theta) for b in values] for row in x])
    with_mean = np.linalg.inv(known + mean_covariance(points.lag, points.lag))
    mean, sd = Model(points, GROUPS, theta).predict(x)
    np.testing.assert_allclose(mean, (cross + mean_covariance(np.zeros(1), points.lag)) @ with_mean @ points.y)
    variance = [math.exp(2 * theta[0]) - row @ np.linalg.inv(known) @ row for row in cross]
    np.testing.assert_allclose(sd, np.sqrt(variance))


def test_believed_values_leave_the_mean_and_narrow_the_uncertainty() -> None:
    model = Model(some_points(), GROUPS, Posterior(some_points(), GROUPS).prior[:, 0])
    x = np.random.default_rng(3).random((2, 4))
    before, after = model.predict(x), model.believing(x[:1]).predict(x)
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)
    assert after[1][0] < 0.5 * before[1][0]
    assert after[1][1] <= before[1][1]


def test_the_log_of_the_expected_improvement() -> None:
    mean, sd = np.array([0.5, 0.0, -3.0, 2.0, 3.0]), np.array([0.3, 1.0, 0.5, 0.7, 0.4])
    u = (0.2 - mean) / sd
    np.testing.assert_allclose(
        log_improvement(mean, sd, 0.2), np.log(sd * (norm.pdf(u) + u * norm.cdf(u))), rtol=1e-6
    )
    far = log_improvement(np.array([1e2, 1e4, 1e8]), np.ones(3), 0.0)
    assert np.isfinite(far).all()
    np.testing.assert_allclose(
        far[:2], [-5000 - math.log(2 * math.pi) / 2 - 2 * math.log(1e2), -5e7 - 19.3], rtol=1e-4
    )
    matern_at_one, _ = matern(squared_distances(np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1, int)), np.ones(1))
    assert matern_at_one[0, 0] == pytest.approx(0.52399411)


def test_configurations_are_encoded_and_decoded() -> None:
    encoding = Encoding(MIXED, active_among(MIXED))
    rows = encoding.snapped(np.random.default_rng(0).random((50, len(MIXED))))
    for row in rows:
        values = encoding.values(row)
        np.testing.assert_allclose(encoding.units(values), row, atol=1e-9)
        assert ("beta" in values) == (values["optimizer"] == "adamw")
        assert values["layers"] in range(2, 33, 2)
        assert type(values["batch_size"]) is int
    assert {encoding.values(row)["batch_size"] for row in rows} == {16, 64, 256}
    assert encoding.groups.tolist() == [0, 1, 1, 2, 2, 3, 4]
    sgd, adamw, large = (
        encoding.columns(encoding.units({"lr": 1.0, "layers": 2} | values)[None])[0]
        for values in (
            {"optimizer": "sgd", "batch_size": 16},
            {"optimizer": "adamw", "beta": 0.9, "batch_size": 16},
            {"optimizer": "sgd", "batch_size": 256},
        )
    )
    half = math.sqrt(0.5)
    assert sgd.tolist() == pytest.approx([1, half, 0, 0.5, 1, 1 / 6, 0])
    assert adamw.tolist() == pytest.approx([1, 0, half, 1, 0, 1 / 6, 0])
    assert large.tolist() == pytest.approx([1, half, 0, 0.5, 1, 5 / 6, 0])


def test_the_rungs_of_a_scheduler() -> None:
    assert rungs_of(SchedulerSpec(type="asha"), 27) == [1, 3, 9, 27]
    assert rungs_of(SchedulerSpec(type="asha", grace_epochs=2, reduction_factor=4), 20) == [2, 8, 20]
    assert rungs_of(SchedulerSpec(type="none"), 1) == [1]


def test_thousands_of_trials_are_bounded_and_the_best_are_kept() -> None:
    encoding = Encoding(NUMBERS, active_among(NUMBERS))
    rng = np.random.default_rng(0)
    seen = [Seen(rng.random(2), {1: 50.0 + number, 3: 20.0 + number}, False, False) for number in range(3000)]
    seen += [Seen(rng.random(2), {}, False, True) for _ in range(2000)]
    points = points_of(seen, encoding, [1, 3])
    assert points is not None
    assert len(points.y) == MAX_TRIALS + MIN_EARLY + 2 * MAX_DIVERGED
    assert {*range(MAX_TRIALS // 2)} <= {*points.trial.tolist()}
    assert max(points.trial[points.trial < 3000]) > 2900
    assert points.y[points.trial >= 3000].min() >= np.median(points.y)


def test_values_most_of_which_are_equal_are_learned_from() -> None:
    encoding = Encoding(NUMBERS, active_among(NUMBERS))
    rng = np.random.default_rng(0)
    seen = [Seen(rng.random(2), {1: value}, False, False) for value in (5.0, 5.0, 5.0, 5.0, 7.0, 9.0)]
    points = points_of(seen, encoding, [1])
    assert points is not None
    assert np.isfinite(points.y).all()
    assert points_of(seen[:5], encoding, [1]) is None


def test_null_is_a_category() -> None:
    clip = SearchParameter("clip_grad_norm", "categorical", choices=(1.0, None, 0.1))
    encoding = Encoding((clip,), active_among((clip,)))
    assert [encoding.values(row)["clip_grad_norm"] for row in np.array([[0.1], [0.5], [0.9]])] == [1.0, None, 0.1]
    none = encoding.columns(encoding.units({"clip_grad_norm": None})[None])[0]
    assert none.tolist() == pytest.approx([0, math.sqrt(0.5), 0])


def epochs_of(params: Mapping[str, Any]) -> list[float]:
    u = math.log10(params["lr"]) + 1.5
    return [8 + 10 * u * u + 40 / epoch for epoch in range(1, EPOCHS + 1)]


def run_search(
    diverges: Callable[[Mapping[str, Any]], bool],
    parameters: tuple[SearchParameter, ...] = NUMBERS,
    num_trials: int = 32,
    complete: Callable[[int], bool] = lambda number: True,
) -> list[bool]:
    """Whether each proposal diverged, where the trials that are not complete are stopped after their first epoch."""
    sampler = Sampler(settings("mfgp", parameters), active_among(parameters))
    found = []
    for number in range(num_trials):
        params = sampler.ask()
        sampler.begin(EPOCHS)
        curve = dict(enumerate(epochs_of(params), 1))
        found.append(diverges(params))
        if found[-1]:
            sampler.report(number, 1, curve[1])
            sampler.tell(number, Outcome(TrialState.PRUNED))
        elif complete(number):
            sampler.tell(number, Outcome(TrialState.COMPLETE, (curve[EPOCHS],), curve))
        else:
            sampler.tell(number, Outcome(TrialState.PRUNED, None, {1: curve[1]}))
    return found


@pytest.mark.parametrize(
    ("edge", "every"), [(0.1, 25), (0.1, 1), (0.04, 1)], ids=["few complete", "all complete", "optimum at the edge"]
)
def test_what_diverges_is_avoided(edge: float, every: int) -> None:
    diverged = run_search(lambda params: params["lr"] > edge, complete=lambda number: number % every == 0)
    assert sum(diverged[24:]) == 0


def test_sixteen_at_once_lie_apart() -> None:
    sampler = Sampler(settings("mfgp", NUMBERS), active_among(NUMBERS))
    encoding = Encoding(NUMBERS, active_among(NUMBERS))
    for number in range(12):
        params = sampler.ask()
        sampler.tell(number, Outcome(TrialState.COMPLETE, (epochs_of(params)[-1],)))
    rows = np.array([encoding.units(sampler.ask()) for _ in range(16)])
    apart = np.sqrt(np.square(rows[:, None] - rows).sum(axis=2)) + 9 * np.eye(16)
    assert np.median(apart.min(axis=1)) > 0.03


def test_running_trials_count_with_what_they_have_reported() -> None:
    proposals = []
    for reported in (False, True):
        sampler = Sampler(settings("mfgp", SPACE), active_among(SPACE))
        for number in range(6):
            params = sampler.ask()
            sampler.begin(EPOCHS)
            if number < 5:
                sampler.tell(number, Outcome(TrialState.COMPLETE, (epochs_of(params)[-1],)))
            elif reported:
                sampler.report(number, 1, 5.0)
        proposals.append(sampler.ask())
    assert proposals[0] != proposals[1]


def test_words_and_conditions_are_learned() -> None:
    momentum = SearchParameter("momentum", "float", 0.5, 0.9, step=0.1, when=Expression("optimizer == 'sgd'"))
    space = (WORDS, LR, momentum)
    sampler = Sampler(settings("mfgp", space), active_among(space))
    chosen = []
    for number in range(16):
        params = sampler.ask()
        chosen.append(params["optimizer"])
        value = epochs_of(params)[-1] + (10 if params["optimizer"] == "sgd" else 0)
        sampler.tell(number, Outcome(TrialState.COMPLETE, (value,)))
    assert chosen[8:].count("adamw") >= 6


def test_the_first_proposals_learn_from_different_earlier_results() -> None:
    rates = np.geomspace(LR.low, LR.high, 20).tolist()
    earlier = [Earlier({"lr": lr, "weight_decay": 0.001}, (epochs_of({"lr": lr})[-1],)) for lr in rates]
    proposals = []
    for known in (earlier, earlier[:1] * 20):
        sampler = Sampler(settings("mfgp", NUMBERS), active_among(NUMBERS), known)
        proposals.append([sampler.ask() for _ in range(3)])
    learned, spread = ([epochs_of(params)[-1] for params in found] for found in proposals)
    assert max(learned) < 15 < max(spread)
