"""How long the light commands take to answer: `python benchmarks/answer_times.py [--rounds 7]`.

Whole processes, in turn, from their start to their end: commands that look at the committed example sweep, and `run`
on a sweep that is finished. None of them loads torch or Ray. To add a command, add a case to `cases`.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.finished_sweep import write_finished_sweep
from benchmarks.harness import ROOT, Spread, interleaved, option_parser, write_report

EXAMPLES = str(ROOT / "results" / "examples")
NUM_TRIALS = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A command and how it ends."""

    arguments: list[str]
    exit_code: int = 0


def cases(folder: Path) -> dict[str, Case]:
    """Name the commands that are measured.

    Args:
        folder: An empty folder for the stores that they need.
    """
    return {
        "--help": Case(["--help"]),
        "spaces": Case(["spaces"]),
        "spaces quickstart": Case(["spaces", "quickstart"]),
        "table quickstart": Case(["table", "quickstart", "--store", EXAMPLES]),
        f"run, {NUM_TRIALS} trials done": Case(write_finished_sweep(folder, NUM_TRIALS)),
    }


def answer_seconds(case: Case) -> float:
    """Time one process; exit with its output where its exit code is not the expected one."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "tune_main.py"), *case.arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if process.returncode != case.exit_code:
        raise SystemExit(f"{process.stdout}{process.stderr}\n{' '.join(command)} ended with {process.returncode}")
    return seconds


def main() -> None:
    arguments = option_parser(__doc__, rounds=7).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = cases(Path(folder))
        times = interleaved(
            arguments.rounds, {name: partial(answer_seconds, case) for name, case in commands.items()}
        )
    for name, seconds in times.items():
        print(f"{name:24} {Spread.of(seconds):.2f} s")
    print(write_report("answer_times", "python benchmarks/answer_times.py", {"seconds": times}, arguments.to))


if __name__ == "__main__":
    main()
