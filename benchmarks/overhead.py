"""What Ray, the ledger and the rest cost a trial: `python benchmarks/overhead.py [--rounds 3]`.

20 trials of one tiny epoch, two at a time, after start-up. The overhead of a trial is the wall time from the start of
the first trial to the end of the last, less half of the summed training and evaluation time (two run at a time),
divided by 20. The target is under 0.3 s.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, print_figures, summary, write_report
from benchmarks.sweeps import run_sweep

NUM_TRIALS, CONCURRENT = 20, 2
SPACE = f"""
name: overhead
defaults: {{model: resnet_preact_8, dataset: digits, epochs: 1, batch_size: 64, train_subset: 128, test_subset: 50}}
rows: [{{lr: 0.1}}]
repeats: {NUM_TRIALS}
"""


def measure() -> dict[str, float]:
    """Run one sweep in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "overhead.yaml"
        space.write_text(SPACE)
        rows = run_sweep(space, Path(folder), "--max-concurrent", str(CONCURRENT))
    if len(rows) != NUM_TRIALS:
        raise SystemExit(f"only {len(rows)} of {NUM_TRIALS} trials ended")
    ends = [row.end_time for row in rows if row.end_time is not None]
    wall_seconds = (max(ends) - min(row.start_time for row in rows)).total_seconds()
    training_seconds = sum(row.total_seconds for row in rows)
    return {
        "wall_seconds": wall_seconds,
        "training_seconds": training_seconds,
        "overhead_seconds_per_trial": (wall_seconds - training_seconds / CONCURRENT) / NUM_TRIALS,
    }


def main() -> None:
    arguments = option_parser(__doc__, rounds=3).parse_args()
    rounds = [measure() for _ in range(arguments.rounds)]
    overhead = summary([figures["overhead_seconds_per_trial"] for figures in rounds])
    print_figures("median (least to most)", {"overhead": {"seconds a trial": overhead}})
    report = {"median_overhead_seconds_per_trial": overhead["median"], "rounds": rounds}
    print(write_report("overhead", "python benchmarks/overhead.py", report, arguments.to))


if __name__ == "__main__":
    main()
