"""What `advise` gains over random trials: `python benchmarks/insight_advisor.py [--sweeps 50]`.

Sweeps are drawn as for `benchmarks/insight_coverage.py`. To each, as many trials are added as nine of mean cost pay
for: those that the rule of `results.insight.advice` proposes, random ones at equal cost, and random ones at twice
the cost. Random trials have any of the batch sizes, and a rate log-uniform over those measured and an octave beyond
them on either side. A training costs 1 + 32 / batch size: an epoch of small batches takes longer.

Widths are in octaves, the mean over batch sizes; open intervals count up to two octaves beyond the rates first
measured. Error is the points that the best rates found cost above the true ones.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, write_report
from benchmarks.insight_coverage import CHANCE, SEED, Truth, World, draw_errors, draw_runs, draw_truth, share, worlds
from results.insight.advice import MAX_BEYOND, advise
from results.insight.law import law
from results.insight.optima import BestRates, optima
from results.insight.runs import Floats, Run

NUM_TRIALS = 9
QUANTITIES = ("optima", "alpha", "error")
WAYS = ("before", "advised", "random", "random at twice the cost")
WORLDS = ("power", "levelling", "3 x 5, by 4")

Cell = tuple[int, float]
"""Batch size and learning rate."""


def cost(batch_size: int) -> float:
    return 1 + 32 / batch_size


def random_cells(grid: Mapping[int, Sequence[float]], budget: float, random: np.random.Generator) -> list[Cell]:
    """Draw trials as long as the budget lasts."""
    cells: list[Cell] = []
    while True:
        size = int(random.choice(list(grid)))
        budget -= cost(size)
        if budget < -1e-9:
            return cells
        low, high = np.log2([grid[size][0], grid[size][-1]])
        cells.append((size, 2 ** random.uniform(low - 1, high + 1)))


def judged(runs: Sequence[Run], grid: Mapping[int, Sequence[float]], truth: Truth) -> list[float]:
    """Return the mean width of the optima, the width of alpha's band, the mean cost of the rates found, and the
    percentage of optima that their intervals hold."""
    best = optima(runs, chance_error_percent=CHANCE)
    found, margin = law(best), 2.0**MAX_BEYOND
    ends = [(each, grid[each.batch_size][0] / margin, grid[each.batch_size][-1] * margin) for each in best.optima]
    widths = [math.log2(min(each.high, highest) / max(each.low, lowest)) for each, lowest, highest in ends]
    alpha = math.nan if found is None else found.exponent.high - found.exponent.low
    held = [each.low <= 2 ** truth.log2_lrs[each.batch_size] <= each.high for each in best.optima]
    return [float(np.mean(np.maximum(widths, 0))), alpha, _cost_of_rates(best, truth), 100 * float(np.mean(held))]


def _cost_of_rates(best: BestRates, truth: Truth) -> float:
    """Return the mean over batch sizes of what the rate found costs, the rate kept within those measured."""
    costs = []
    for each in best.optima:
        lr = np.clip(each.lr, each.measured_low, each.measured_high)
        if not math.isnan(lr):
            costs.append(float(truth.costs[each.batch_size](np.log2(lr) - truth.log2_lrs[each.batch_size])))
    return float(np.mean(costs))


def measure(world: World, num_sweeps: int) -> tuple[Floats, float]:
    """Return what `judged` does by sweep and way, and the mean number of trials proposed."""
    rows, num_trials = [], 0
    budget = NUM_TRIALS * float(np.mean([cost(size) for size in world.grid]))
    for index in range(num_sweeps):
        random = np.random.default_rng([SEED, *b"advisor", index])
        truth = draw_truth(world, index, random)
        runs = draw_runs(world, truth, random)
        advice = advise(optima(runs, chance_error_percent=CHANCE), {size: cost(size) for size in world.grid}, budget)
        ways: list[list[Cell]] = [
            [],
            [(proposal.batch_size, proposal.lr) for proposal in advice.proposals],
            *(random_cells(world.grid, factor * advice.cost, random) for factor in (1, 2)),
        ]
        added = [[run for size, lr in cells for run in draw_errors(truth, size, [lr], random)] for cells in ways]
        rows.append([judged([*runs, *more], world.grid, truth) for more in added])
        num_trials += len(advice.proposals)
    return np.array(rows), num_trials / num_sweeps


def figures_of(measured: Floats, num_trials: float) -> dict[str, Any]:
    """Return the medians of each way, and in how many sweeps the advice is better."""
    before, advised, equal, double = np.moveaxis(measured, 1, 0)
    figures: dict[str, Any] = {"mean number of trials": num_trials}
    figures["intervals hold the optimum"] = dict(zip(WAYS, measured[:, :, -1].mean(axis=0).tolist(), strict=True))
    for index, quantity in enumerate(QUANTITIES):
        medians = np.nanmedian(measured[:, :, index], axis=0)
        figures[quantity] = {
            "median": dict(zip(WAYS, medians.tolist(), strict=True)),
            "less than before": share((advised < before)[:, index].tolist()),
            "less than random": share((advised < equal)[:, index].tolist()),
            "at most random at twice the cost": share((advised <= double)[:, index].tolist()),
        }
    return figures


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--sweeps", type=int, default=50, metavar="N", help="sweeps of each world (default: 50)")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    for world in worlds():
        if world.name not in WORLDS:
            continue
        report[world.name] = figures_of(*measure(world, arguments.sweeps))
        told = {name: report[world.name][name] for name in QUANTITIES}
        print_figures(f"{world.name}: median", {name: figures["median"] for name, figures in told.items()})
        lines = {f"{name}: {way}": value for name, figures in told.items() for way, value in figures.items()}
        shares = {line: value for line, value in lines.items() if "n" in value}
        print_figures(f"{world.name}: percent of sweeps", shares, ("percent", "low", "high", "n"))
    figures = {"seed": SEED, "num_sweeps": arguments.sweeps, "num_trials": NUM_TRIALS, "worlds": report}
    print(write_report("insight_advisor", "python benchmarks/insight_advisor.py", figures, arguments.to))


if __name__ == "__main__":
    main()
