"""What one GPU gives, in a quarter of an hour: `python benchmarks/gpu.py --data DIR`.

Needs neither Ray nor a network, only torch and this checkout. `--data` takes any folder that `tune_main.py run
--data` takes; without it the images are noise of CIFAR-10's shape. Three sections:

- correctness: losses and weights of the captured step, and of a resumed training, against the plain loop
- speed: images per second, start-up time and memory, eager, as a CUDA graph, compiled, and in each number format
- sharing: up to eight trials at once, without and with CUDA's Multi-Process Service, and their memory

What there was no time for is named. The JSON file carries the device's name and is written after every measurement,
so an interrupted run keeps what it has. `--device cpu --quick` tries everything that needs no GPU.
"""

import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.crew import Crew
from benchmarks.gpu_process import GpuJob, GpuProcess, Row, Work
from benchmarks.harness import option_parser, print_figures, summary, write_report
from benchmarks.images import load_or_noise
from benchmarks.mps import MpsUnavailableError, check_clients, running_mps
from trainable.errors import UserError

SECTIONS = {"correctness": 70, "speed": 430, "sharing": 330}
"""Section -> seconds after which none of its measurements begins."""
CREW_ERRORS = (RuntimeError, EOFError, TimeoutError)
"""What a failed, dead or silent process raises."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    batch_sizes: tuple[int, ...] = (128, 8, 512, 32, 2048)
    """Batch sizes, the most important first: where time runs out, the last ones are left out."""
    format_batch_sizes: tuple[int, ...] = (128, 8)
    """Batch sizes at which number formats are compared."""
    correctness: Work = Work(128, 100, epochs=4)  # noqa: RUF009 (frozen)
    num_steps: int = 400
    num_rounds: int = 5
    sharing_batch_sizes: tuple[int, ...] = (8, 32, 128, 512)
    num_processes: tuple[int, ...] = (1, 2, 4, 8)
    window_seconds: float = 2.0
    num_noise: tuple[int, int] = (50_000, 10_000)


QUICK = Effort((32, 8), (8,), Work(8, 2, "resnet_preact_8", epochs=3), 2, 2, (8,), (1, 2), 0.1, (128, 20))


class Report:
    """Everything measured so far, kept in the JSON file."""

    def __init__(self, folder: Path, data: Row) -> None:
        self._folder = folder
        self.figures: Row = {"device": {"name": "unknown"}, "data": data, "sections": {}}
        self.path = folder

    def keep(self, section: str, key: str, value: object) -> None:
        """Add a value to a list of the section and write the file again."""
        self.figures["sections"].setdefault(section, {}).setdefault(key, []).append(value)
        if key != "cells":
            print(f"  {key.replace('_', ' ')}: {value}", flush=True)
        slug = re.sub("[^a-z0-9]+", "-", self.figures["device"]["name"].lower()).strip("-")
        self.path = write_report(f"gpu-{slug}", "python benchmarks/gpu.py", self.figures, self._folder)


def measure(section: str, job: GpuJob, effort: Effort, report: Report) -> None:
    """Measure correctness or speed in one process; a failed measurement is reported and the next one begins."""
    deadline = time.monotonic() + SECTIONS[section]
    try:
        with Crew(1, GpuProcess, job) as crew:
            [report.figures["device"]] = crew.ask("describe")
            for labels, method, *arguments in _cases(section, effort, job.use_gpu):
                name = ", ".join(map(str, labels.values()))
                if time.monotonic() > deadline:
                    report.keep(section, "left_out", name)
                    continue
                print(f"  {name}", flush=True)
                try:
                    [figures] = crew.ask(method, *arguments)
                except RuntimeError as error:
                    report.keep(section, "failed", f"{name}: {_last_line(error)}")
                else:
                    report.keep(section, "cells", labels | {"figures": figures})
    except CREW_ERRORS as error:
        report.keep(section, "failed", _last_line(error))


def _cases(section: str, effort: Effort, use_gpu: bool) -> Iterator[tuple[Any, ...]]:
    """Yield the measurements of a section: labels, the method of GpuProcess, its arguments."""
    formats = ("fp32", "bf16", "fp16")
    if section == "correctness":
        for name in formats:
            yield {"precision": name}, "correctness", replace(effort.correctness, precision=name)
        return
    works = [Work(size, effort.num_steps) for size in effort.batch_sizes]
    cases = [(work, {way: (work, way) for way in ("eager", "graph")}) for work in works]
    for work in (Work(size, effort.num_steps) for size in effort.format_batch_sizes):
        names = (*formats, "tf32") if use_gpu else formats
        cases.append((work, {name: (replace(work, precision=name), "graph") for name in names}))
    if use_gpu:  # last, since it takes longest
        cases += [(work, {way: (work, way) for way in ("graph", "compiled")}) for work in works]
    for work, variants in cases:
        labels = {"model": work.model, "batch_size": work.batch_size, "variants": "/".join(variants)}
        yield labels, "speed", variants, effort.num_rounds


def measure_sharing(job: GpuJob, effort: Effort, report: Report) -> None:
    """Measure several trials at once: first without the Multi-Process Service, then with it."""
    for with_mps in (False, True):
        deadline = time.monotonic() + SECTIONS["sharing"] / 2
        try:
            with running_mps(job.use_gpu) if with_mps else contextlib.nullcontext():
                for num_processes in effort.num_processes:
                    if time.monotonic() < deadline:
                        _share(job, effort, num_processes, with_mps, report)
                    else:
                        report.keep("sharing", "left_out", _sharing_name(num_processes, with_mps))
        except MpsUnavailableError as error:
            report.keep("sharing", "mps_unavailable", str(error))


def _share(job: GpuJob, effort: Effort, num_processes: int, with_mps: bool, report: Report) -> None:
    """Measure one number of processes at every batch size."""
    name = _sharing_name(num_processes, with_mps)
    print(f"  {name}", flush=True)
    try:
        with Crew(num_processes, GpuProcess, job) as crew:
            report.figures["device"] = crew.ask("describe")[0]
            if with_mps:
                check_clients()
            for size in effort.sharing_batch_sizes:
                work = Work(size, effort.num_steps)
                answers = crew.ask("shared", work, effort.window_seconds, effort.num_rounds)
                rates = zip(*(answer.pop("images_per_second") for answer in answers), strict=True)
                labels = {"batch_size": size, "num_processes": num_processes, "mps": with_mps}
                rate = summary([sum(rates_of_round) for rates_of_round in rates])
                report.keep("sharing", "cells", labels | {"images_per_second": rate} | answers[0])
    except CREW_ERRORS as error:
        report.keep("sharing", "failed", f"{name}: {_last_line(error)}")


def _sharing_name(num_processes: int, with_mps: bool) -> str:
    return f"{num_processes} at once, {'with' if with_mps else 'without'} MPS"


def _last_line(error: Exception) -> str:
    """Return the last line of a traceback, or what kind of error it was; the whole text goes to stderr."""
    print(error, file=sys.stderr)
    return str(error).strip().rpartition("\n")[2] or f"{type(error).__name__}: the process ended"


def print_tables(sections: Mapping[str, Row]) -> None:
    """Print every figure."""
    cells = {name: sections.get(name, {}).get("cells", []) for name in SECTIONS}
    rows = {
        f"{cell['precision']}, {name}": found
        for cell in cells["correctness"]
        for name, found in cell["figures"].items()
        if name != "losses"
    }
    print_figures("compared with the plain loop", rows)
    rows = {
        f"{cell['model']}, batch {cell['batch_size']}, {name} of {cell['variants']}": run
        for cell in cells["speed"]
        for name, run in cell["figures"].items()
    }
    columns = ["train_images_per_second", "eval_images_per_second", "times_the_first", "start_seconds", "peak_bytes"]
    print_figures("speed, median (least to most)", rows, columns)
    rows = {
        f"batch {cell['batch_size']}, {_sharing_name(cell['num_processes'], cell['mps'])}": cell
        for cell in cells["sharing"]
    }
    columns = ["images_per_second", "reserved_bytes", "device_used_bytes"]
    print_figures("trials that share the device: images per second of all, memory of each and of all", rows, columns)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # stops processes and the service
    parser = option_parser(__doc__, quick="only enough to see that everything works")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set (default: noise)")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: a GPU where there is one")
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else Effort()
    use_gpu = torch.cuda.is_available() if arguments.device is None else arguments.device == "cuda"
    job = GpuJob(use_gpu, arguments.data, effort.num_noise)
    started = time.monotonic()
    try:
        images = load_or_noise(job.folder, *job.num_noise)  # also decodes the data set before the processes need it
    except UserError as error:
        print(f"gpu: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    report = Report(arguments.to, {"name": images.name, "is_quick": arguments.quick})
    with (
        tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": folder}),  # so that start-up times are honest
    ):
        measure("correctness", job, effort, report)
        measure("speed", job, effort, report)
        measure_sharing(job, effort, report)
    print_tables(report.figures["sections"])
    print(f"measured in {time.monotonic() - started:.0f} s: {report.path}")


if __name__ == "__main__":
    main()
