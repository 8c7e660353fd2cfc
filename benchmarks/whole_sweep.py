"""A whole sweep, this project against plain Ray Tune: `python benchmarks/whole_sweep.py [--rounds 3] [--quick]`.

The same 12 short trials on the same images (noise, written once in the layout that `--data` reads), two at a time
with one CPU each, whole processes from their start to their end: `python tune_main.py run SPACE`, and
benchmarks/plain_tune.py. Neither side finds anything in a cache that it would not find at its first run.
"""

import json
import math
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from benchmarks import harness
from benchmarks.images import noise, write_parquet
from benchmarks.store_scale import cost
from benchmarks.sweeps import run_sweep

CONCURRENT = 2
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


def run_ours(space: Path, data: Path, folder: Path) -> int:
    """Run the sweep through the command line; return the number of trials that ended."""
    options = ["--data", str(data), "--max-concurrent", str(CONCURRENT)]
    return len(run_sweep(space, folder, *options, settings=_settings(folder)))


def run_plain(space: Path, data: Path, folder: Path) -> int:
    """Run the sweep through Ray Tune alone; return the number of trials that ended."""
    answer = folder / "trials.json"
    cost("benchmarks/plain_tune.py", str(space), str(data), str(answer), str(CONCURRENT), settings=_settings(folder))
    num_epochs = yaml.safe_load(space.read_text())["defaults"]["epochs"]
    return sum(trial["epoch"] == num_epochs for trial in json.loads(answer.read_text()))


def wall_seconds(run_side: Callable[[Path, Path, Path], int], space: dict[str, Any], data: Path) -> float:
    """Time one side in a folder of its own; exit where a trial is missing: its time would count as saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{space['name']}.yaml"
        path.write_text(yaml.safe_dump(space))
        started = time.perf_counter()
        num_trials = run_side(path, data, Path(folder))
        seconds = time.perf_counter() - started
    wanted = math.prod(len(values) for values in space["grid"].values())
    if num_trials != wanted:
        raise SystemExit(f"only {num_trials} of {wanted} trials ended")
    return seconds


def _settings(folder: Path) -> dict[str, str]:
    """Return an environment in which a sweep finds nothing decoded and leaves nothing behind."""
    ray = {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    return ray | {"BATCHSCAPE_CACHE": str(folder / "cache")}


def main() -> None:
    arguments = harness.option_parser(__doc__, rounds=3, quick="two tiny trials, to see that it works").parse_args()
    space = QUICK_SPACE if arguments.quick else SPACE
    busy_before = harness.busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "noise"
        write_parquet(noise(space["defaults"]["train_subset"], space["defaults"]["test_subset"]), data)
        sides = {OURS: run_ours, PLAIN: run_plain}
        cases = {side: partial(wall_seconds, run_side, space, data) for side, run_side in sides.items()}
        seconds = harness.interleaved(arguments.rounds, cases)
    report = {side: harness.summary(rounds) for side, rounds in seconds.items()}
    report["plain / ours"] = harness.summary(harness.ratios(seconds[PLAIN], seconds[OURS]))
    harness.print_figures("median (least to most)", {"wall seconds": report})
    figures = {
        "space": space,
        "busy_cores_before": busy_before,
        "num_rounds": arguments.rounds,
        "figures": {"wall seconds": report},
    }
    command = f"python benchmarks/whole_sweep.py --rounds {arguments.rounds}"
    print(harness.write_report("whole_sweep", command, figures, arguments.to))


if __name__ == "__main__":
    main()
