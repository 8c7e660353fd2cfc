"""The budget of `benchmarks/search_seeds.py`: a search over three seeds completes a third of the configurations."""

import dataclasses

from benchmarks.search_functions import EPOCHS
from benchmarks.search_problems import BUDGET, NUM_FULL, problem
from benchmarks.search_seeds import ARMS, figures, regret, search


def test_equal_budgets_hold_a_third_of_the_configurations() -> None:
    calm = dataclasses.replace(problem("hartmann_3"), run_noise=0.0, evaluation_noise=0.0)
    found = search(calm, "random", 1, 0, BUDGET)
    assert len(found) == NUM_FULL
    assert found == sorted(found, key=calm.true_error)
    repeated = search(calm, "random", 3, 0, BUDGET)
    assert len(repeated) == NUM_FULL // 3
    assert repeated == [params for params in found if params in repeated]
    assert regret(calm, "random", "one seed", 0) == calm.true_error(found[0]) - calm.optimum
    assert len(search(calm, "random", 1, 0, BUDGET - 9 * EPOCHS)) == NUM_FULL - 9


def test_intervals_hold_the_means() -> None:
    found = figures([[1.0, 2.0], [0.5, 1.5], [2.0, 1.0]])
    assert {arm: band[0] for arm, band in found["mean_regret"].items()} == dict(
        zip(ARMS, (1.5, 1.0, 1.5), strict=True)
    )
    assert found["difference_to_one_seed"]["three seeds"] == [-0.5, -0.5, -0.5]
