"""What adaptive repeats cost and find: `python benchmarks/insight_repeats.py [--sweeps 500]`.

Simulated sweeps have the configurations of the published grid, with true errors as in the world 'power' of
`benchmarks/insight_coverage.py`, or a few configurations whose true errors exceed 8 % by half-normal amounts of some
scale. Each is run with `repeats: {max: M, budget: S}` and, for comparison, with M seeds of every configuration
('uniform'). Seeds are fixed.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, write_report
from benchmarks.insight_coverage import (
    CHANCE,
    SEED,
    SEED_NOISE,
    SHAPE_NOISE,
    SHAPES,
    World,
    draw_truth,
    published_grid,
)
from results.insight.runs import Floats
from results.insight.separation import Limits, contest

NEAR = 0.1
"""Points from the least true error within which a choice counts as good."""
Draw = Callable[[int, np.random.Generator], tuple[Floats, Floats]]
"""Maps the number of a sweep to the true errors and the standard deviations between seeds (points)."""


def published(index: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    world = World("power", published_grid(), SHAPES)
    truth = draw_truth(world, index, random)
    heights = [truth.costs[size](np.log2(lrs) - truth.log2_lrs[size]) for size, lrs in world.grid.items()]
    least = np.repeat(list(truth.least.values()), [len(lrs) for lrs in world.grid.values()])
    height = np.minimum(np.concatenate(heights), CHANCE - least)
    return least + height, np.sqrt(SEED_NOISE**2 + (SHAPE_NOISE * height) ** 2)


def few(number: int, scale: float) -> Draw:
    def draw(index: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        return 8 + np.abs(random.normal(0, scale, number)), np.full(number, SEED_NOISE)

    return draw


WORLDS: dict[str, tuple[Draw, Limits]] = {
    "published grid, max 10, budget 0.5": (published, Limits(10, 0.5)),
    "published grid, max 5, budget 0.5": (published, Limits(5, 0.5)),
    "2 within 0.1 points, max 20": (few(2, 0.1), Limits(20)),
    "3 within 0.5 points, max 20": (few(3, 0.5), Limits(20)),
    "6 within 1.5 points, max 20": (few(6, 1.5), Limits(20)),
    "12 within 1.5 points, max 10, budget 0.5": (few(12, 1.5), Limits(10, 0.5)),
}


def measure(draw: Draw, limits: Limits, num_sweeps: int) -> dict[str, float]:
    """Return shares of sweeps, and of the runs of the uniform sweep, in percent."""
    rows = []
    for index in range(num_sweeps):
        random = np.random.default_rng([SEED, *b"repeats", index])
        means, spreads = draw(index, random)
        noise = spreads[:, None] * random.standard_normal((len(means), limits.max_runs))
        errors = np.round(np.minimum(means[:, None] + noise, CHANCE), 2)
        found, best, uniform = contest(errors.tolist(), limits), means.argmin(), errors.mean(axis=1).argmin()
        chosen = -1 if found.best is None else found.best
        separated = not found.rivals
        rows.append(
            (
                *(choice == best for choice in (chosen, uniform)),
                *(means[choice] - means[best] <= NEAR for choice in (chosen, uniform)),
                sum(found.num_runs) / errors.size,
                separated,
                separated and chosen != best,
            )
        )
    shares = 100 * np.mean(np.array(rows, dtype=np.float64), axis=0)
    wins, uniform_wins, near, uniform_near, runs, told, wrong = shares.tolist()
    return {
        "best found": wins,
        "by uniform": uniform_wins,
        f"within {NEAR:g}": near,
        f"within {NEAR:g} by uniform": uniform_near,
        "runs": runs,
        "separated": told,
        "wrongly": wrong,
    }


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--sweeps", type=int, default=500, metavar="N", help="sweeps of each kind (default: 500)")
    arguments = parser.parse_args()
    worlds: dict[str, Any] = {name: measure(*world, arguments.sweeps) for name, world in WORLDS.items()}
    print_figures("percent of sweeps, and of the runs of a uniform sweep", worlds)
    figures = {"seed": SEED, "num_sweeps": arguments.sweeps, "worlds": worlds}
    print(write_report("insight_repeats", "python benchmarks/insight_repeats.py", figures, arguments.to))


if __name__ == "__main__":
    main()
