"""Which configuration is repeated next, and when the best one is separated."""

import math

import numpy as np
import pytest

from results.insight.separation import Limits, contest

TEN = Limits(10)


def errors_around(means: list[float], spread: float = 0.2, num: int = 10, seed: int = 0) -> list[list[float]]:
    random = np.random.default_rng(seed)
    return [(mean + spread * random.standard_normal(num)).tolist() for mean in means]


def test_every_configuration_begins_with_two_runs() -> None:
    state = contest([[8.0], [9.0, 9.1]], TEN)
    assert (state.num_runs, state.best, state.is_over) == ((2, 2), None, False)


def test_the_best_and_its_closest_rival_are_repeated() -> None:
    found = errors_around([8.0, 8.1, 9.0, 12.0])
    assert contest([runs[:2] for runs in found], TEN).num_runs == (3, 3, 2, 2)


def test_a_clear_winner_is_separated_with_few_runs() -> None:
    state = contest(errors_around([8.0, 11.0, 12.0, 13.0, 14.0, 15.0]), TEN)
    assert (state.best, state.rivals, state.is_over) == (0, (), True)
    assert sum(state.num_runs) < 20


def test_equal_configurations_stay_open_at_the_limit() -> None:
    state = contest(errors_around([8.0, 8.0, 8.0]), TEN)
    assert state.num_runs == (10, 10, 10)
    assert state.is_over
    assert len(state.rivals) == 2
    assert 0 < state.largest_gap < 0.5


def test_the_budget_ends_it() -> None:
    state = contest(errors_around([8.0] * 5), Limits(10, 0.4))
    assert sum(state.num_runs) == 20
    assert state.is_over
    assert state.rivals


def test_a_resumed_contest_decides_the_same() -> None:
    """Whatever has ended already, and whatever was run beyond what was decided, the next decision is the same."""
    found = errors_around([8.0, 8.1, 8.2, 9.0, 8.3])
    known: list[list[float]] = [[] for _ in found]
    history = []
    while not (state := contest(known, TEN)).is_over:
        history.append(state.num_runs)
        known = [runs[:number] for runs, number in zip(found, state.num_runs, strict=True)]
    assert len(history) > 5
    assert contest(found, TEN) == state
    for num_runs in history:
        one_missing = [runs[:number] for runs, number in zip(found, num_runs, strict=True)]
        one_missing[2] = one_missing[2][:-1]
        assert contest(one_missing, TEN).num_runs <= num_runs


@pytest.mark.parametrize(("gap", "rivals"), [(1.70, (1,)), (1.74, ())])
def test_the_radius_by_hand(gap: float, rivals: tuple[int, ...]) -> None:
    """s2 = 0.02 = Var(difference), so sqrt(4 s2 2 ln(2 sqrt(4/3) / 0.05)) = 0.783; Student's t with 2 degrees of
    freedom widens it by 4.303 / 1.960 to 1.719."""
    runs = [[7.9, 8.1], [7.9 + gap, 8.1 + gap]]
    assert contest(runs, Limits(2)).rivals == rivals


def test_what_diverged_is_out_and_costs_no_further_run() -> None:
    state = contest([[math.inf] * 10, *errors_around([8.0, 8.05])], TEN)
    assert state.num_runs[0] == 2
    assert 0 not in (state.best, *state.rivals)
    assert contest([[math.inf, math.inf]] * 2, TEN).best is None


@pytest.mark.parametrize("runs", [[[8.0, 8.0], [8.0, 8.0]], [[8.0, 8.1]]], ids=["equal errors", "a single one"])
def test_nothing_to_tell_apart(runs: list[list[float]]) -> None:
    assert contest(runs, Limits(2)).is_over
