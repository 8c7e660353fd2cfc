"""What the driver costs: `python benchmarks/driver_scale.py [--sizes 100 1000 5000] [--rounds 2] [--quick]`.

`tune_main.py run` as a user starts it, with trials that train nothing and record everything
(benchmarks/no_op_trials.py), two at a time: a planned sweep, and a search (random, without a scheduler). Each run is
a process of its own with a store of its own. Sizes up to 1000 are measured in interleaved rounds, the others
once. The time of a trial is the time from the end of the first trial to the end of the last, divided by the number of
trials between: Ray's start and end do not count. The two workers share the processor with the driver; the driver's
part is its processor time. `long` is a sweep of few trials of many epochs, which shows what a reported epoch costs.

Memory is the high-water mark of what is resident (VmHWM of proc(5)), separately for the driver and for Ray's own
processes; workers do not count. Files and bytes are those of the store at the end, and those of Tune's folder just
before the run deletes it.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.store_scale import cost, footprint
from results.parquet.files import read_trials
from results.parquet.trials import trials_from_table
from results.store.local_store import LocalStore
from trainable.records import Status

SIZES = (100, 1000, 5000)
REPEATED = 1000
"""Largest size that is measured in every round."""
LONG_TRIALS, LONG_EPOCHS = 20, 100
CONCURRENT = 2
NUM_PARTS = 10
"""Number of parts of a run, in the order of its trials' ends, that show whether it slows down."""
TARGETS = {"time a trial, 1000 against 100 trials": 1.5, "driver's peak bytes": 1.5 * 2**30}
PLANNED, SEARCH, LONG = KINDS = ("planned", "search", "long")
SPACES = {
    PLANNED: "name: planned\ndefaults: {{dataset: digits, epochs: {epochs}}}\ngrid: {{lr: {rates}}}\n",
    SEARCH: "name: search\ndefaults: {{dataset: digits, epochs: {epochs}}}\n"
    "search: {{algorithm: random, num_trials: {trials}}}\n"
    "parameters: {{lr: {{min: 0.001, max: 1.0, distribution: log_uniform_values}}}}\n",
}
SPACES[LONG] = SPACES[PLANNED].replace(PLANNED, LONG)
RAY_PROCESSES = ("gcs_server", "raylet")


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the driver."""

    kind: str
    num_trials: int
    num_epochs: int = 1

    def space(self) -> str:
        """Return the space as YAML."""
        rates = [number / 10_000 for number in range(1, self.num_trials + 1)]
        return SPACES[self.kind].format(epochs=self.num_epochs, trials=self.num_trials, rates=rates)


def measure(case: Case) -> dict[str, Any]:
    """Run the driver in a process of its own; exit where it fails or a trial is missing from its results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        space = folder / f"{case.kind}.yaml"
        space.write_text(case.space())
        told = folder / "told.json"
        started = time.time()
        whole = cost(str(Path(__file__)), "--drive", str(space), "--told", str(told))
        figures: dict[str, Any] = json.loads(told.read_text())
        store = LocalStore(folder / "store")
        rows = [trial.row for trial in trials_from_table(read_trials(store, case.kind))]
        ends = sorted(row.end_time.timestamp() for row in rows if row.end_time and row.status == Status.COMPLETE)
        if len(ends) != case.num_trials:
            raise SystemExit(f"{len(ends)} of {case.num_trials} trials are complete: {whole.output}")
        return figures | {
            "seconds": whole.seconds,
            "seconds until the first trial's end": ends[0] - started,
            "seconds a trial": (ends[-1] - ends[0]) / (len(ends) - 1),
            "seconds a trial, by parts": by_parts(ends),
            "trials": footprint(store.trials_folder),
            "sweep": footprint(store.sweep_folder(case.kind)),
        }


def by_parts(ends: Sequence[float]) -> list[float]:
    """Return the seconds per trial in each of NUM_PARTS equal parts of a run, from the sorted ends of its trials."""
    cuts = [round(part * (len(ends) - 1) / NUM_PARTS) for part in range(NUM_PARTS + 1)]
    pairs = [(first, last) for first, last in itertools.pairwise(cuts) if last > first]
    return [(ends[last] - ends[first]) / (last - first) for first, last in pairs]


def drive(space: Path, told: Path) -> int:
    """Do what the driver's own process does: `tune_main.py run SPACE` with trials that train nothing."""
    from ray import cloudpickle

    import tune_main
    from benchmarks import no_op_trials
    from sweep.driver import tune_run

    cloudpickle.register_pickle_by_value(no_op_trials)  # workers have `models` and `trainable` only
    fit = tune_run._fit
    figures: dict[str, Any] = {}

    def measured(context: tune_run.SweepContext, *rest: Any, **named: Any) -> None:  # noqa: ANN401
        before, cpu_before = time.perf_counter(), _cpu_seconds()
        fit(context, *rest, **named)
        figures["seconds of Tune"] = time.perf_counter() - before
        figures["driver's processor seconds"] = _cpu_seconds() - cpu_before
        [experiment] = context.cluster.scratch.glob("tune-*")
        figures["scratch"] = footprint(experiment)
        figures["Ray's peak bytes"] = _peak_bytes_of_ray()

    with (
        mock.patch.object(tune_run, "TrainingTrainable", no_op_trials.NoOpTrainable),
        mock.patch.object(tune_run, "_fit", measured),
    ):
        options = ["--store", str(space.parent / "store"), "--max-concurrent", str(CONCURRENT)]
        status = tune_main.main(["run", str(space), *options])
    figures["driver's peak bytes"] = _peak_bytes("self")
    told.write_text(json.dumps(figures))
    return status


def _cpu_seconds() -> float:
    """Return the processor time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_bytes(process: int | str) -> int:
    """Return the peak of the resident memory since the program was started; unlike ru_maxrss without its parent's."""
    status = Path(f"/proc/{process}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _peak_bytes_of_ray() -> dict[str, int]:
    """Return the peaks of Ray's own processes that this process has started."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            name, _, fields = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            if folder.name.isdecimal() and int(fields.split()[1]) == os.getpid() and name in RAY_PROCESSES:
                found[name] = _peak_bytes(folder.name)
        except OSError:  # no process, or one that has just ended
            continue
    return found


def case_figures(case: Case, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return medians and spreads over the rounds, and the footprints of the last."""
    cpu_seconds = [figures["driver's processor seconds"] for figures in rounds]
    num_epochs = case.num_trials * case.num_epochs
    summed = ("seconds", "seconds until the first trial's end", "seconds a trial", "driver's peak bytes")
    parts = zip(*(figures["seconds a trial, by parts"] for figures in rounds), strict=True)
    return {
        "trials of the sweep": case.num_trials,
        "epochs a trial": case.num_epochs,
        **{name: harness.summary([figures[name] for figures in rounds]) for name in summed},
        "driver's processor seconds a trial": harness.summary([seconds / case.num_trials for seconds in cpu_seconds]),
        "driver's processor seconds an epoch": harness.summary([seconds / num_epochs for seconds in cpu_seconds]),
        "seconds a trial, by parts": [statistics.median(part) for part in parts],
        **{name: rounds[-1][name] for name in ("Ray's peak bytes", "trials", "sweep", "scratch")},
    }


def growth(measured: Mapping[Case, Sequence[Mapping[str, Any]]], kind: str) -> dict[str, Any] | None:
    """Return the growth of the time per trial from 100 to 1000 trials; None where one of these was not measured."""
    sizes = {case.num_trials: rounds for case, rounds in measured.items() if case.kind == kind}
    if not {100, 1000} <= sizes.keys():
        return None
    times, cpu = "seconds a trial", "driver's processor seconds"
    small, large = ([(run[times], run[cpu] / size) for run in sizes[size]] for size in (100, 1000))
    rounds = [(above[0] / below[0], above[1] / below[1]) for above, below in zip(large, small, strict=True)]
    by_time, by_cpu = zip(*rounds, strict=True)
    return {times: harness.summary(by_time), f"{cpu} a trial": harness.summary(by_cpu)}


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=2, quick="a search of 12 trials, to see that it works")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="default: 100 1000 5000")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--told", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive is not None:
        sys.exit(drive(arguments.drive, arguments.told))
    if arguments.quick:
        arguments.sizes, arguments.kinds, arguments.rounds = [12], [SEARCH], 1
    busy_before = harness.busy_cores()
    cases = [Case(kind, size) for size in arguments.sizes for kind in arguments.kinds if kind != LONG]
    if LONG in arguments.kinds:
        cases.append(Case(LONG, LONG_TRIALS, LONG_EPOCHS))
    small = {case: (lambda case=case: measure(case)) for case in cases if case.num_trials <= REPEATED}
    large = {case: (lambda case=case: measure(case)) for case in cases if case not in small}
    measured = harness.interleaved(arguments.rounds, small) | harness.interleaved(1, large)
    figures: dict[str, dict[str, Any]] = {kind: {} for kind in arguments.kinds}
    for case, rounds in measured.items():
        figures[case.kind][str(case.num_trials)] = case_figures(case, rounds)
    rows = {f"{kind} {size}": run for kind, runs in figures.items() for size, run in runs.items()}
    columns = ["seconds a trial", "driver's processor seconds a trial", "seconds a trial, by parts"]
    harness.print_figures("", rows, [*columns, "driver's peak bytes"])
    report = {
        "num_rounds": arguments.rounds,
        "concurrent": CONCURRENT,
        "busy_cores_before": busy_before,
        "targets": TARGETS,
        "growth from 100 to 1000": {kind: growth(measured, kind) for kind in arguments.kinds if kind != LONG},
        "runs": figures,
    }
    print(harness.write_report("driver_scale", "python benchmarks/driver_scale.py", report, arguments.to))


if __name__ == "__main__":
    main()
