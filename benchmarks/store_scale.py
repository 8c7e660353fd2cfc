"""What many trials cost: `python benchmarks/store_scale.py [--sizes 100 1000 5000] [--rounds 3] [--quick]`.

Stores of N finished trials of 200 epochs each, written by the ledger itself (without TensorBoard's files), and the
commands that read them, each a whole process as a user starts it; `run` finds nothing left to train. Times run from
the start of the process, with that of Python, to its end; memory is the peak of what is resident (getrusage(2)).
`rewrite` is what the running driver spends each time it brings the Parquet files up to date, once it has read the
trials that have ended. The exponent of the growth is the slope of log(cost) over log(N), where the cost is what a
command takes above the same command on a store of one trial: 1 is proportional.

Beside it Ray's own results of as many trials and epochs, read back with `Tuner.restore(...).get_results()`
(benchmarks/ray_store.py: 50 trials are really run there, the others are copies of their files).
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.finished_sweep import FILLED_DATASET, FILLED_SWEEP, fill_store
from results.store.local_store import LocalStore

SIZES = (100, 1000, 5000)
NUM_EPOCHS = 200
RAY_SIZES, RAY_RUN = (100, 1000), 50
PLAN, STATUS, EXPORT, RUN, PLOT, REPORT = COMMANDS = ("plan", "status", "export", "run", "plot", "report")
REWRITE = "rewrite"
FINGERPRINT_CODE = f"""
from trainable.data.sources import load_dataset
print(load_dataset({FILLED_DATASET!r}, None).fingerprint)
"""
REWRITE_CODE = f"""
import sys, time
from pathlib import Path
from sweep.observers.parquet_writer import ParquetWriter
from results.store.local_store import LocalStore
store = LocalStore(Path(sys.argv[1]))
writer = ParquetWriter(store, store.manifest({FILLED_SWEEP!r}))
writer.write()
started = time.perf_counter()
writer.write()
print(time.perf_counter() - started)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    seconds: float
    """Time from its start to its end."""
    peak_bytes: int
    """Peak of the resident memory; never below that of this process, its parent."""
    output: str


def cost(*arguments: str, settings: Mapping[str, str] | None = None) -> Cost:
    """Measure `python ARGUMENTS` from its start to its end; exit with its output where it fails.

    The settings are added to its environment.
    """
    environment = os.environ | (settings or {})
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=harness.ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if process.returncode:
        raise SystemExit(f"{text}\n{' '.join(arguments)} failed")
    return Cost(seconds, usage.ru_maxrss * 1024, text)


def command_line(command: str, store: Path) -> list[str]:
    """Return the arguments of `python` for one of COMMANDS."""
    what = str(store / f"{FILLED_SWEEP}.yaml") if command in (PLAN, RUN) else FILLED_SWEEP
    return ["tune_main.py", command, what, "--store", str(store)]


def measure(store: Path) -> dict[str, Cost]:
    """Measure every command once."""
    costs = {command: cost(*command_line(command, store)) for command in COMMANDS}
    rewrite = cost("-c", REWRITE_CODE, str(store))
    return costs | {REWRITE: Cost(float(rewrite.output), rewrite.peak_bytes, "")}


def summary(costs: Sequence[Cost]) -> dict[str, Any]:
    """Return the spread of time and memory over the rounds."""
    return {
        "seconds": harness.summary([cost.seconds for cost in costs]),
        "peak bytes": harness.summary([cost.peak_bytes for cost in costs]),
    }


def check(costs: Mapping[str, Cost], num_trials: int, num_epochs: int) -> None:
    """Exit where a command has not seen all trials: its time would count as saved."""
    expected = {
        PLAN: f"done   {num_trials} in",
        STATUS: f"epochs   {num_trials * num_epochs} of {num_trials * num_epochs}",
        EXPORT: f"{num_trials} trial",
        RUN: f"{num_trials} of {num_trials} trial",
        PLOT: "learning_curves.svg",
        REPORT: "report.html",
    }
    for command, text in expected.items():
        if text not in costs[command].output:
            raise SystemExit(f"{command} does not say {text!r}:\n{costs[command].output}")


def exponent(sizes: Sequence[int], costs: Sequence[float], cost_of_one: float) -> float | None:
    """Return the slope of log(cost above that of one trial) over log(size), or None where there is no such cost."""
    above = [value - cost_of_one for value in costs]
    if len(sizes) < 2 or min(above) <= 0:
        return None
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(value) for value in above]
    ).slope


def footprint(folder: Path) -> dict[str, int]:
    """Count the files and bytes below a folder."""
    num_files = num_bytes = 0
    for path in folder.rglob("*"):
        if path.is_file():
            num_files += 1
            num_bytes += path.stat().st_size
    return {"files": num_files, "bytes": num_bytes}


def measure_ours(folder: Path, sizes: Sequence[int], num_epochs: int, num_rounds: int) -> dict[int, dict[str, Any]]:
    """Return the footprint of each size, and seconds and peak bytes of every command on it."""
    fingerprint = cost("-c", FINGERPRINT_CODE).output.strip()
    figures: dict[int, dict[str, Any]] = {}
    for size in sizes:
        store = LocalStore(folder / str(size))
        started = time.perf_counter()
        fill_store(store, size, num_epochs, fingerprint)
        seconds = time.perf_counter() - started
        print(f"{size} trials written in {seconds:.1f} s", flush=True)
        figures[size] = {"seconds to write": seconds, "trials": footprint(store.trials_folder)}
    costs = harness.interleaved(num_rounds, {size: lambda size=size: measure(folder / str(size)) for size in sizes})  # type: ignore[misc]
    for size, rounds in costs.items():
        for commands in rounds:
            check(commands, size, num_epochs)
        for command in (*COMMANDS, REWRITE):
            figures[size][command] = summary([commands[command] for commands in rounds])
        figures[size]["sweep"] = footprint(folder / str(size) / FILLED_SWEEP)
    return figures


def measure_ray(folder: Path, sizes: Sequence[int], num_run: int, num_epochs: int, num_rounds: int) -> dict[int, Any]:
    """Measure the same for Ray's results, which `python benchmarks/ray_store.py read DIR` reads."""
    script = "benchmarks/ray_store.py"
    figures: dict[int, Any] = {}
    for size in sizes:
        experiment = str(folder / str(size))
        made = cost(script, "make", experiment, str(num_run), str(size), str(num_epochs))
        print(f"{size} trials of Ray's ({min(num_run, size)} run) in {made.seconds:.1f} s", flush=True)
        rounds = [cost(script, "read", experiment) for _ in range(num_rounds)]
        for process in rounds:
            if json.loads(process.output.splitlines()[-1]) != {"num_trials": size, "num_epochs": size * num_epochs}:
                raise SystemExit(f"Ray does not find {size} trials of {num_epochs} epochs: {process.output}")
        figures[size] = {
            "trials run": min(num_run, size),
            **summary(rounds),
            "experiment": footprint(folder / str(size)),
        }
    return figures


def growth(ours: Mapping[int, Mapping[str, Any]], command: str) -> float | None:
    """Return the exponent of a command's seconds."""
    seconds = {size: figures[command]["seconds"]["median"] for size, figures in ours.items()}
    cost_of_one = seconds.pop(1)
    return exponent(list(seconds), list(seconds.values()), cost_of_one)


def main() -> None:
    parser = harness.option_parser(
        __doc__, rounds=3, quick="one trial of five epochs (two of Ray's), to see that it works"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="default: 100 1000 5000")
    arguments = parser.parse_args()
    sizes, num_rounds = ((), 1) if arguments.quick else (arguments.sizes, arguments.rounds)
    num_epochs, ray_sizes, ray_run = (5, (2,), 1) if arguments.quick else (NUM_EPOCHS, RAY_SIZES, RAY_RUN)
    busy_before = harness.busy_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = measure_ours(folder / "ours", [1, *sizes], num_epochs, num_rounds)
        ray = measure_ray(folder / "ray", ray_sizes, ray_run, num_epochs, num_rounds)
    exponents = {command: growth(ours, command) for command in (*COMMANDS, REWRITE)}
    rows = {f"{command}, {size} trials": ours[size][command] for command in exponents for size in ours}
    rows |= {f"Ray's results, {size} trials": figures for size, figures in ray.items()}
    harness.print_figures("median (least to most)", rows, ["seconds", "peak bytes"])
    harness.print_figures("exponents", {"": exponents})
    report = {
        "num_epochs": num_epochs,
        "busy_cores_before": busy_before,
        "exponents": exponents,
        "ours": ours,
        "ray": ray,
    }
    print(harness.write_report("store_scale", "python benchmarks/store_scale.py", report, arguments.to))


if __name__ == "__main__":
    main()
