"""What one GPU gives, in under eight minutes: `python benchmarks/gpu.py --data DIR`.

Needs neither Ray nor a network. --data takes any folder that `tune_main.py run --data` takes; without it the images
are seeded noise of CIFAR-10's shape. Five sections, each in processes of its own and with a time limit of its own:

- speed: ResNet-preact-20, eager, in a CUDA graph, and compiled; training, evaluation, start-up, memory
- correctness: the graph's losses against the eager ones, resumed against uninterrupted, bit for bit
- precision: bf16, tf32, fp32 and fp16
- sharing: up to eight trials at once, without and with CUDA's Multi-Process Service
- limits: matrix products and copying, and the share of them that training reaches

From these follow the hours that the published tables would take. What there was no time for is named. The JSON is
written after every figure, so that an interrupted run keeps what it has. `--device cpu --quick` tries everything
that needs no GPU in under a minute.
"""

import argparse
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.on_gpu import tables  # noqa: E402
from benchmarks.on_gpu.bench import Bench, Job, Row, load_images  # noqa: E402
from benchmarks.on_gpu.conclusions import conclude, readme_line  # noqa: E402
from benchmarks.on_gpu.correctness import correctness  # noqa: E402
from benchmarks.on_gpu.effort import FULL, QUICK, Budget, Effort  # noqa: E402
from benchmarks.on_gpu.limits import limits  # noqa: E402
from benchmarks.on_gpu.sharing import sharing  # noqa: E402
from benchmarks.on_gpu.speed import precision, speed  # noqa: E402
from benchmarks.on_gpu.workers import Worker, WorkerError, environment  # noqa: E402
from benchmarks.report import FOLDER, write_report  # noqa: E402
from trainable.errors import UserError  # noqa: E402

InProcess = Callable[[Bench, Effort, Budget], Iterator[tuple[str, object]]]
IN_ONE_PROCESS: dict[str, InProcess] = {
    "speed": speed,
    "correctness": correctness,
    "precision": precision,
    "limits": limits,
}
SECTIONS = ("speed", "correctness", "precision", "sharing", "limits")
"""In order of importance."""
OVERRUN_SECONDS = 60.0
"""A section is ended by force when it is so much over its time."""


def main() -> None:
    signal.signal(signal.SIGTERM, _leave)
    arguments = _arguments()
    device_type = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    effort = QUICK if arguments.quick else FULL
    job = Job(device_type, arguments.data, effort.num_random)
    started = time.monotonic()
    try:
        report = Report(job, arguments)
    except UserError as error:
        print(f"gpu: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    with (
        tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True) as folder,
        environment({"TORCHINDUCTOR_CACHE_DIR": folder}),
    ):
        for name in arguments.only or SECTIONS:
            report.begin(name)
            budget = Budget(time.monotonic() + effort.section_seconds[name])
            try:
                for key, value in results(name, job, effort, budget):
                    report.keep(name, key, value)
            except WorkerError as error:
                report.keep(name, "failed", str(error))
    report.end(time.monotonic() - started)


def results(name: str, job: Job, effort: Effort, budget: Budget) -> Iterator[tuple[str, object]]:
    """The figures of a section, as (key, JSON value), from its processes.

    Raises:
        WorkerError: its process died, is silent, or the section failed; what it gave until then stands.
    """
    if name == "sharing":
        yield from sharing(job, effort, budget)
        return
    with Worker(job) as worker:
        yield "device", worker.started()
        worker.request(IN_ONE_PROCESS[name], effort, budget)
        yield from worker.answers(budget.left_seconds + OVERRUN_SECONDS)


class Report:
    """Everything measured so far, printed as it comes and kept in the JSON file."""

    def __init__(self, job: Job, arguments: argparse.Namespace) -> None:
        """
        Raises:
            UserError: a folder that holds no data set.
        """
        data = load_images(job)  # also decodes it, once, before its processes need it
        self.job = job
        self.folder: Path = arguments.to
        self.command = "python benchmarks/gpu.py" + "".join(
            f" {word}"
            for word, given in (("--data DIR", job.folder), ("--device cpu", job.device_type == "cpu"))
            if given
        )
        self.command += " --quick" if arguments.quick else ""
        self.command += f" --only {' '.join(arguments.only)}" if arguments.only else ""
        self.figures: Row = {
            "device": {"name": job.device_type},
            "data": {
                "name": data.name,
                "is_random": job.folder is None,
                "num_train": len(data.train_labels),
                "num_test": len(data.test_labels),
            },
            "is_quick": arguments.quick,
            "sections": {},
        }
        noise = " (seeded noise of CIFAR-10's shape: no --data)" if job.folder is None else ""
        print(f"data: {data.name}, {len(data.train_labels):,} and {len(data.test_labels):,}{noise}")

    def begin(self, section: str) -> None:
        print(f"{section}:", flush=True)
        self.figures["sections"][section] = {}
        self._began = time.monotonic()

    def keep(self, section: str, key: str, value: object) -> None:
        """Print a figure and write the file anew. Keys hold lists; that of the device is common to all sections."""
        if key == "device":
            self.figures["device"] = value
            return
        row = self.figures["sections"][section]
        row.setdefault(key, []).append(value)
        row["seconds"] = time.monotonic() - self._began
        print(tables.text(section, key, value), flush=True)
        self._write()

    def end(self, seconds: float) -> None:
        """Draw the conclusions."""
        self.figures["seconds"] = seconds
        conclusions = self._write()
        print(tables.conclusions(conclusions))
        print(f"measured in {seconds:.0f} s: {self.path}")
        print(readme_line(self.figures["device"], self.figures["sections"], conclusions))

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def name(self) -> str:
        slug = re.sub("[^a-z0-9]+", "-", str(self.figures["device"]["name"]).lower()).strip("-")
        return f"gpu-{slug}"

    def _write(self) -> Row:
        conclusions = conclude(self.figures["sections"], self.figures["device"].get("precision_auto", ""))
        line = readme_line(self.figures["device"], self.figures["sections"], conclusions)
        write_report(
            self.name, self.command, self.figures | {"conclusions": conclusions, "readme_line": line}, self.folder
        )
        return conclusions


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set (default: seeded noise)")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: a GPU where there is one")
    parser.add_argument("--quick", action="store_true", help="only enough to see that everything works")
    parser.add_argument("--to", type=Path, metavar="DIR", default=FOLDER, help="where the JSON goes")
    parser.add_argument("--only", nargs="+", metavar="SECTION", choices=SECTIONS, help=", ".join(SECTIONS))
    return parser.parse_args()


def _leave(signal_number: int, frame: FrameType | None) -> Any:  # noqa: ANN401 (it does not return)
    """As for Ctrl-C: the processes and the service are ended on the way out."""
    raise SystemExit(128 + signal_number)


if __name__ == "__main__":
    main()
