"""How long the light commands take to answer: `python benchmarks/answer_times.py [--rounds 7]`.

Whole processes, interleaved, against the committed example sweep, and `run` on a sweep that is done; none of them
loads torch or Ray.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.finished_sweep import write_finished_sweep  # noqa: E402
from benchmarks.report import write_report  # noqa: E402

EXAMPLES = str(ROOT / "results" / "examples")
COMMANDS = {
    "--help": ["--help"],
    "spaces": ["spaces"],
    "spaces quickstart": ["spaces", "quickstart"],
    "table quickstart": ["table", "quickstart", "--store", EXAMPLES],
}
NUM_TRIALS = 100
RUN = f"run, {NUM_TRIALS} trials done"


def seconds(arguments: list[str]) -> float:
    """Of one process from its start to its end."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "tune_main.py"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        commands = {**COMMANDS, RUN: write_finished_sweep(Path(folder), NUM_TRIALS)}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, arguments in commands.items():
                times[name].append(seconds(arguments))
    for name, values in times.items():
        print(f"{name:20} median {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
    print(write_report("answer_times", "python benchmarks/answer_times.py", {"seconds": times}))


if __name__ == "__main__":
    main()
