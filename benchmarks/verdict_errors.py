"""How often `compare` errs, and what it can tell: `python benchmarks/verdict_errors.py [--tables 50000]`.

Simulated tables go through the functions that give the verdicts. Every table draws its own published errors, our
errors, and the repeats from which the noise is estimated (those of the published tables; ours where there are any),
all from normal distributions whose variance is the given part of the binomial's, rounded to the percentages that
10,000 images can give. An error is any wrong verdict of a kind in a table: 'differs' where there is no difference,
'reproduced' where the difference is the margin. Standard errors of the simulation stand beside the rates.
"""

import math
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, write_report
from results.published.cells import MEDIAN_VARIANCE
from results.published.recipe import published_recipe
from results.statistics.matching import published_repeats
from results.statistics.noise import (
    Floats,
    Repeats,
    binomial_variance,
    dispersion_factor,
    mean_and_variance,
    pooled_dispersion,
)
from results.statistics.verdicts import Judgement, judge

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


def describe(scenario: Scenario) -> str:
    return (
        f"{scenario.num_cells:2} rows, ours n={scenario.num_runs}, published n={scenario.num_published_runs}, "
        f"margin {scenario.margin:g}, true {'/'.join(f'{value:g}' for value in scenario.differences)}"
    )


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--tables", type=int, default=50_000)
    arguments = parser.parse_args()
    num_tables = arguments.tables
    random = np.random.default_rng(SEED)
    factor = pooled_dispersion(repeats()).factor
    deviation = math.sqrt(ALPHA * (1 - ALPHA) / num_tables)
    report: dict[str, list[dict[str, Any]]] = {"errors": [], "power": [], "stress": []}
    kinds = {"errors": error_scenarios(), "stress": stress_scenarios(), "power": power_scenarios()}
    for kind, scenarios in kinds.items():
        rows: dict[str, dict[str, float]] = {}
        for scenario in scenarios:
            simulated = simulate(scenario, num_tables, factor, random)
            shares = power(simulated) if kind == "power" else error_rates(scenario, simulated)
            report[kind].append(asdict(scenario) | shares)
            rows[describe(scenario)] = {name: 100 * share for name, share in shares.items()}
        print_figures(kind, rows, list({name: None for row in rows.values() for name in row}))
    highest = max(value for row in report["errors"] for name, value in row.items() if name.startswith("wrong_"))
    print(f"highest rate of wrong verdicts: {100 * highest:.2f} % (+- {100 * deviation:.2f} at {100 * ALPHA:g} %)")
    figures = {
        "seed": SEED,
        "num_tables": num_tables,
        "alpha": ALPHA,
        "dispersion_factor": factor,
        "monte_carlo_standard_error_at_alpha": deviation,
        "highest_wrong_rate": highest,
    }
    print(write_report("verdict_errors", "python benchmarks/verdict_errors.py", figures | report, arguments.to))


if __name__ == "__main__":
    main()
