"""What further seeds buy where a final value is noisy: the regret of the choice at a budget of 30 full trainings.

    one seed     each configuration is trained once, the least value is chosen
    three seeds  `objective: {seeds: 3}`: each configuration is trained three times, the least mean is chosen
    confirmed    one seed for 21 trainings, then the best three are trained three times again, and the least mean of
                 these is chosen

On problems of `search_problems.py` for development, with their noise and with three times as much; one worker and no
scheduler. Here the confirmations are measured on the held-out images, with the same noise.
"""

import dataclasses
import itertools
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.search_arms import NONE, SearchDriver
from benchmarks.search_functions import EPOCHS
from benchmarks.search_problems import BUDGET, Problem, problem
from benchmarks.search_statistics import with_band
from results.store.configurations import best, trainings
from results.store.search_log import Params
from search_spaces.schema import Algorithm, ObjectiveSpec
from sweep.search.optuna_samplers import quiet
from trainable.records import Status

PROBLEMS = ("training", "hartmann_3")
NOISES = (1, 3)
ALGORITHMS: tuple[Algorithm, ...] = ("random", "tpe")
TOP, REPEATS = 3, 3
ARMS = ("one seed", "three seeds", "confirmed")
DRAWS = 2000


def noise_seed(seed: int, repeat: int) -> int:
    """Return a seed for each training of a configuration in a run."""
    return 100 * seed + repeat


def search(chosen: Problem, algorithm: Algorithm, num_seeds: int, seed: int, budget: int) -> list[Params]:
    """Return the complete configurations of a search, best first, when its budget of epochs is used up."""
    objective = ObjectiveSpec(metric="holdout_error_percent", seeds=num_seeds)
    driver = SearchDriver(chosen, algorithm, NONE, seed, [objective])
    record = driver.search.record
    while budget and (given := driver.next()) is not None:
        number, params = given
        first = record.proposals[number if (first := record.proposals[number].seed_of) is None else first]
        curve = chosen.curve(params, noise_seed(seed, len(trainings(record, first)) - 1))
        seen = curve.values[:budget]
        budget -= len(seen)
        if len(seen) == len(curve.values):  # the sampler learns from the end alone, which is reported as one epoch
            driver.report(number, 1, None if curve.diverged else seen[-1])
            driver.end(number, Status.DIVERGED if curve.diverged else Status.COMPLETE)
    return [proposal.params for proposal in best(record)]


def regret(chosen: Problem, algorithm: Algorithm, arm: str, seed: int) -> float:
    """Return the true error of what an arm chooses, less the optimum."""
    if arm == "confirmed":
        found = search(chosen, algorithm, 1, seed, BUDGET - TOP * REPEATS * EPOCHS)[:TOP]

        def mean(params: Params) -> float:
            values = (chosen.curve(params, noise_seed(seed, 50 + repeat)).values[-1] for repeat in range(REPEATS))
            return statistics.fmean(values)

        taken = min(found, key=mean)
    else:
        taken = search(chosen, algorithm, 3 if arm == "three seeds" else 1, seed, BUDGET)[0]
    return chosen.true_error(taken) - chosen.optimum


def figures(regrets: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the mean regret of each arm, and the difference of the others to the first, with bootstrap intervals."""
    values = np.asarray(regrets)
    drawn = np.random.default_rng(0).integers(values.shape[1], size=(DRAWS, values.shape[1]))
    means = values[:, drawn].mean(axis=2)
    return {
        "mean_regret": {
            arm: with_band(means[index], values[index].mean()) for index, arm in enumerate(ARMS)
        },
        "difference_to_one_seed": {
            arm: with_band(means[index] - means[0], (values[index] - values[0]).mean())
            for index, arm in enumerate(ARMS)
            if index
        },
    }  # fmt: skip


def measure(num_seeds: int, problems: Sequence[str] = PROBLEMS) -> dict[str, Any]:
    """Return the figures by noise and algorithm, for each problem and for all of them together."""
    found: dict[str, Any] = {}
    for noise, algorithm in itertools.product(NOISES, ALGORITHMS):
        by_problem = {}
        for name in problems:
            plain = problem(name)
            chosen = dataclasses.replace(
                plain, run_noise=noise * plain.run_noise, evaluation_noise=noise * plain.evaluation_noise
            )
            by_problem[name] = [[regret(chosen, algorithm, arm, seed) for seed in range(num_seeds)] for arm in ARMS]
        pooled = np.concatenate([np.asarray(regrets) for regrets in by_problem.values()], axis=1).tolist()
        found[f"noise x {noise}, {algorithm}"] = {
            "all problems": figures(pooled),
            **{name: figures(regrets) for name, regrets in by_problem.items()},
        }
    return found


def main() -> None:
    """Measure, print the table and write the report."""
    parser = harness.option_parser(__doc__, quick="one problem, two seeds")
    parser.add_argument("--seeds", type=int, default=30, metavar="N", help="runs of each arm (default: 30)")
    options = parser.parse_args()
    num_seeds = 2 if options.quick else options.seeds
    with quiet():
        found = measure(num_seeds, PROBLEMS[:1] if options.quick else PROBLEMS)
    rows = {
        f"{case}: {name}": {arm: band[0] for arm, band in own["mean_regret"].items()}
        for case, by_name in found.items()
        for name, own in by_name.items()
    }
    harness.print_figures("mean regret in points of what is chosen", rows)
    report = {"num_seeds": num_seeds, "budget_epochs": BUDGET, "regret": found}
    path: Path = harness.write_report("search_seeds", "python benchmarks/search_seeds.py", report, options.to)
    print(path)


if __name__ == "__main__":
    main()
