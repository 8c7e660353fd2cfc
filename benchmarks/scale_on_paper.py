"""10,000 trials on 1,000 GPUs: `python benchmarks/scale_on_paper.py` works out the tables of deploy/SCALE.md.

Nothing is measured here. The figures come from benchmarks/results/ (measured on two CPU cores) and results/published/
(how long an epoch took on a GeForce GTX 1080 Ti). What is neither measured nor published is an assumption; each is a
constant below.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import RESULTS
from results.published.cells import published_cells
from sweep.observers.parquet_writer import MAX_SHARE
from trainable.data.sizes import IMAGE_SIZE, NUM_IMAGES
from trainable.ledger.remote_ledger import PUSH_SECONDS
from trainable.session import CHECKPOINT_SHARE

NUM_TRIALS, NUM_GPUS, NUM_EPOCHS = 10_000, 1_000, 200
GPUS_PER_NODE = 8  # assumption
PUT_SECONDS = 0.1  # assumption: latency of writing an object from a node to a bucket in its region
PUT_BYTES_PER_SECOND = 100e6  # assumption
PUTS_PER_SECOND = 3_500  # documented limit of Amazon S3 for each prefix at first; it adapts to more
DOLLARS_PER_PUT = 0.005 / 1000  # Amazon S3 Standard in us-east-1
LINK_BYTES_PER_SECOND = 10e9 / 8  # assumption: a node's network, 10 Gbit/s
FASTER = 10.0  # assumption: times that a GPU of today is faster than a GTX 1080 Ti
KINDS = ("planned", "search")
DRIVER_SECONDS = "driver's processor seconds a trial"
EPOCH_SECONDS = "driver's processor seconds an epoch"
PEAK_BYTES = "driver's peak bytes"


@dataclass(frozen=True, slots=True)
class Case:
    """A model on a GPU; an epoch is training and evaluation."""

    name: str
    epoch_seconds: float
    checkpoint_bytes: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of the driver and the store, from benchmarks/results/."""

    epoch_seconds: float
    """Driver's processor time for a reported epoch."""
    trial_seconds: float
    """Driver's processor time for a trial of one epoch, in the largest sweep measured."""
    driver_bytes: float
    """Peak resident memory with NUM_TRIALS trials of one epoch, on the line through the two largest sweeps."""
    epochs_bytes: float
    """Memory that the recorded epochs of NUM_TRIALS trials add."""
    trial_bytes: float
    """Bytes in the store for a trial of NUM_EPOCHS epochs."""
    trial_files: float
    parquet_bytes: float
    rewrite_seconds: float
    """Time to write both Parquet files with all trials."""
    checkpoint_bytes: float
    """Size of a checkpoint of ResNet-preact-20."""

    @classmethod
    def read(cls, folder: Path = RESULTS) -> "Measured":
        driver, store, checkpoint = (
            json.loads((folder / f"{name}.json").read_text())
            for name in ("driver_scale", "store_scale", "checkpoint_cost")
        )
        planned = driver["runs"]["planned"]
        small, large = sorted((int(size) for size in planned), reverse=True)[1::-1]
        below, above = (planned[str(size)][PEAK_BYTES]["median"] for size in (small, large))
        [few] = driver["runs"]["long"].values()
        kept = {int(size): figures for size, figures in store["ours"].items()}
        most = max(kept)
        peaks = {size: figures["run"]["peak bytes"]["median"] for size, figures in kept.items()}
        return cls(
            epoch_seconds=few[EPOCH_SECONDS]["median"],
            trial_seconds=planned[str(large)][DRIVER_SECONDS]["median"],
            driver_bytes=above + (above - below) / (large - small) * (NUM_TRIALS - large),
            epochs_bytes=(peaks[most] - peaks[1]) / (most - 1) * NUM_TRIALS,
            trial_bytes=kept[most]["trials"]["bytes"] / most,
            trial_files=kept[most]["trials"]["files"] / most,
            parquet_bytes=kept[most]["sweep"]["bytes"] / most * NUM_TRIALS,
            rewrite_seconds=kept[most]["rewrite"]["seconds"]["median"] / most * NUM_TRIALS,
            checkpoint_bytes=checkpoint["file_bytes"],
        )


def cases(measured: Measured) -> list[Case]:
    """List the published configurations at batch size 128, and one on a GPU that is FASTER."""
    small = _published_epoch_seconds("resnet_preact_20")
    deep = _published_epoch_seconds("resnet_preact_110")
    deep_bytes = measured.checkpoint_bytes * 110 / 20  # all but the same number of weights a layer
    return [
        Case("ResNet-preact-20, as published", small, measured.checkpoint_bytes),
        Case(f"ResNet-preact-20, {FASTER:g} times as fast", small / FASTER, measured.checkpoint_bytes),
        Case("ResNet-preact-110, as published", deep, deep_bytes),
    ]


def _published_epoch_seconds(model: str) -> float:
    """Return the time of an epoch in the first published run at batch size 128."""
    cell = next(found for found in published_cells() if found.model == model and found.batch_size == 128)
    return 60.0 * cell.minutes / cell.epochs


@dataclass(frozen=True, slots=True)
class Load:
    """What the sweep asks of driver and bucket; rates are per second."""

    wall_seconds: float
    epochs: float
    driver_share: float
    """Share of one core."""
    pushes: float
    checkpoints: float

    @property
    def puts(self) -> float:
        return self.pushes + self.checkpoints


def load_of(case: Case, measured: Measured, num_gpus: int = NUM_GPUS) -> Load:
    """Work out the load of a sweep with one trial on each GPU."""
    epochs = num_gpus / case.epoch_seconds
    trial_seconds = case.epoch_seconds * NUM_EPOCHS
    cost = PUT_SECONDS + case.checkpoint_bytes / PUT_BYTES_PER_SECOND
    checkpoints = num_gpus / max(case.epoch_seconds, cost / CHECKPOINT_SHARE)
    return Load(
        wall_seconds=NUM_TRIALS / num_gpus * trial_seconds,
        epochs=epochs,
        driver_share=epochs * measured.epoch_seconds + num_gpus / trial_seconds * measured.trial_seconds,
        pushes=num_gpus / max(case.epoch_seconds, PUSH_SECONDS) + checkpoints,  # which push the epochs first
        checkpoints=checkpoints,
    )


def rates_table(measured: Measured) -> list[str]:
    columns = {case.name: rates(case, load_of(case, measured)) for case in cases(measured)}
    names = list(next(iter(columns.values())))
    return _markdown(["", *columns], [(name, [column[name] for column in columns.values()]) for name in names])


def rates(case: Case, load: Load) -> dict[str, str]:
    """Return a column of the table of rates."""
    return {
        "an epoch": f"{case.epoch_seconds:.2g} s",
        "the whole sweep": f"{load.wall_seconds / 3600:.1f} h",
        "epochs reported to the driver, a second": f"{load.epochs:,.0f}",
        "of one core of the driver": f"{100 * load.driver_share:.0f} %",
        "checkpoints a second": f"{load.checkpoints:.0f}",
        "bytes of checkpoints a second": f"{load.checkpoints * case.checkpoint_bytes / 1e6:,.0f} MB",
        "objects written a second (S3: 3,500 a prefix)": f"{load.puts:.0f}",
        "what these writes cost in all": f"${load.puts * load.wall_seconds * DOLLARS_PER_PUT:,.0f}",
        "**GPUs at which the driver's core is full**": f"{NUM_GPUS / load.driver_share:,.0f}",
        "**GPUs at which S3's first limit is reached**": f"{NUM_GPUS * PUTS_PER_SECOND / load.puts:,.0f}",
    }


def totals_table(measured: Measured) -> list[str]:
    num_nodes = NUM_GPUS // GPUS_PER_NODE
    image_bytes = sum(NUM_IMAGES["cifar10"]) * IMAGE_SIZE**2 * 3
    interval = measured.rewrite_seconds / MAX_SHARE
    files, file_bytes = NUM_TRIALS * measured.trial_files, NUM_TRIALS * measured.trial_bytes
    rows = [
        ("trials' files in the store at the end", [f"{files:,.0f} files, {file_bytes / 1e6:,.0f} MB"]),
        ("the two Parquet files", [f"{measured.parquet_bytes / 1e6:,.0f} MB"]),
        (
            f"writing these anew, at most {100 * MAX_SHARE:.0f} % of the driver's time",
            [f"{measured.rewrite_seconds:.1f} s, at the end every {interval:.0f} s"],
        ),
        ("their upload to a bucket", [f"{measured.parquet_bytes / interval / 1e6:.0f} MB a second at the end"]),
        ("driver's memory, trials of one epoch", [f"{measured.driver_bytes / 2**30:.2f} GiB"]),
        (f"and {NUM_EPOCHS} epochs of each", [f"{measured.epochs_bytes / 2**30:.2f} GiB more"]),
        ("CIFAR-10 to every node, once", [f"{num_nodes} x {image_bytes / 1e6:.0f} MB"]),
        ("that, from one node alone, at 10 Gbit/s", [f"{num_nodes * image_bytes / LINK_BYTES_PER_SECOND:.0f} s"]),
    ]
    return _markdown(["", "10,000 trials on 1,000 GPUs"], rows)


def driver_table(folder: Path = RESULTS) -> list[str]:
    """Return the table of what benchmarks/driver_scale.py has measured."""
    report = json.loads((folder / "driver_scale.json").read_text())
    rows = []
    for kind in KINDS:
        for size, figures in report["runs"][kind].items():
            cells = [
                _spread(figures["seconds a trial"], ".1f", 1000),
                f"{1000 * figures[DRIVER_SECONDS]['median']:.1f}",
                f"{figures[PEAK_BYTES]['median'] / 2**20:,.0f} MiB",
                f"{figures['scratch']['bytes'] / 1e6:.1f} MB",
            ]
            rows.append((f"{kind}, {int(size):,} trials", cells))
    [few] = report["runs"]["long"].values()
    heading = ["", "ms a trial", "of these the driver's processor", "driver's memory at most"]
    heading.append("Tune's scratch folder")
    growth = [_spread(report["growth from 100 to 1000"][kind]["seconds a trial"], ".2f") for kind in KINDS]
    return [
        *_markdown(heading, rows),
        "",
        f"From 100 to 1,000 trials the time per trial grows {growth[0]} times (planned) and "
        f"{growth[1]} times (search).",
        f"Each reported epoch takes {1000 * few[EPOCH_SECONDS]['median']:.2f} ms of the driver's processor.",
    ]


def _spread(summary: Mapping[str, float], spec: str, factor: float = 1) -> str:
    median, least, most = (f"{factor * summary[key]:{spec}}" for key in ("median", "min", "max"))
    return f"{median} ({least} to {most})"


def _markdown(header: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    lines = [header, ["--"] * len(header), *([name, *cells] for name, cells in rows)]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    text[1] = "|:--|" + "--:|" * (len(header) - 1)
    return text


def tables() -> list[str]:
    """Return the tables as they stand in deploy/SCALE.md."""
    measured = Measured.read()
    return ["\n".join(table) for table in (rates_table(measured), totals_table(measured), driver_table())]


if __name__ == "__main__":
    print(*tables(), sep="\n\n")
