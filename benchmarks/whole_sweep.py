"""A whole sweep, this project against plain Ray Tune: `python benchmarks/whole_sweep.py [--rounds 3] [--quick]`.

The same 12 short trials on the same images (noise, written once in the layout that `--data` reads), two at a time
with one CPU each, whole processes from their start to their end: `python tune_main.py run SPACE`, and
benchmarks/plain_tune.py. Neither side finds anything in a cache that it would not find at its first run. The overhead
of a trial is the wall time less half of the summed training and evaluation (two run at a time), divided by the number
of trials: it contains start-up, shut-down and the wait for the last trial.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from benchmarks import harness
from benchmarks.images import noise, write_parquet
from benchmarks.sweeps import run, run_sweep

CONCURRENT = 2
TARGET = 2.5
"""Times that a sweep is to be faster than plain Ray Tune, by wall time."""
OURS, PLAIN = "ours", "plain Ray Tune"
SPACE: dict[str, Any] = {
    "name": "whole_sweep",
    "defaults": {"model": "resnet_preact_20", "epochs": 2, "train_subset": 1024, "test_subset": 500},
    "grid": {"batch_size": [32, 64, 128, 256], "lr": [0.05, 0.1, 0.2]},
}
QUICK_SPACE: dict[str, Any] = {
    "name": "whole_sweep",
    "defaults": {"model": "resnet_preact_8", "epochs": 1, "train_subset": 64, "test_subset": 32},
    "grid": {"batch_size": [32], "lr": [0.05, 0.1]},
}


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep took."""

    wall_seconds: float
    start_up_seconds: float
    """Time from the start of the process to that of the first trial's first epoch."""
    work_seconds: float
    """Training and evaluation of all trials together."""
    num_trials: int

    @property
    def overhead_seconds_per_trial(self) -> float:
        return (self.wall_seconds - self.work_seconds / CONCURRENT) / self.num_trials


FIGURES: dict[str, Callable[[Sweep], float]] = {
    "wall seconds": lambda sweep: sweep.wall_seconds,
    "seconds until the first epoch": lambda sweep: sweep.start_up_seconds,
    "training and evaluation, seconds a trial": lambda sweep: sweep.work_seconds / sweep.num_trials,
    "overhead, seconds a trial": lambda sweep: sweep.overhead_seconds_per_trial,
}


def run_ours(space: Path, data: Path, folder: Path) -> Sweep:
    """Run the sweep through the command line."""
    options = ["--data", str(data), "--max-concurrent", str(CONCURRENT)]
    started = time.time()
    rows = run_sweep(space, folder, *options, settings=_settings(folder))
    wall_seconds = time.time() - started
    first = min(row.start_time for row in rows).timestamp()
    return Sweep(wall_seconds, first - started, sum(row.total_seconds for row in rows), len(rows))


def run_plain(space: Path, data: Path, folder: Path) -> Sweep:
    """Run the sweep through Ray Tune alone."""
    answer = folder / "trials.json"
    options = [str(space), str(data), str(answer), str(CONCURRENT)]
    started = time.time()
    run("benchmarks/plain_tune.py", *options, settings=_settings(folder))
    wall_seconds = time.time() - started
    num_epochs = yaml.safe_load(space.read_text())["defaults"]["epochs"]
    trials = [trial for trial in json.loads(answer.read_text()) if trial["epoch"] == num_epochs]
    first = min(trial["start_time"] for trial in trials)
    return Sweep(wall_seconds, first - started, sum(trial["seconds"] for trial in trials), len(trials))


def measure(run_side: Callable[[Path, Path, Path], Sweep], space: dict[str, Any], data: Path) -> Sweep:
    """Run one side in a folder of its own; exit where a trial is missing: its time would count as saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{space['name']}.yaml"
        path.write_text(yaml.safe_dump(space))
        sweep = run_side(path, data, Path(folder))
    wanted = math.prod(len(values) for values in space["grid"].values())
    if sweep.num_trials != wanted:
        raise SystemExit(f"only {sweep.num_trials} of {wanted} trials ended")
    return sweep


def _settings(folder: Path) -> dict[str, str]:
    """Return an environment in which a sweep finds nothing decoded and leaves nothing behind."""
    ray = {"RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    return ray | {"BATCHSCAPE_CACHE": str(folder / "cache")}


def main() -> None:
    arguments = harness.option_parser(__doc__, rounds=3, quick="two tiny trials, to see that it works").parse_args()
    space = QUICK_SPACE if arguments.quick else SPACE
    busy_before = harness.busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "noise"
        write_parquet(noise(space["defaults"]["train_subset"], space["defaults"]["test_subset"]), data)
        sides = {OURS: run_ours, PLAIN: run_plain}
        cases = {side: partial(measure, run_side, space, data) for side, run_side in sides.items()}
        sweeps = harness.interleaved(arguments.rounds, cases)
    report: dict[str, dict[str, Any]] = {}
    for name, figure in FIGURES.items():
        values = {side: [figure(sweep) for sweep in rounds] for side, rounds in sweeps.items()}
        values["plain / ours"] = harness.ratios(values[PLAIN], values[OURS])
        report[name] = {side: harness.summary(rounds) for side, rounds in values.items()}
    title = f"{sweeps[OURS][0].num_trials} trials, median of {arguments.rounds} rounds (least to most)"
    harness.print_figures(title, report)
    print(f"target: {TARGET} times faster; others kept {busy_before:.1f} cores busy before it began")
    figures = {
        "space": space,
        "busy_cores_before": busy_before,
        "num_rounds": arguments.rounds,
        "target_times_faster": TARGET,
        "figures": report,
    }
    command = f"python benchmarks/whole_sweep.py --rounds {arguments.rounds}"
    print(harness.write_report("whole_sweep", command, figures, arguments.to))


if __name__ == "__main__":
    main()
