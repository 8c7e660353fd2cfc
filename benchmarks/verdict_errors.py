"""How often `compare` errs, and what it can tell: `python benchmarks/verdict_errors.py [--tables 50000]`.

Simulated tables go through the functions that give the verdicts. Every table draws its own published errors, our
errors, and the repeats from which the noise is estimated (those of the published tables; ours where there are any),
all from normal distributions whose variance is the given part of the binomial's, rounded to the percentages that
10,000 images can give. An error is any wrong verdict of a kind in a table: 'differs' where there is no difference,
'reproduced' where the difference is the margin. Standard errors of the simulation stand beside the rates.

For comparisons of two sweeps it draws which test image each seed misses: an image is hard by its own, seeds have a
quality of their own (of which both sides share a part), and the other side does better or worse on single images.
How often intervals hold the true difference, for other seeds and other images, how often McNemar's test on single
seeds is wrong, and what is gained by common seeds, is measured on the same draws.
"""

import math
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, write_report
from results.published.cells import MEDIAN_VARIANCE
from results.published.recipe import published_recipe
from results.statistics.compare import Difference
from results.statistics.matching import published_repeats
from results.statistics.noise import (
    Floats,
    Repeats,
    binomial_variance,
    dispersion_factor,
    mean_and_variance,
    pooled_dispersion,
)
from results.statistics.paired import Misses, common_excess, judge_pairs, measure
from results.statistics.verdicts import Judgement, Verdict, judge

SEED = 0
ALPHA = 0.05
BASE_ERRORS = (10.5, 8.9, 8.4, 8.2, 8.6, 8.1, 8.2, 8.0, 7.8, 7.7)
"""True errors (percent) of a table's rows, about those of the first published table."""
RESOLUTION = 0.01
"""Step between two possible errors in points: one image of 10,000."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of table."""

    num_cells: int
    num_runs: int
    """Number of our runs for each cell."""
    num_published_runs: int
    """Number of published runs for each cell: 1, or 3 whose median is printed."""
    margin: float
    differences: tuple[float, ...]
    """True differences in points, dealt to the cells in turn."""
    wide: float = 1.0
    """Factor on the variance of every other cell; the tests assume 1."""

    @property
    def true_differences(self) -> Floats:
        return np.resize(np.array(self.differences), self.num_cells)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The verdicts on many tables (first axis)."""

    rows: Judgement
    mean: Judgement
    """Verdict on the mean difference of each table; the second axis has length 1."""


def simulate(scenario: Scenario, num_tables: int, factor: float, random: np.random.Generator) -> Simulated:
    """Judge tables (first axis) of cells (second) as `results.statistics.compare` would.

    The factor is the true variance of a run over the binomial's.
    """
    num_images = published_recipe().num_test_images
    base = np.resize(np.array(BASE_ERRORS), scenario.num_cells)
    truth = base + scenario.true_differences
    widths = np.where(np.arange(scenario.num_cells) % 2, scenario.wide, 1.0)

    def draw(errors: Floats, num_runs: int, widening: Floats | float = 1.0) -> Floats:
        """Draw an array of (tables, cells, runs)."""
        spread = np.sqrt(factor * widening * binomial_variance(errors, num_images))
        runs = errors[:, None] + spread[:, None] * random.standard_normal((num_tables, len(errors), num_runs))
        return np.asarray(np.round(runs / RESOLUTION) * RESOLUTION)

    def draw_group(group: Repeats) -> Floats:
        """Draw an array of (tables, 1, errors), each of a single run or the median of three."""
        truth = np.full(1, np.mean(group.test_errors))
        runs = [1 if factor_of_error == 1 else 3 for factor_of_error in group.variance_factors]
        return np.stack([np.median(draw(truth, number), axis=-1) for number in runs], axis=-1)

    ours = draw(truth, scenario.num_runs, widths)
    published = np.median(draw(base, scenario.num_published_runs, widths), axis=-1)
    known = [(draw_group(group), np.array(group.variance_factors)) for group in repeats()]
    groups = known + ([(ours, np.ones(scenario.num_runs))] if scenario.num_runs > 1 else [])
    degrees = np.concatenate([np.full(errors.shape[1], errors.shape[2] - 1.0) for errors, _ in groups])
    centres, spreads = zip(*(mean_and_variance(errors, factors) for errors, factors in groups), strict=True)
    factors = dispersion_factor(
        np.concatenate(spreads, axis=1), binomial_variance(np.concatenate(centres, axis=1), num_images), degrees
    )
    means = ours.mean(axis=-1)
    variances = factors[:, None] * (
        binomial_variance(means, num_images) / scenario.num_runs
        + binomial_variance(published, num_images) * MEDIAN_VARIANCE[scenario.num_published_runs]
    )
    points, nu = means - published, int(degrees.sum())
    mean_errors = np.sqrt(variances.sum(axis=1, keepdims=True)) / scenario.num_cells
    return Simulated(
        judge(points, np.sqrt(variances), nu, margin=scenario.margin, alpha=ALPHA),
        judge(points.mean(axis=1, keepdims=True), mean_errors, nu, margin=scenario.margin, alpha=ALPHA),
    )


def repeats() -> list[Repeats]:
    return published_repeats(published_recipe())


def error_rates(scenario: Scenario, simulated: Simulated) -> dict[str, float]:
    """Return the shares of tables with any wrong verdict of a kind, for the kinds that can be wrong here."""
    truth = scenario.true_differences
    null, margin = truth == 0, np.abs(truth) >= scenario.margin
    rows, mean = simulated.rows, simulated.mean
    wrong = {
        "wrong_differs": (null.any(), rows.differs[:, null].any(axis=1)),
        "wrong_reproduced": (margin.any(), rows.reproduced[:, margin].any(axis=1)),
        "wrong_mean_differs": (null.all(), mean.differs),
        "wrong_mean_reproduced": (margin.all(), mean.reproduced),
    }
    return {name: float(verdicts.mean()) for name, (is_possible, verdicts) in wrong.items() if is_possible}


def power(simulated: Simulated) -> dict[str, float]:
    """Return the shares of rows, and of tables by their mean difference, with each verdict."""
    return {
        "differs": float(simulated.rows.differs.mean()),
        "reproduced": float(simulated.rows.reproduced.mean()),
        "mean_differs": float(simulated.mean.differs.mean()),
        "mean_reproduced": float(simulated.mean.reproduced.mean()),
    }


def error_scenarios() -> list[Scenario]:
    """List tables without a difference, with exactly the margin, and with half of the rows obvious (Holm accepts)."""
    scenarios = []
    for num_cells in (1, 10):
        for num_runs, num_published, margin in ((1, 1, 0.5), (3, 1, 0.5), (3, 3, 0.5), (3, 1, 1.0), (10, 3, 1.0)):
            scenario = Scenario(num_cells, num_runs, num_published, margin, (0.0,))
            scenarios += [scenario, replace(scenario, differences=(margin,))]
            if num_cells > 1:
                scenarios += [replace(scenario, differences=pair) for pair in ((0.0, 3.0), (margin, 0.0))]
    return scenarios


def power_scenarios() -> list[Scenario]:
    return [
        Scenario(num_cells, num_runs, 1, margin, (difference,))
        for num_cells in (1, 10)
        for margin in (0.5, 1.0)
        for num_runs in (1, 3)
        for difference in (0.0, 0.3, 0.5, 1.0)
    ]


def stress_scenarios() -> list[Scenario]:
    """List tables that the tests do not allow for: every other configuration has twice the variance."""
    return [Scenario(10, n, 1, 1.0, (difference,), wide=2.0) for n in (1, 3) for difference in (0.0, 1.0)]


@dataclass(frozen=True, slots=True)
class PairScenario:
    """A kind of comparison of two sweeps. Images are missed where a normal sum exceeds 0, in units of its noise."""

    num_pairs: int
    num_seeds: int
    num_images: int
    difference: float = 0.0
    """True difference in points."""
    quality: float = 0.1
    """Standard deviation between seeds."""
    shared: float = 0.5
    """Part of the variance of quality and noise that runs with equal seeds share."""
    uneven: float = 1.0
    """Factor on the quality of every third pair."""


HARDNESS, ON_IMAGES = 2.0, 0.3
"""Standard deviations of an image's hardness, and of what the other configuration does to it."""
PAIR_ERROR = 10.0
"""True error of the first side in percent."""
PAIR_MARGIN = 0.5
PAIR_FIGURES = (
    *("holds_truth", "mcnemar_holds_truth", "wrong_differs", "wrong_no_difference"),
    *("told_apart", "told_apart_without_common_seeds"),
)
Sides = tuple[Misses, Misses]


def draw_pair(scenario: PairScenario, quality: float, random: np.random.Generator) -> Sides:
    """Draw the images that the seeds of both sides miss, of a test set of its own."""
    shape, images = (scenario.num_seeds, 1), (scenario.num_seeds, scenario.num_images)
    hardness = HARDNESS * random.standard_normal(scenario.num_images)
    effect = ON_IMAGES * random.standard_normal(scenario.num_images)
    common = quality * random.standard_normal(shape) + random.standard_normal(images)
    spread = math.sqrt(HARDNESS**2 + quality**2 + 1)
    sides = []
    for error, own in ((PAIR_ERROR, 0.0), (PAIR_ERROR + scenario.difference, ON_IMAGES)):
        noise = quality * random.standard_normal(shape) + random.standard_normal(images)
        mean = float(ndtri(error / 100)) * math.hypot(spread, own)
        share = scenario.shared
        total = mean + hardness + (effect if own else 0.0) + math.sqrt(share) * common + math.sqrt(1 - share) * noise
        sides.append(np.asarray(total > 0).astype(np.int8))
    return sides[0], sides[1]


def simulate_pairs(scenario: PairScenario, num_comparisons: int, random: np.random.Generator) -> dict[str, float]:
    """Return the shares of intervals that hold the truth, of comparisons with a wrong verdict, and of pairs found."""
    qualities = [scenario.quality * (scenario.uneven if index % 3 == 0 else 1) for index in range(scenario.num_pairs)]
    found: dict[str, list[float]] = {}

    def judged(pairs: list[Sides], *, paired: bool) -> list[Difference]:
        measured = [measure(first, other, paired=paired) for first, other in pairs]
        return judge_pairs(measured, common_excess(measured), margin=PAIR_MARGIN, alpha=ALPHA)

    for _ in range(num_comparisons):
        pairs = [draw_pair(scenario, quality, random) for quality in qualities]
        single = [measure(first[:1], other[:1], paired=True) for first, other in pairs]
        tests = judged(pairs, paired=True)
        truth = scenario.difference
        row: dict[str, Any] = {
            "holds_truth": np.mean([test.interval[0] <= truth <= test.interval[1] for test in tests]),
            "mcnemar_holds_truth": np.mean(
                [abs(item.points - truth) < 1.96 * math.sqrt(item.images) for item in single]
            ),
            "half_width": np.mean([test.interval[1] - test.points for test in tests]),
            "told_apart": np.mean([test.verdict is Verdict.DIFFERS for test in tests]),
        }
        if truth == 0:
            row["wrong_differs"] = any(test.verdict is Verdict.DIFFERS for test in tests)
        if abs(truth) == PAIR_MARGIN:
            row["wrong_no_difference"] = any(test.verdict is Verdict.REPRODUCED for test in tests)
        if scenario.num_seeds > 1:
            apart = judged(pairs, paired=False)
            row["told_apart_without_common_seeds"] = np.mean([test.verdict is Verdict.DIFFERS for test in apart])
        for name, value in row.items():
            found.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in found.items()}


def pair_scenarios() -> list[PairScenario]:
    return [
        *(PairScenario(1, num_seeds, 1000) for num_seeds in (3, 5)),
        *(PairScenario(10, num_seeds, 1000) for num_seeds in (2, 3, 5)),
        PairScenario(10, 3, 1000, difference=PAIR_MARGIN, quality=0.02),
        PairScenario(10, 5, 10_000, difference=PAIR_MARGIN, quality=0.02),
        *(PairScenario(10, 3, 1000, difference=-3.0, quality=0.2, shared=shared) for shared in (0.0, 0.5, 0.8)),
        PairScenario(10, 5, 10_000, difference=-1.0, quality=0.03),
        PairScenario(10, 3, 1000, quality=0.0),
        *(PairScenario(10, 3, 1000, uneven=uneven) for uneven in (2.0, 4.0)),
    ]


def describe_pairs(scenario: PairScenario) -> str:
    return (
        f"{scenario.num_pairs:2} pairs, {scenario.num_seeds} seeds, {scenario.num_images} images, "
        f"true {scenario.difference:g}, quality {scenario.quality:g}, shared {scenario.shared:g}"
        + f", uneven {scenario.uneven:g}"
        * (scenario.uneven != 1)
    )


def describe(scenario: Scenario) -> str:
    return (
        f"{scenario.num_cells:2} rows, ours n={scenario.num_runs}, published n={scenario.num_published_runs}, "
        f"margin {scenario.margin:g}, true {'/'.join(f'{value:g}' for value in scenario.differences)}"
    )


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--tables", type=int, default=50_000)
    parser.add_argument("--comparisons", type=int, default=1000, help="of two sweeps")
    arguments = parser.parse_args()
    num_tables = arguments.tables
    random = np.random.default_rng(SEED)
    factor = pooled_dispersion(repeats()).factor
    deviation = math.sqrt(ALPHA * (1 - ALPHA) / num_tables)
    report: dict[str, list[dict[str, Any]]] = {"errors": [], "power": [], "stress": [], "pairs": []}
    kinds = {"errors": error_scenarios(), "stress": stress_scenarios(), "power": power_scenarios()}
    for kind, scenarios in kinds.items():
        rows: dict[str, dict[str, float]] = {}
        for scenario in scenarios:
            simulated = simulate(scenario, num_tables, factor, random)
            shares = power(simulated) if kind == "power" else error_rates(scenario, simulated)
            report[kind].append(asdict(scenario) | shares)
            rows[describe(scenario)] = {name: 100 * share for name, share in shares.items()}
        print_figures(kind, rows, list({name: None for row in rows.values() for name in row}))
    for pair_scenario in pair_scenarios():
        report["pairs"].append(asdict(pair_scenario) | simulate_pairs(pair_scenario, arguments.comparisons, random))
    print_figures(
        "pairs",
        {
            describe_pairs(scenario): {name: 100 * row[name] for name in PAIR_FIGURES if name in row}
            for scenario, row in zip(pair_scenarios(), report["pairs"], strict=True)
        },
        list(PAIR_FIGURES),
    )
    highest = max(value for row in report["errors"] for name, value in row.items() if name.startswith("wrong_"))
    print(f"highest rate of wrong verdicts: {100 * highest:.2f} % (+- {100 * deviation:.2f} at {100 * ALPHA:g} %)")
    figures = {
        "seed": SEED,
        "num_tables": num_tables,
        "num_comparisons": arguments.comparisons,
        "alpha": ALPHA,
        "dispersion_factor": factor,
        "monte_carlo_standard_error_at_alpha": deviation,
        "highest_wrong_rate": highest,
    }
    print(write_report("verdict_errors", "python benchmarks/verdict_errors.py", figures | report, arguments.to))


if __name__ == "__main__":
    main()
