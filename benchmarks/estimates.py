"""How good estimates of a sweep's time are: `python benchmarks/estimates.py [--quick]`.

A few small sweeps of real trainings on the digits, one after the other in one store, whole processes. Then the time
of each is estimated without its own measurements, and compared with what it took:

- from all others: the speeds and start-up times of all other sweeps;
- from one other: each other sweep alone in turn, so most batch sizes are estimated from different ones;
- from a probe: steps timed in this process afterwards, with no sweep known at all.

The figures are truth / estimate, and the share of intervals that contain the truth.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from benchmarks import harness
from benchmarks.sweeps import run_sweep
from results.store.local_store import LocalStore
from sweep.estimate.estimate import estimate
from sweep.estimate.history import read_speeds
from sweep.estimate.speeds import DeviceProfile, RunOverhead, Speed
from sweep.estimate.wall_time import LEVEL, Interval
from sweep.estimate.work import TrialWork, trial_work
from sweep.runs import RunRecord, read_runs
from trainable.data.sizes import IMAGE_SIZE, NUM_IMAGES
from trainable.provenance import processor_name

CONCURRENT, DATASET = 2, "digits"
DEFAULTS: dict[str, Any] = {"model": "resnet_preact_8", "dataset": DATASET, "epochs": 2, "lr": 0.05}
BATCH_SIZES = ((16, 64, 256), (8, 32), (32, 128, 512), (16, 16, 16, 16), (64, 256), (8, 128), (32, 64, 128, 256))
"""Batch sizes of the trials of each sweep; equal trials differ in their seed."""
QUICK_DEFAULTS = {**DEFAULTS, "epochs": 1, "train_subset": 128, "test_subset": 50}
QUICK_BATCH_SIZES = ((16, 16), (16, 16))
ALL_OTHERS, ONE_OTHER, PROBE = "all others", "one other", "a probe"


@dataclass(frozen=True, slots=True)
class Sweep:
    """The work of one sweep, how fast it was, and what it took."""

    name: str
    works: list[TrialWork]
    record: RunRecord
    speeds: list[Speed]

    @property
    def overhead(self) -> RunOverhead:
        return RunOverhead(self.record.start_up_seconds or 0.0, self.record.between_seconds or 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An estimate and the truth."""

    sweep: str
    interval: Interval
    wall_seconds: float

    def as_json(self) -> dict[str, object]:
        interval = self.interval
        limits = {"median": interval.median_seconds, "low": interval.low_seconds, "high": interval.high_seconds}
        return dataclasses.asdict(self) | {"interval": limits}

    @property
    def ratio(self) -> float:
        return self.wall_seconds / self.interval.median_seconds

    @property
    def width(self) -> float:
        return self.interval.high_seconds / self.interval.low_seconds

    @property
    def is_inside(self) -> bool:
        return self.interval.low_seconds <= self.wall_seconds <= self.interval.high_seconds


def run_sweeps(defaults: dict[str, Any], batch_sizes: Sequence[Sequence[int]], store: LocalStore) -> list[Sweep]:
    """Run the sweeps one after the other, each with seeds of its own, so that no training is shared."""
    names = [f"sweep{number}" for number in range(len(batch_sizes))]
    for number, (name, sizes) in enumerate(zip(names, batch_sizes, strict=True)):
        space = store.path / f"{name}.yaml"
        rows = [{"batch_size": size, "seed": 100 * number + index} for index, size in enumerate(sizes)]
        space.write_text(yaml.safe_dump({"name": name, "defaults": defaults, "rows": rows}))
        run_sweep(space, store.path, "--max-concurrent", str(CONCURRENT))
        print(f"sweep {number + 1} of {len(names)} done", flush=True)
    speeds = read_speeds(store, {DATASET})
    sweeps = []
    for name in names:
        record = read_runs(store, name)[-1]
        trials = store.manifest(name).trials
        works = [trial_work(trial.config, trial.config.epochs, NUM_IMAGES[DATASET]) for trial in trials]
        sweeps.append(Sweep(name, works, record, [speed for speed in speeds if speed.run == record.run_id]))
    return sweeps


def judge(sweep: Sweep, speeds: Sequence[Speed], overheads: Sequence[RunOverhead], profile: DeviceProfile) -> Outcome:
    found = estimate(sweep.works, speeds, overheads, profile, [CONCURRENT])
    return Outcome(sweep.name, found.wall[CONCURRENT], sweep.record.wall_seconds)


def outcomes(sweeps: Sequence[Sweep], profile: DeviceProfile) -> dict[str, list[Outcome]]:
    """Return the estimates of each way of estimating."""
    judged: dict[str, list[Outcome]] = {ALL_OTHERS: [], ONE_OTHER: [], PROBE: []}
    probed = probe_all(sweeps, profile)
    for sweep in sweeps:
        others = [other for other in sweeps if other is not sweep]
        speeds = [speed for other in others for speed in other.speeds]
        judged[ALL_OTHERS].append(judge(sweep, speeds, [other.overhead for other in others], profile))
        judged[ONE_OTHER] += [judge(sweep, other.speeds, [other.overhead], profile) for other in others]
        judged[PROBE].append(judge(sweep, probed, [], profile))
    return judged


def probe_all(sweeps: Sequence[Sweep], profile: DeviceProfile) -> list[Speed]:
    from trainable.probe import probe

    cases = {(work.model, work.batch_size, work.precision) for sweep in sweeps for work in sweep.works}
    _, probes = probe(cases, profile.num_threads, IMAGE_SIZE)
    return [Speed(profile=profile, run="", **dataclasses.asdict(timed)) for timed in probes]


def main() -> None:
    arguments = harness.option_parser(__doc__, quick="two tiny sweeps, to see that it works").parse_args()
    defaults = QUICK_DEFAULTS if arguments.quick else DEFAULTS
    batch_sizes = QUICK_BATCH_SIZES if arguments.quick else BATCH_SIZES
    busy_before = harness.busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        sweeps = run_sweeps(defaults, batch_sizes, LocalStore(Path(folder)))
    judged = outcomes(sweeps, DeviceProfile(processor_name(), num_threads=1))
    report: dict[str, Any] = {}
    for way, estimates in judged.items():
        report[way] = {
            "num_estimates": len(estimates),
            "num_inside": sum(outcome.is_inside for outcome in estimates),
            "truth / estimate": harness.summary([outcome.ratio for outcome in estimates]),
            "high / low": harness.summary([outcome.width for outcome in estimates]),
            "estimates": [outcome.as_json() for outcome in estimates],
        }
    title = f"{len(sweeps)} sweeps; intervals of {LEVEL:.0%}, estimated from"
    harness.print_figures(title, report, ["num_estimates", "num_inside", "truth / estimate", "high / low"])
    figures = {
        "defaults": defaults,
        "batch_sizes": batch_sizes,
        "concurrent": CONCURRENT,
        "level": LEVEL,
        "busy_cores_before": busy_before,
        "runs": [dataclasses.asdict(sweep.record) for sweep in sweeps],
        "estimated from": report,
    }
    print(harness.write_report("estimates", "python benchmarks/estimates.py", figures, arguments.to))


if __name__ == "__main__":
    main()
