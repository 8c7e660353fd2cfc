"""How often the bands of `results.insight` hold the truth: `python benchmarks/insight_coverage.py [--sweeps 500]`.

Every sweep is drawn with a shape of the error curve, a law between batch size and best rate with scatter about it,
and curvatures that differ between batch sizes, on the batch sizes and rates of the published grid, three cells of
which have a second run. Seeds are fixed; worlds are measured one after the other:

- power: the exponent is uniform on 0.25 to 1.1; every shape in turn, without the plateau;
- plateau: likewise, but at twice the best rate and above training diverges to chance;
- levelling: B_noise log-uniform on 128 to 1448, every shape in turn;
- 3 x 5 and 4 x 3: power, on few batch sizes by few rates, the batch sizes by factors of 2 or 4;
- 6 x 9 and 6 x 20: power, on many rates over 8 octaves;
- rules: 3 x 5 with an exponent of exactly 1/2 or 1, in turn;
- critical batch size: see `benchmarks/insight_critical.py`.

The scatter has the scale of the law's prior; three of the shapes are not among those fitted. The intervals beside
shares are those of the simulation (Wilson's, 95 %).
"""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, write_report
from benchmarks.insight_critical import critical_shares, critical_worlds
from results.insight.law import LINEAR, SQUARE_ROOT, Band, Law, Preferred, Verdict, law
from results.insight.optima import BestRates, Status, optima
from results.insight.regret import Rule, rule_regret
from results.insight.runs import Floats, Run
from results.insight.shapes import exponential, quadratic
from results.published.cells import published_cells

SEED = 0
CHANCE = 90.0
CENTRE = 8.5
"""log2 batch size at which the best rate is about CENTRE_LR in all worlds with a power law."""
CENTRE_LR = 0.8
RULES = (SQUARE_ROOT, LINEAR)
ANCHOR = 256
SEED_NOISE = 0.17
"""Standard deviation between seeds in points, about that of the published repeats."""
SHAPE_NOISE = 0.1
"""Further standard deviation as a part of the height above the least error."""
MAX_SCATTER = 0.25
"""Scale in octaves of the half-normal scatter of the best rates about the law."""
REPEATED = ((1024, 0.8), (2048, 1.6), (4096, 1.6))
"""Cells of the published grid with a second run."""
FEW_GRIDS = {
    "3 x 5, by 2": {size: [0.8 * 2.0**step for step in range(-2, 3)] for size in (256, 512, 1024)},
    "3 x 5, by 4": {size: [0.8 * 2.0**step for step in range(-2, 3)] for size in (128, 512, 2048)},
    "4 x 3, by 2": {size: [0.8 * 2.0**step for step in range(-1, 2)] for size in (128, 256, 512, 1024)},
    "4 x 3, by 4": {size: [0.8 * 2.0**step for step in range(-1, 2)] for size in (64, 256, 1024, 4096)},
}
WIDE_GRIDS = {
    "6 x 9": {2**power: [0.8 * 2.0**step for step in range(-4, 5)] for power in range(6, 12)},
    "6 x 20 at random": {
        2**power: (0.8 * 2 ** np.random.default_rng(power).uniform(-4, 4, 20)).tolist() for power in range(6, 12)
    },
}

Shape = Callable[[Floats], Floats]


def _linear_tails(u: Floats) -> Floats:
    return np.asarray(2 * (np.sqrt(1 + u**2) - 1))


def _cubic_right(u: Floats) -> Floats:
    return np.asarray(np.where(u > 0, u**2 * (1 + np.maximum(u, 0)), _linear_tails(u)))


SHAPES: dict[str, Shape] = {
    "quadratic": lambda u: quadratic(u, 1.0),
    "quadratic, 4 times steeper on the right": lambda u: quadratic(u, 4.0),
    "exponential 0.5, 1": lambda u: exponential(u, 0.5, 1.0),
    "exponential 0.35, 1.4": lambda u: exponential(u, 0.35, 1.4),
    "exponential 0.2, 2.5": lambda u: exponential(u, 0.2, 2.5),
    "linear tails": _linear_tails,
    "linear left, cubic right": _cubic_right,
}
PLATEAU: dict[str, Shape] = {"plateau": lambda u: np.where(u >= 1, math.inf, exponential(u, 0.5, 1.0))}


@dataclass(frozen=True, slots=True)
class World:
    """How sweeps are drawn."""

    name: str
    grid: Mapping[int, Sequence[float]]
    """Batch size -> rates."""
    shapes: Mapping[str, Shape]
    levels_off: bool = False
    follows_rule: bool = False
    """Whether the exponent is one of RULES."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a sweep was drawn from."""

    shape: str
    exponent: float
    """NaN where the rate levels off."""
    noise_batch_size: float
    """NaN for a power law."""
    log2_lrs: dict[int, float]
    """Best rate by batch size."""
    costs: dict[int, Shape]
    """Points above the least error, by octaves from the best rate."""
    least: dict[int, float]


@dataclass(slots=True)
class Tally:
    """Shares of sweeps, or of batch sizes in them, in which something held."""

    held: dict[str, list[bool]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)

    def count(self, name: str, holds: bool) -> None:
        self.held.setdefault(name, []).append(bool(holds))

    def note(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(float(value))

    def figures(self) -> dict[str, dict[str, float]]:
        """Return shares (percent) with their intervals, and medians."""
        shares = {name: share(held) for name, held in self.held.items()}
        return shares | {name: {"median": float(np.median(values))} for name, values in self.values.items()}


def share(held: Sequence[bool]) -> dict[str, float]:
    n, p, z = len(held), float(np.mean(held)), 1.96
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return {"percent": 100 * p, "low": max(100 * low, 0.0), "high": 100 * high, "n": n}


def published_grid() -> dict[int, list[float]]:
    """Return the rates of the published study of learning rates, by batch size."""
    grid: dict[int, set[float]] = {}
    for cell in published_cells():
        if cell.table.startswith("initial_lr"):
            grid.setdefault(cell.batch_size, set()).add(cell.lr)
    return {size: sorted(grid[size]) for size in sorted(grid)}


def draw_truth(world: World, index: int, random: np.random.Generator) -> Truth:
    name = list(world.shapes)[index % len(world.shapes)]
    exponent = RULES[index % 2] if world.follows_rule else math.nan if world.levels_off else random.uniform(0.25, 1.1)
    noise_size = 2 ** random.uniform(7, 10.5) if world.levels_off else math.nan
    scatter = abs(random.normal(0, MAX_SCATTER))
    offset = math.log2(2.5 if world.levels_off else CENTRE_LR) + random.normal(0, 0.3)
    amplitude = 0.5 * math.exp(random.normal(0, 0.3))
    log2_lrs, costs, least = {}, {}, {}
    for size in world.grid:
        by_law = -math.log2(1 + noise_size / size) if world.levels_off else exponent * (math.log2(size) - CENTRE)
        log2_lrs[size] = offset + by_law + random.normal(0, scatter)
        costs[size] = _stretched(world.shapes[name], amplitude * math.exp(random.normal(0, 0.2)), random)
        least[size] = 7.5 + 0.3 * max(math.log2(size) - 9, 0) ** 2 + random.normal(0, 0.1)
    return Truth(name, exponent, noise_size, log2_lrs, costs, least)


def _stretched(shape: Shape, amplitude: float, random: np.random.Generator) -> Shape:
    left, right = np.exp(random.normal(0, (0.1, 0.2)))
    return lambda u: np.asarray(amplitude * shape(u * np.where(u > 0, right, left)))


def draw_runs(world: World, truth: Truth, random: np.random.Generator) -> list[Run]:
    runs = []
    for size, lrs in world.grid.items():
        rates = [*lrs, *(lr for repeated, lr in REPEATED if repeated == size and lr in lrs)]
        runs += draw_errors(truth, size, rates, random)
    return runs


def draw_errors(truth: Truth, size: int, rates: Sequence[float], random: np.random.Generator) -> list[Run]:
    heights = truth.costs[size](np.log2(rates) - truth.log2_lrs[size])
    spread = np.sqrt(SEED_NOISE**2 + (SHAPE_NOISE * np.minimum(heights, CHANCE)) ** 2)
    errors = truth.least[size] + heights + spread * random.standard_normal(len(rates))
    errors = np.where(errors >= CHANCE, CHANCE, np.round(errors, 2))
    return [Run(size, lr, float(error)) for lr, error in zip(rates, errors, strict=True)]


def judge_optima(best: BestRates, truth: Truth, tally: Tally) -> None:
    for found in best.optima:
        lr = 2 ** truth.log2_lrs[found.batch_size]
        measured = found.measured_low <= lr <= found.measured_high
        tally.count("optimum: called inside", found.status is Status.INSIDE)
        tally.count("optimum: cannot tell", found.status is Status.CANNOT_TELL)
        if not measured:
            tally.count("optimum: outside called inside", found.status is Status.INSIDE)
        if found.batch_size not in best.fits:
            continue
        tally.count("optimum: interval holds it", found.low <= lr <= found.high)
        if found.status is not Status.CANNOT_TELL:
            low, high = found.told
            tally.count("optimum: what is told holds", low <= lr <= high)
        if found.status is Status.INSIDE:
            tally.count("optimum: 'inside' holds", found.low <= lr <= found.high)
            tally.note("optimum: width where inside, octaves", math.log2(found.high / found.low))


def judge_regret(best: BestRates, truth: Truth, tally: Tally) -> None:
    for rule in Rule:
        for regret in rule_regret(best, rule, ANCHOR):
            if regret.batch_size == ANCHOR or not regret.is_measured:
                continue
            octaves = np.array(math.log2(regret.lr) - truth.log2_lrs[regret.batch_size])
            points = float(truth.costs[regret.batch_size](octaves))
            tally.count("regret: interval holds it", regret.low <= points <= regret.high)
            tally.note("regret: width, points", regret.high - regret.low)


def judge_law(found: Law, truth: Truth, tally: Tally) -> None:
    if math.isnan(truth.exponent):
        tally.count("levelling: found", found.preferred is Preferred.LEVELLING)
        tally.count("levelling: power law preferred", found.preferred is Preferred.POWER)
        tally.count("B_noise: band holds it", truth.noise_batch_size in found.noise_batch_size)
        if found.preferred is Preferred.LEVELLING:
            tally.count("B_noise: band holds it where found", truth.noise_batch_size in found.noise_batch_size)
        tally.note("B_noise: width, octaves", _octaves(found.noise_batch_size))
        return
    held = truth.exponent in found.exponent
    tally.count("alpha: band holds it", held)
    tally.count(f"alpha: {truth.shape}", held)
    third = "up to 0.6" if truth.exponent < 0.6 else "0.6 to 0.85" if truth.exponent < 0.85 else "above 0.85"
    tally.count(f"alpha: true {third}", held)
    tally.note("alpha: width", found.exponent.high - found.exponent.low)
    tally.note("alpha: median minus truth", found.exponent.value - truth.exponent)
    tally.count("levelling: falsely preferred", found.preferred is Preferred.LEVELLING)
    verdicts = {exponent: found.verdict(exponent) for exponent in RULES}
    tally.count("verdict: cannot tell 1 from 1/2", Verdict.REJECTED not in verdicts.values())
    farther = max(RULES, key=lambda exponent: abs(exponent - truth.exponent))
    tally.count("verdict: only the farther of 1 and 1/2 is compatible", verdicts[farther] is Verdict.COMPATIBLE)
    if truth.exponent in RULES:
        tally.count("verdict: the true rule is rejected", verdicts[truth.exponent] is Verdict.REJECTED)


def _octaves(band: Band) -> float:
    return math.log2(band.high / band.low)


def measure(world: World, indices: Iterable[int]) -> tuple[Tally, float]:
    """Return the tally of a world and the seconds of processor time per sweep."""
    tally, start, number = Tally(), time.process_time(), 0
    for index in indices:
        random = np.random.default_rng([SEED, *world.name.encode(), index])
        truth = draw_truth(world, index, random)
        best = optima(draw_runs(world, truth, random), chance_error_percent=CHANCE)
        number += 1
        tally.note("noise: variance over truth", best.fit_noise.variance / SEED_NOISE**2)
        judge_optima(best, truth, tally)
        if ANCHOR in best.fits:
            judge_regret(best, truth, tally)
        found = law(best)
        if found is None:
            tally.count("verdict: cannot tell 1 from 1/2", True)
        else:
            judge_law(found, truth, tally)
    return tally, (time.process_time() - start) / number


def worlds() -> list[World]:
    published = published_grid()
    return [
        World("power", published, SHAPES),
        World("plateau", published, PLATEAU),
        World("levelling", published, SHAPES, levels_off=True),
        *(World(name, grid, SHAPES) for name, grid in (FEW_GRIDS | WIDE_GRIDS).items()),
        *(World(f"rules, {name}", grid, SHAPES, follows_rule=True) for name, grid in list(FEW_GRIDS.items())[:2]),
    ]


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--sweeps", type=int, default=500, metavar="N", help="sweeps of each world (default: 500)")
    parser.add_argument("--world", action="append", metavar="NAME", help="only this world (may be repeated)")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    for world in worlds():
        if arguments.world and world.name not in arguments.world:
            continue
        tally, seconds = measure(world, range(arguments.sweeps))
        report[world.name] = {"seconds_per_sweep": seconds} | tally.figures()
        columns = ("percent", "low", "high", "n", "median")
        print_figures(f"{world.name} ({1000 * seconds:.0f} ms per sweep)", tally.figures(), columns)
    critical = {}
    if not arguments.world:
        critical = {world.name: critical_shares(world, arguments.sweeps) for world in critical_worlds()}
        print_figures("critical batch size (percent of sweeps)", critical)
    figures = {"seed": SEED, "num_sweeps": arguments.sweeps, "worlds": report, "critical_batch_size": critical}
    print(write_report("insight_coverage", "python benchmarks/insight_coverage.py", figures, arguments.to))


if __name__ == "__main__":
    main()
