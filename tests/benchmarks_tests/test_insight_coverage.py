"""The simulation behind `benchmarks/insight_coverage.py`, with a few sweeps."""

import numpy as np
import pytest

from benchmarks.insight_coverage import SHAPES, Tally, draw_truth, measure, published_grid, worlds
from benchmarks.insight_critical import critical_shares, critical_worlds


def test_shares_come_with_the_interval_of_the_simulation() -> None:
    tally = Tally({"held": [True] * 95 + [False] * 5})
    assert tally.figures()["held"] == pytest.approx({"percent": 95, "low": 88.8, "high": 97.8, "n": 100}, abs=0.1)


def test_the_published_grid_and_its_shapes() -> None:
    grid = published_grid()
    assert (len(grid), sum(map(len, grid.values()))) == (8, 39)
    assert len(SHAPES) == 7
    for shape in SHAPES.values():
        assert shape(np.array([-1e-3, 0.0])) == pytest.approx([1e-6, 0], rel=0.01)


def test_a_sweep_is_the_same_each_time() -> None:
    world = worlds()[0]
    first, second = (draw_truth(world, 3, np.random.default_rng(0)) for _ in range(2))
    assert first.log2_lrs == second.log2_lrs
    assert measure(worlds()[-1], range(2))[0].held == measure(worlds()[-1], range(2))[0].held


def test_the_critical_batch_size_is_told_within_reach_only() -> None:
    by_name = {world.name: world for world in critical_worlds()}
    assert critical_shares(by_name["B_c 512, p 1, 3 budgets"], 3)["right"] == 100
    assert critical_shares(by_name["B_c 8192, p 0.6, 3 budgets"], 3)["band"] == 0
