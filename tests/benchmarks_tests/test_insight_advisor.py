"""The simulation behind `benchmarks/insight_advisor.py`, with two sweeps."""

import numpy as np

from benchmarks.insight_advisor import QUANTITIES, WAYS, cost, figures_of, measure, random_cells
from benchmarks.insight_coverage import FEW_GRIDS, worlds


def test_random_trials_cost_what_the_budget_allows() -> None:
    grid = FEW_GRIDS["3 x 5, by 4"]
    cells = random_cells(grid, 10.0, np.random.default_rng(0))
    assert 10 - max(map(cost, grid)) < sum(cost(size) for size, _ in cells) <= 10
    assert all(grid[size][0] / 2 <= lr <= grid[size][-1] * 2 for size, lr in cells)


def test_figures_are_the_same_each_time() -> None:
    world = next(world for world in worlds() if world.name == "3 x 5, by 4")
    (measured, num_trials), (again, _) = (measure(world, 2) for _ in range(2))
    assert np.array_equal(measured, again)
    assert measured.shape == (2, len(WAYS), len(QUANTITIES) + 1)
    assert 0 < num_trials <= 9
    assert figures_of(measured, num_trials)["optima"]["less than before"]["n"] == 2
