"""The problems of `benchmarks/search_quality.py`, and what a search of known reports chooses."""

import numpy as np
import pytest

from benchmarks.search_functions import EPOCHS, Axis
from benchmarks.search_problems import DEVELOPMENT, HELD_OUT, TABLE_AXES, incumbent, problem, regrets


@pytest.mark.parametrize("name", [*DEVELOPMENT, *HELD_OUT])
def test_no_random_point_beats_the_optimum(name: str) -> None:
    """A curve is a function of seed and parameters, has 27 values or ends at 100, and agrees with the true error."""
    chosen, rng = problem(name), np.random.default_rng(0)
    drawn = [chosen.random_params(rng) for _ in range(500)]
    errors = [chosen.true_error(params) for params in drawn]
    assert chosen.optimum - 1e-3 <= min(errors) < chosen.optimum + 20
    for params, error in zip(drawn[:20], errors, strict=False):
        curve = chosen.curve(params, 3)
        assert curve == chosen.curve(dict(params), 3)
        assert curve.diverged == (len(curve.values) < EPOCHS or curve.values[-1] == 100)
        if name not in TABLE_AXES:
            assert curve.diverged == (error == 100)
            assert curve.diverged or abs(curve.values[-1] - error) < 3
        assert curve.diverged or error == 90 or curve.values != chosen.curve(params, 4).values


def test_values_and_their_positions_agree() -> None:
    axes = (
        Axis("lr", "float", 1e-3, 10, log=True),
        Axis("size", "int", 16, 1024, log=True),
        Axis("depth", "int", 1, 5),
        Axis("optimizer", "categorical", choices=("sgd", "adamw", "lars")),
    )
    for axis in axes:
        for unit in (0.0, 0.3, 0.5, 1.0):
            assert axis.value(axis.unit(axis.value(unit))) == pytest.approx(axis.value(unit))
    assert [axes[2].value(unit) for unit in (0, 0.19, 0.21, 1)] == [1, 1, 2, 5]
    momentum = Axis("momentum", "float", 0, 1, when="optimizer == 'sgd'")
    assert momentum.is_active({"optimizer": "sgd"})
    assert not momentum.is_active({"optimizer": "adamw"})


def test_a_trial_trained_to_its_end_is_chosen_before_a_better_one_that_was_stopped() -> None:
    chosen = problem("training")
    good, bad, lost = ({"lr": lr, "batch_size": 64} for lr in (0.05, 0.005, 9.0))
    early = [(0, lost, 1, 90.0), (0, lost, 2, 100.0), (1, bad, 1, 40.0), (2, good, 1, 30.0)]
    assert incumbent(early[:2]) == lost
    assert incumbent(early) == good
    whole = [*early, (1, bad, 2, 35.0)]
    assert incumbent(whole) == bad
    history = [*whole, *((1, bad, epoch, 20.0) for epoch in range(3, 28)), *((2, good, 2 + n, 9.0) for n in range(5))]
    assert incumbent(history) == bad
    history += [(2, good, epoch, 9.0) for epoch in range(7, 28)]
    padded = [*history, *((3, good, 1, 90.0) for _ in range(900))]
    found = regrets(chosen, padded)
    assert incumbent(history) == good
    assert found == {
        "25": pytest.approx(chosen.true_error(good) - chosen.optimum),
        "50": found["25"],
        "100": found["25"],
    }
    assert regrets(chosen, [*whole, *((4, bad, 1, 90.0) for _ in range(900))])["100"] > 1
