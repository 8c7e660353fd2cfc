"""How good searches are at equal budgets, on trainings whose best configuration is known.

Each run may train 30 x 27 = 810 epochs, all trials together, with some workers side by side. Its regret is the
true error of the configuration that would be chosen, less the smallest possible one, in points, at 25, 50 and 100 %
of the budget. The problems are those of `search_problems.py`, the searches those of `search_arms.py` and, if their
records are given, the peers of `search_peers.py`. No training and no Ray.

    python benchmarks/search_quality.py --problems development --workers 4 --shard 1/2
        runs what the cache lacks (the other half: --shard 2/2), then prints what the cache says and writes
        search_quality.json
    python benchmarks/search_quality.py --faults
        the share of proposals that diverge, by quarter of the proposals, where searches were once drawn to them
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # read when numpy and torch are imported
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import optuna

from benchmarks import harness, search_arms, search_faults
from benchmarks.search_arms import AS_IT_WAS, measure
from benchmarks.search_problems import BUDGET, DEVELOPMENT, FIRST_SEED, HELD_OUT, SHARES
from benchmarks.search_statistics import NUM_DRAWS, Record, complete_arms, summarize

CACHE = harness.ROOT / "runs" / "search_quality" / "ours.jsonl"
GROUPS: Mapping[str, Sequence[str]] = {"development": DEVELOPMENT, "held_out": HELD_OUT}
CANDIDATES = ("mfgp + median", "mfgp + promotion", "tpe + median", "gp", "tpe + promotion")
OTHERS = (
    AS_IT_WAS,
    "mfgp + median",
    "random",
    "random + asha",
    "random + promotion",
    "tpe + asha",
    "tpe + median",
    "gp",
)
QUICK_BUDGET, QUICK_DRAWS = 60, 20
Key = tuple[str, str, int, int]
"""Arm, problem, workers and seed."""


def read_cache(path: Path | None) -> dict[Key, Record]:
    """Return the records in a file, the last of each run; a line that was cut off is left out."""
    found: dict[Key, Record] = {}
    for line in path.read_text().splitlines() if path is not None and path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[record["arm"], record["problem"], record["workers"], record["seed"]] = record
    return found


def fill(path: Path, keys: Sequence[Key], budget: int) -> None:
    """Run what the cache lacks, and append each record as soon as it is there."""
    known = read_cache(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    left = [key for key in keys if key not in known]
    started = time.perf_counter()
    for number, key in enumerate(left, 1):
        record = measure(*key, budget=budget)
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        if number % 100 == 0 or number == len(left):
            print(f"{number} of {len(left)} runs, {time.perf_counter() - started:.0f} s", flush=True)


def shard(keys: Sequence[Key], text: str) -> list[Key]:
    """Return the part `i/n` of the runs."""
    part, num_parts = map(int, text.split("/"))
    return list(keys[part - 1 :: num_parts])


def report_of(
    records: Mapping[Key, Record], workers: Sequence[int], num_seeds: int, problems: Sequence[str], draws: int
) -> dict[str, dict[str, Any]]:
    """Return summaries by group of problems and number of workers, of the arms that ran on all of a group."""
    pairs = [(first, second) for first in CANDIDATES for second in OTHERS if first != second]
    pairs += [(first, arm) for first in CANDIDATES for arm in sorted({key[0] for key in records}) if is_peer(arm)]
    found: dict[str, dict[str, Any]] = {}
    for group, names in GROUPS.items():
        chosen = [name for name in names if name in problems]
        seeds = range(FIRST_SEED[group], FIRST_SEED[group] + num_seeds)
        for num_workers in workers:
            of_these = [record for key, record in records.items() if key[2] == num_workers]
            arms = complete_arms(of_these, chosen, seeds) if chosen else {}
            left_out = {record["arm"] for record in of_these if record["problem"] in chosen} - set(arms)
            if left_out:
                print(f"{group}, {num_workers} workers: incomplete, left out: {', '.join(sorted(left_out))}")
            if arms:
                summary = summarize(arms, chosen, [str(share) for share in SHARES], dict.fromkeys(pairs), draws)
                found.setdefault(group, {})[str(num_workers)] = {"problems": chosen, **summary}
    return found


def is_peer(arm: str) -> bool:
    return arm not in search_arms.OURS and arm != AS_IT_WAS


def print_report(report: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table of average ranks and one of median regrets for each group and number of workers."""
    for group, by_workers in report.items():
        for workers, found in by_workers.items():
            arms = sorted(found["arms"].items(), key=lambda item: item[1]["average_rank"]["100"])
            ranks = {
                arm: {
                    **{f"{share} %": tuple_text(band) for share, band in figures["average_rank"].items()},
                    "trials": figures["median_trials"],
                    "diverge": round(float(np.mean(list(figures["diverged_last_quarter"].values()))), 3),
                    "CPU s": figures["mean_cpu_seconds"],
                }
                for arm, figures in arms
            }
            title = f"{group}, {workers} workers, {found['num_seeds']} seeds"
            harness.print_figures(f"\n{title}: average rank of the median regret", ranks)
            for share in SHARES:
                medians = {
                    arm: {name: by_share[str(share)][0] for name, by_share in figures["median_regret"].items()}
                    for arm, figures in arms
                }
                harness.print_figures(f"\n{title}: median regret at {share} %", medians)
            harness.print_figures(f"\n{title}: wins", found["wins"])


def tuple_text(band: Sequence[float]) -> str:
    return f"{band[0]:.2f} ({band[1]:.1f} to {band[2]:.1f})"


def options() -> argparse.ArgumentParser:
    parser = harness.option_parser(
        __doc__, quick="one seed of two problems with a small budget, to see that it works"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="records of the runs, one JSON line each")
    parser.add_argument("--peers-cache", type=Path, help="records of the peers' runs, likewise")
    parser.add_argument("--arms", default="", help="names, separated by commas; default: all")
    parser.add_argument("--problems", default="development", help="development, held_out, or names")
    parser.add_argument("--workers", default="4", help="for example 1,4,16")
    parser.add_argument("--seeds", type=int, default=30, metavar="N", help="default: 30")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="run only the part I of N")
    parser.add_argument("--no-report", action="store_true", help="only run")
    parser.add_argument("--faults", action="store_true", help="only the proposals that diverge, of --arms")
    return parser


def split(text: str, known: Sequence[str], fail: Callable[[str], Any]) -> list[str]:
    """Return the names in a list with commas; refuse those that are not known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            fail(f"unknown: {name}; known are {', '.join(known)}")
    return names


def main() -> None:
    parser = options()
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known_arms = list(search_arms.makers())
    if missing := [arm for arm in search_arms.OURS if arm not in known_arms]:
        print(f"left out, since their algorithm or scheduler is not known: {', '.join(missing)}")
    arms = split(given.arms, [*known_arms, *search_arms.OURS], parser.error) or known_arms
    if given.faults:
        chosen = [name for name in search_faults.ALGORITHMS if name in arms]
        print(search_faults.write(given.to, chosen, given.seeds))
        return
    every_problem = [*DEVELOPMENT, *HELD_OUT]
    problems = list(GROUPS.get(given.problems, ())) or split(given.problems, every_problem, parser.error)
    workers, num_seeds, budget = [int(number) for number in given.workers.split(",")], given.seeds, BUDGET
    if given.quick:
        arms, problems, workers = ["random", "tpe + asha", AS_IT_WAS], ["sparse", "conditional"], [4]
        num_seeds, budget, given.cache = 1, QUICK_BUDGET, given.to / "quick.jsonl"
    first = {name: FIRST_SEED[group] for group, names in GROUPS.items() for name in names}
    keys = [
        (arm, name, number, first[name] + seed)
        for number in workers
        for seed in range(num_seeds)
        for name in problems
        for arm in arms
        if arm in known_arms
    ]
    fill(given.cache, shard(keys, given.shard), budget)
    if given.no_report:
        return
    records = {**read_cache(given.cache), **read_cache(given.peers_cache)}
    report = report_of(records, workers, num_seeds, problems, QUICK_DRAWS if given.quick else NUM_DRAWS)
    print_report(report)
    path = given.to / "search_quality.json"
    before = json.loads(path.read_text()).get("groups", {}) if path.exists() and not given.quick else {}
    groups = {**before, **{group: {**before.get(group, {}), **found} for group, found in report.items()}}
    figures = {"budget_epochs": budget, "optuna": optuna.__version__, "groups": groups}
    print(harness.write_report("search_quality", "python benchmarks/search_quality.py", figures, given.to))


if __name__ == "__main__":
    main()
