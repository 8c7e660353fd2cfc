"""What the driver costs: `python benchmarks/driver_scale.py [--sizes 100 1000 5000] [--rounds 2] [--quick]`.

`tune_main.py run` as a user starts it, with trials that train nothing and record everything
(benchmarks/no_op_trials.py), two at a time: a planned sweep, and a search (random, without a scheduler). Each run is
a process of its own with a store of its own. Sizes up to 1000 are measured in interleaved rounds, the others
once. The time of a trial is the time from the end of the first trial to the end of the last, divided by the number of
trials between: Ray's start and end do not count. The two workers share the processor with the driver; the driver's
part is its processor time. `long` is a sweep of few trials of many epochs, which shows what a reported epoch costs.

Memory is the high-water mark of what is resident in the driver (VmHWM of proc(5)); Ray's own processes and workers do
not count. Files and bytes are those of the trials in the store at the end, and those of Tune's folder just before the
run deletes it.
"""

import argparse
import json
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
from benchmarks.sweeps import completed
from results.store.local_store import LocalStore

SIZES = (100, 1000, 5000)
REPEATED = 1000
"""Largest size that is measured in every round."""
LONG_TRIALS, LONG_EPOCHS = 20, 100
CONCURRENT = 2
TOLD = "told.json"
"""File beside the space in which the driver's own process leaves its figures."""
TARGETS = {"time a trial, 1000 against 100 trials": 1.5, "driver's peak bytes": 1.5 * 2**30}
PLANNED, SEARCH, LONG = KINDS = ("planned", "search", "long")
SPACES = {
    PLANNED: "name: planned\ndefaults: {{dataset: digits, epochs: {epochs}}}\ngrid: {{lr: {rates}}}\n",
    SEARCH: "name: search\ndefaults: {{dataset: digits, epochs: {epochs}}}\n"
    "search: {{algorithm: random, num_trials: {trials}}}\n"
    "parameters: {{lr: {{min: 0.001, max: 1.0, distribution: log_uniform_values}}}}\n",
}
SPACES[LONG] = SPACES[PLANNED].replace(PLANNED, LONG)


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
        output = cost(str(Path(__file__)), "--drive", str(space)).output
        figures: dict[str, Any] = json.loads((folder / TOLD).read_text())
        store = folder / "store"
        ends = sorted(row.end_time.timestamp() for row in completed(store, case.kind) if row.end_time)
        if len(ends) != case.num_trials:
            raise SystemExit(f"{len(ends)} of {case.num_trials} trials are complete: {output}")
        seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
        return figures | {"seconds a trial": seconds, "trials": footprint(LocalStore(store).trials_folder)}


def drive(space: Path) -> int:
    """Do what the driver's own process does: `tune_main.py run SPACE` with trials that train nothing."""
    import torch
    from ray import cloudpickle

    import tune_main
    from benchmarks import finished_sweep, no_op_trials
    from sweep.driver import tune_run
    from trainable.device import peak_memory_bytes

    for module in (no_op_trials, finished_sweep):
        cloudpickle.register_pickle_by_value(module)  # workers have `models` and `trainable` only
    fit = tune_run._fit
    figures: dict[str, Any] = {}

    def measured(context: tune_run.SweepContext, *rest: Any, **named: Any) -> None:  # noqa: ANN401
        cpu_before = time.process_time()
        fit(context, *rest, **named)
        figures["driver's processor seconds"] = time.process_time() - cpu_before
        [experiment] = context.cluster.guard.scratch.glob("tune-*")
        figures["scratch"] = footprint(experiment)

    with (
        mock.patch.object(tune_run, "TrainingTrainable", no_op_trials.NoOpTrainable),
        mock.patch.object(tune_run, "_fit", measured),
    ):
        options = ["--store", str(space.parent / "store"), "--max-concurrent", str(CONCURRENT)]
        status = tune_main.main(["run", str(space), *options])
    figures["driver's peak bytes"] = peak_memory_bytes(torch.device("cpu"))
    (space.parent / TOLD).write_text(json.dumps(figures))
    return status


def case_figures(case: Case, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return medians and spreads over the rounds, and the footprints of the last."""
    cpu_seconds = [figures["driver's processor seconds"] for figures in rounds]
    num_epochs = case.num_trials * case.num_epochs
    return {
        "trials of the sweep": case.num_trials,
        "epochs a trial": case.num_epochs,
        "seconds a trial": harness.summary([run["seconds a trial"] for run in rounds]),
        "driver's peak bytes": harness.summary([run["driver's peak bytes"] for run in rounds]),
        "driver's processor seconds a trial": harness.summary([seconds / case.num_trials for seconds in cpu_seconds]),
        "driver's processor seconds an epoch": harness.summary([seconds / num_epochs for seconds in cpu_seconds]),
        "trials": rounds[-1]["trials"],
        "scratch": rounds[-1]["scratch"],
    }


def growth(measured: Mapping[Case, Sequence[Mapping[str, Any]]], kind: str) -> dict[str, Any] | None:
    """Return the growth of the time per trial from 100 to 1000 trials; None where one of these was not measured."""
    name = "seconds a trial"
    seconds = {case.num_trials: [run[name] for run in runs] for case, runs in measured.items() if case.kind == kind}
    if not {100, 1000} <= seconds.keys():
        return None
    return {name: harness.summary(harness.ratios(seconds[1000], seconds[100]))}


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=2, quick="a search of 12 trials, to see that it works")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="default: 100 1000 5000")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive is not None:
        sys.exit(drive(arguments.drive))
    busy_before = harness.busy_cores()
    cases = [Case(kind, size) for size in arguments.sizes for kind in (PLANNED, SEARCH)]
    cases.append(Case(LONG, LONG_TRIALS, LONG_EPOCHS))
    if arguments.quick:
        cases, arguments.rounds = [Case(SEARCH, 12)], 1
    small = {case: (lambda case=case: measure(case)) for case in cases if case.num_trials <= REPEATED}
    large = {case: (lambda case=case: measure(case)) for case in cases if case not in small}
    measured = harness.interleaved(arguments.rounds, small) | harness.interleaved(1, large)
    figures: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for case, rounds in measured.items():
        figures[case.kind][str(case.num_trials)] = case_figures(case, rounds)
    rows = {f"{kind} {size}": run for kind, runs in figures.items() for size, run in runs.items()}
    columns = ["seconds a trial", "driver's processor seconds a trial", "driver's peak bytes"]
    harness.print_figures("median (least to most)", rows, columns)
    report = {
        "num_rounds": arguments.rounds,
        "concurrent": CONCURRENT,
        "busy_cores_before": busy_before,
        "targets": TARGETS,
        "growth from 100 to 1000": {kind: growth(measured, kind) for kind in (PLANNED, SEARCH)},
        "runs": figures,
    }
    print(harness.write_report("driver_scale", "python benchmarks/driver_scale.py", report, arguments.to))


if __name__ == "__main__":
    main()
