"""What one GPU gives, in a quarter of an hour: `python benchmarks/gpu.py --data DIR`.

Needs neither Ray nor a network, only torch and this checkout. `--data` takes any folder that `tune_main.py run
--data` takes; without it the images are noise of CIFAR-10's shape. Four sections:

- correctness: losses and weights of the captured step against the plain loop, and resumed against uninterrupted
- speed: images per second, start-up time and memory of ResNet-preact-20, eager, as a CUDA graph, and compiled
- precision: the same in bf16, tf32, fp32 and fp16
- sharing: up to eight trials at once, without and with CUDA's Multi-Process Service, and their memory

What there was no time for is named. The JSON file carries the device's name and is written after every measurement,
so an interrupted run keeps what it has. `--device cpu --quick` tries everything that needs no GPU.
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch

from benchmarks.crew import Crew
from benchmarks.gpu_process import COMPILED, EAGER, GRAPH, GpuJob, GpuProcess, Row, SpeedCase, Variant
from benchmarks.harness import option_parser, print_table, summary, write_report
from benchmarks.images import load_or_noise
from benchmarks.mps import MpsUnavailableError, check_clients, running_mps
from models.names import display_name
from trainable.errors import UserError

MODEL = "resnet_preact_20"
HEADLINE_BATCH_SIZE = 128
SECTIONS = {"correctness": 70, "speed": 370, "precision": 60, "sharing": 330}
"""Section -> seconds after which none of its measurements begins."""
CREW_ERRORS = (RuntimeError, EOFError, TimeoutError)
"""What a failed, dead or silent process raises."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    batch_sizes: tuple[int, ...] = (128, 8, 512, 32, 2048)
    """Batch sizes in order of importance: where time runs out, the last ones are left out."""
    deep_models: tuple[str, ...] = ("resnet_preact_110", "resnet_110")
    """Further models, measured at HEADLINE_BATCH_SIZE."""
    precision_batch_sizes: tuple[int, ...] = (128, 8, 2048)
    correctness: tuple[int, int, int] = (128, 100, 4)
    """Batch size, steps of an epoch, epochs."""
    num_steps: int = 400
    num_rounds: int = 5
    sharing_batch_sizes: tuple[int, ...] = (8, 32, 128, 512)
    num_processes: tuple[int, ...] = (1, 2, 4, 8)
    window_seconds: float = 2.0
    num_noise: tuple[int, int] = (50_000, 10_000)


QUICK = Effort((32, 8), (), (8,), (8, 2, 3), 2, 2, (8,), (1, 2), 0.3, (1000, 200))


class Report:
    """Everything measured so far, kept in the JSON file."""

    def __init__(self, folder: Path, command: str, data: Row) -> None:
        self._folder = folder
        self._command = command
        self.figures: Row = {"device": {"name": "unknown"}, "data": data, "sections": {}}
        self.path = folder

    def keep(self, section: str, key: str, value: object) -> None:
        """Add a value to a list of the section and write the file again."""
        self.figures["sections"].setdefault(section, {}).setdefault(key, []).append(value)
        if key != "cells":
            print(f"  {key.replace('_', ' ')}: {value}", flush=True)
        slug = re.sub("[^a-z0-9]+", "-", self.figures["device"]["name"].lower()).strip("-")
        self.figures["readme_line"] = readme_line(self.figures)
        self.path = write_report(f"gpu-{slug}", self._command, self.figures, self._folder)


def measure(job: GpuJob, effort: Effort, sections: list[str], report: Report) -> None:
    """Run the sections one after the other; failures are reported, and the death of a process ends its section."""
    for section in sections:
        print(f"{section}:", flush=True)
        deadline = time.monotonic() + SECTIONS[section]
        if section == "sharing":
            _measure_sharing(job, effort, deadline, report)
            continue
        try:
            with Crew(1, GpuProcess, job) as crew:
                [report.figures["device"]] = crew.ask("describe")
                for name, method, *arguments in _cases(section, effort, job.use_gpu):
                    if time.monotonic() > deadline:
                        report.keep(section, "left_out", name)
                        continue
                    print(f"  {name}", flush=True)
                    try:
                        [cell] = crew.ask(method, *arguments)
                    except RuntimeError as error:
                        report.keep(section, "failed", f"{name}: {_brief(error)}")
                    else:
                        report.keep(section, "cells", cell)
        except CREW_ERRORS as error:
            report.keep(section, "failed", _brief(error))


def _cases(section: str, effort: Effort, use_gpu: bool) -> Iterator[tuple[Any, ...]]:
    """Yield the measurements of a section: a name, the method of GpuProcess, its arguments."""
    if section == "correctness":
        yield from ((name, "correctness", name, *effort.correctness) for name in ("fp32", "bf16", "fp16"))
        return
    eager, graph, compiled = Variant("eager", EAGER), Variant("graph", GRAPH), Variant("compiled", COMPILED)
    formats = ("bf16", "tf32", "fp32", "fp16") if use_gpu else ("bf16", "fp32", "fp16")
    cases: list[tuple[str, int, tuple[Variant, ...]]] = []
    if section == "precision":
        ways = tuple(Variant(name, GRAPH, name) for name in formats)
        cases += [(MODEL, size, ways) for size in effort.precision_batch_sizes]
    else:
        cases += [(MODEL, size, (eager, graph)) for size in effort.batch_sizes]
        cases += [(model, HEADLINE_BATCH_SIZE, (graph,)) for model in effort.deep_models]
        cases += [(MODEL, size, (graph, compiled)) for size in effort.batch_sizes if use_gpu]
    for model, size, variants in cases:
        case = SpeedCase(model, size, variants, effort.num_steps, effort.num_rounds)
        yield str(case), "speed", case


def _measure_sharing(job: GpuJob, effort: Effort, deadline: float, report: Report) -> None:
    """Measure several trials at once, first without the Multi-Process Service, then with it."""
    half = time.monotonic() + (deadline - time.monotonic()) / 2
    for with_mps, end in ((False, half), (True, deadline)):
        if with_mps and not job.use_gpu:
            report.keep("sharing", "mps_unavailable", "the device is not a GPU")
            continue
        try:
            with running_mps() if with_mps else contextlib.nullcontext():
                for num_processes in effort.num_processes:
                    _share(job, effort, num_processes, with_mps, end, report)
        except MpsUnavailableError as error:
            report.keep("sharing", "mps_unavailable", str(error))


def _share(job: GpuJob, effort: Effort, num_processes: int, with_mps: bool, deadline: float, report: Report) -> None:
    """Measure one number of processes at every batch size."""
    name = f"{num_processes} at once, {'with' if with_mps else 'without'} MPS"
    if time.monotonic() > deadline:
        report.keep("sharing", "left_out", name)
        return
    try:
        with Crew(num_processes, GpuProcess, job) as crew:
            report.figures["device"] = crew.ask("describe")[0]
            if with_mps:
                check_clients()
            for size in effort.sharing_batch_sizes:
                if time.monotonic() > deadline:
                    report.keep("sharing", "left_out", f"{name}, batch {size}")
                    continue
                print(f"  {name}, batch {size}", flush=True)
                answers = crew.ask("shared", size, effort.num_steps, effort.window_seconds, effort.num_rounds)
                rates = zip(*(answer["images_per_second"] for answer in answers), strict=True)
                cell = {
                    "batch_size": size,
                    "num_processes": num_processes,
                    "mps": with_mps,
                    "images_per_second": summary([sum(rates_of_round) for rates_of_round in rates]),
                    "reserved_bytes_per_process": answers[0]["reserved_bytes"],
                    "device_used_bytes": answers[0]["device_used_bytes"],
                }
                report.keep("sharing", "cells", cell)
    except CREW_ERRORS as error:
        report.keep("sharing", "failed", f"{name}: {_brief(error)}")


def _brief(error: Exception) -> str:
    """Return the last line of a traceback, or what kind of error it was; the whole text goes to stderr."""
    print(error, file=sys.stderr)
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else f"{type(error).__name__}: the process ended"


def speed_ups_of_sharing(sections: Mapping[str, Row]) -> list[tuple[float, Row]]:
    """Return the median rate of several trials at once over that of one alone without the service, and its cell."""
    cells = sections.get("sharing", {}).get("cells", [])
    rates = {(cell["batch_size"], cell["num_processes"], cell["mps"]): cell["images_per_second"] for cell in cells}
    return [
        (cell["images_per_second"]["median"] / alone["median"], cell)
        for cell in cells
        if cell["num_processes"] > 1 and (alone := rates.get((cell["batch_size"], 1, False)))
    ]


def readme_line(figures: Mapping[str, Any]) -> str:
    """Sum the figures up in one sentence; what was not measured is missing from it."""
    device, sections = figures["device"], figures["sections"]
    cells = [cell for cell in sections.get("speed", {}).get("cells", []) if cell["model"] == MODEL]
    parts = []
    if trained := [cell for cell in cells if "graph" in cell["variants"]]:
        cell = min(trained, key=lambda cell: abs(cell["batch_size"] - HEADLINE_BATCH_SIZE))
        run = cell["variants"]["graph"]
        parts.append(
            f"{display_name(MODEL)} trains at {run['train_images_per_second']['median']:,.0f} images/s and is "
            f"evaluated at {run['eval_images_per_second']['median']:,.0f} (batch {cell['batch_size']}, "
            f"{device['precision_auto']})"
        )
    for pair in ("graph over eager", "compiled over graph"):
        if found := {cell["batch_size"]: cell["speed_up"][pair] for cell in cells if pair in cell["speed_up"]}:
            parts.append(f"{pair} " + ", ".join(f"x {found[size]['median']:.1f} at {size}" for size in sorted(found)))
    if speed_ups := speed_ups_of_sharing(sections):
        factor, cell = max(speed_ups, key=lambda pair: pair[0])
        parts.append(
            f"sharing x {factor:.1f} with {cell['num_processes']} trials at once at batch {cell['batch_size']} "
            f"({'with' if cell['mps'] else 'without'} MPS)"
        )
    return f"On one {device['name']}: " + ("; ".join(parts) or "nothing was measured") + "."


def print_tables(sections: Mapping[str, Row]) -> None:
    """Print every figure in a table for each section."""
    cells = {name: section.get("cells", []) for name, section in sections.items()}
    if correct := cells.get("correctness"):
        pairs = [
            name for name, value in correct[0].items() if isinstance(value, dict) and "losses_bit_equal" in value
        ]
        print_table(
            "losses and weights: largest differences, or equal bit for bit",
            ["precision", *pairs],
            [[cell["precision"], *(_difference_text(cell[pair]) for pair in pairs)] for cell in correct],
        )
    rows = [
        [
            f"{cell['model']}, batch {cell['batch_size']}, {name}",
            *(_rate(run[f"{half}_images_per_second"]) for half in ("train", "eval")),
            f"{run['start_up_seconds']:.1f}",
            _megabytes(run["peak_memory_bytes"]),
            "".join(f"{value['median']:.2f}" for pair, value in cell["speed_up"].items() if pair.startswith(name)),
        ]
        for section in ("speed", "precision")
        for cell in cells.get(section, [])
        for name, run in cell["variants"].items()
    ]
    if rows:
        columns = ["training", "images/s", "evaluated images/s", "start-up, s", "peak MB", "times the first"]
        print_table("images per second, median (least to most)", columns, rows)
    if shared := cells.get("sharing"):
        rows = [
            [
                f"batch {cell['batch_size']}, {cell['num_processes']} at once{', MPS' if cell['mps'] else ''}",
                _rate(cell["images_per_second"]),
                _megabytes(cell["reserved_bytes_per_process"]),
                _megabytes(cell["device_used_bytes"]),
            ]
            for cell in shared
        ]
        columns = ["trials that share the device", "images/s of all", "MB reserved by each", "MB used by all"]
        print_table("several trials at once", columns, rows)


def _difference_text(found: Row) -> str:
    if found["losses_bit_equal"] and found["weights_bit_equal"]:
        return "equal"
    loss = found["largest_loss_difference"]
    return f"{'not finite' if loss is None else f'{loss:.2g}'}, {found['largest_weight_difference']:.2g}"


def _rate(figure: Row) -> str:
    return f"{figure['median']:,.0f} ({figure['min']:,.0f} to {figure['max']:,.0f})"


def _megabytes(num_bytes: float | None) -> str:
    return "-" if num_bytes is None else f"{num_bytes / 1e6:,.0f}"


def main() -> None:
    signal.signal(signal.SIGTERM, _leave)
    parser = option_parser(__doc__, quick="only enough to see that everything works")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set (default: noise)")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: a GPU where there is one")
    parser.add_argument("--only", nargs="+", metavar="SECTION", choices=SECTIONS, help=", ".join(SECTIONS))
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else Effort()
    use_gpu = (arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")) == "cuda"
    job = GpuJob(use_gpu, arguments.data, effort.num_noise)
    started = time.monotonic()
    try:
        images = load_or_noise(job.folder, *job.num_noise)  # also decodes the data set before the processes need it
    except UserError as error:
        print(f"gpu: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    data = {"name": images.name, "num_train": len(images.train_labels), "num_test": len(images.test_labels)}
    report = Report(arguments.to, _command(arguments), data | {"is_quick": arguments.quick})
    with (
        tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": folder}),  # so that start-up times are honest
    ):
        measure(job, effort, arguments.only or list(SECTIONS), report)
    print_tables(report.figures["sections"])
    print(f"measured in {time.monotonic() - started:.0f} s: {report.path}")
    print(report.figures["readme_line"])


def _command(arguments: argparse.Namespace) -> str:
    parts = ["python benchmarks/gpu.py"]
    parts += ["--data DIR"] if arguments.data else []
    parts += [f"--device {arguments.device}"] if arguments.device else []
    parts += ["--quick"] if arguments.quick else []
    parts += [f"--only {' '.join(arguments.only)}"] if arguments.only else []
    return " ".join(parts)


def _leave(signal_number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C: processes and the service are stopped on the way out."""
    raise SystemExit(128 + signal_number)


if __name__ == "__main__":
    main()
