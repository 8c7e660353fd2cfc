"""A sweep that is killed again and again: `python benchmarks/kill_rounds.py --rounds 20`.

The rounds, and what must hold in them, are in tests/integration_tests/kill_rounds.py; with `--search` the sweep is an
adaptive search.
"""

import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, write_report
from tests.integration_tests.kill_rounds import run_rounds
from tests.integration_tests.killed_sweep import EPOCHS_A_TRIAL, Plan


def main() -> None:
    parser = option_parser(__doc__, rounds=20)
    parser.add_argument("--search", action="store_true", help="an adaptive search instead of a grid")
    parser.add_argument("--algorithm", default=Plan(0).algorithm, help="of the search (default: %(default)s)")
    parser.add_argument("--scheduler", default=Plan(0).scheduler, help="of the search (default: %(default)s)")
    parser.add_argument("--max-concurrent", type=int, default=Plan(0).max_concurrent, help="trials at a time")
    arguments = parser.parse_args()
    plan = Plan(
        arguments.rounds,
        epochs=EPOCHS_A_TRIAL[arguments.search],
        search=arguments.search,
        algorithm=arguments.algorithm,
        scheduler=arguments.scheduler,
        max_concurrent=arguments.max_concurrent,
    )
    folder = Path(tempfile.mkdtemp(prefix="k"))
    try:
        outcome = run_rounds(plan, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_figures("kills", {str(number): asdict(kill) for number, kill in enumerate(outcome.rounds, 1)})
    print(
        f"{len(outcome.rounds)} kills in {outcome.wall_seconds:.0f} s; {len(outcome.violations)} violations, "
        f"{len(outcome.differences)} differences from an uninterrupted run, {len(outcome.left_behind)} left behind"
    )
    for line in (*outcome.violations, *outcome.differences, *outcome.left_behind):
        print(line)
    command, name = f"python benchmarks/kill_rounds.py --rounds {plan.rounds}", "kill_rounds"
    if plan.search:
        command += f" --search --max-concurrent {plan.max_concurrent}"
        name += f"_search_{plan.max_concurrent}"
        for option in ("algorithm", "scheduler"):
            if (value := getattr(plan, option)) != getattr(Plan(0), option):
                command, name = f"{command} --{option} {value}", f"{name}_{value}"
    print(write_report(name, command, {"plan": asdict(plan), **asdict(outcome)}, arguments.to))


if __name__ == "__main__":
    main()
