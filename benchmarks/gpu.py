"""What one GPU gives, in eleven minutes: `python benchmarks/gpu.py --data DIR`.

Needs neither Ray nor a network, only torch and this checkout. `--data` takes any folder that `tune_main.py run
--data` takes; without it the images are noise of CIFAR-10's shape. Its sections, each in processes of its own:

- tests: graphs give the bits of the plain loop, memory does not grow, and what fails does so loudly
- speed: eager, as a CUDA graph, compiled, and the strong loop of benchmarks/strong_loop.py
- profiler: kernels of a step, busy share, gaps
- together: up to 16 trainings at once, as streams, as processes, and under CUDA's Multi-Process Service
- switches: what cuDNN's settings, number formats, memory format, graph and evaluation sizes gain or cost
- machine: convolutions alone, matrix products, copies, launches, clocks (which are only read)
- formats: ten real epochs in bf16, fp16 and fp32

A section that has used up its seconds is ended, and what there was no time for is named. The JSON file carries the
device's name and is written after every measurement, so an interrupted run keeps what it has. `--tell FILE` prints a
report as Markdown. `--device cpu --quick` tries everything without a GPU.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler says on stderr when it begins and ends

import torch

from benchmarks import gpu_machine, gpu_profile, gpu_speed, gpu_tests, gpu_together
from benchmarks.gpu_process import Case, GpuJob, Keep, Row, Work, describe, run_lanes
from benchmarks.gpu_tell import markdown
from benchmarks.harness import option_parser, write_report
from benchmarks.images import load_or_noise
from trainable.errors import UserError

SECTIONS = {"tests": 60, "speed": 120, "profiler": 60, "together": 180, "switches": 90, "machine": 60, "formats": 60}
"""Section -> its seconds; what one leaves, the next may use."""
TOTAL_SECONDS = 660
COMPILER = {"TORCHINDUCTOR_COMPILE_THREADS": "4"}
"""Fewer compiling processes than torch would start for each of several trainings."""
START_SECONDS = 60.0
"""Longest wait for the device."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. Of batch sizes and works the most important comes first: the last may be left out."""

    test: Work = Work(128, 50, epochs=2)  # noqa: RUF009 (frozen)
    num_trainings: int = 20
    speed: tuple[Work, ...] = tuple(Work(size, 200) for size in (128, 8, 512, 32))
    num_rounds: int = 3
    profile: tuple[Work, ...] = tuple(Work(size, 64, num_test=1) for size in (128, 8))
    joint: gpu_together.Joint = gpu_together.Joint(  # noqa: RUF009 (frozen)
        tuple(Work(size, 160) for size in (128, 8, 32, 512)), (1, 2, 4, 8, 16), 1.2
    )
    switches: tuple[Work, ...] = (Work(128, 200, num_test=10_000), Work(8, 400, num_test=10_000))
    num_switches: int = len(gpu_speed.SWITCHES)
    matrix_sizes: tuple[int, ...] = (4096, 8192)
    copy_bytes: int = 2**31
    formats: tuple[str, ...] = ("bf16", "fp16", "fp32")
    real: Work = Work(128, 10**6, epochs=10)  # noqa: RUF009 (frozen)
    num_noise: tuple[int, int] = (50_000, 10_000)


SMALL = Work(8, 2, "resnet_preact_8", epochs=2)
QUICK = Effort(
    test=SMALL,
    num_trainings=2,
    speed=(Work(8, 2, "resnet_preact_8"),),
    num_rounds=2,
    profile=(Work(8, 2, "resnet_preact_8", num_test=1),),
    joint=gpu_together.Joint((Work(8, 2, "resnet_preact_8"),), (1, 2), 0.1),
    switches=(Work(8, 2, "resnet_preact_8"),),
    matrix_sizes=(64,),
    copy_bytes=2**20,
    formats=("bf16",),
    real=SMALL,
    num_noise=(128, 20),
)


class Report:
    """Everything measured so far, kept in the JSON file."""

    def __init__(self, folder: Path, data: Row) -> None:
        self._folder = folder
        self.figures: Row = {"device": {"name": "unknown"}, "data": data, "sections": {}}
        self.path = folder

    def keep(self, section: str, key: str, value: object) -> None:
        """Add a value to a list of the section and write the file again."""
        self.figures["sections"].setdefault(section, {}).setdefault(key, []).append(value)
        print(f"  {key.replace('_', ' ')}: {_short(value)}", flush=True)
        self.write()

    def write(self) -> None:
        """Write the file."""
        slug = re.sub("[^a-z0-9]+", "-", self.figures["device"]["name"].lower()).strip("-")
        self.path = write_report(f"gpu-{slug}", "python benchmarks/gpu.py", self.figures, self._folder)


def _short(value: object) -> str:
    """Name a measurement: its labels come first and are no lists."""
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{key} {part}" for key, part in value.items() if not isinstance(part, dict | list))


@dataclass(frozen=True, slots=True)
class Run:
    """What every section is told."""

    job: GpuJob
    effort: Effort
    is_gpu: bool
    memory_bytes: int | None

    def section(self, name: str, seconds: float, keep: Keep) -> None:
        """Measure a section in so many seconds."""
        deadline = time.monotonic() + seconds
        if name == "together":
            self._together(seconds, keep)
        else:
            run_lanes(self.job, self.lanes(name), deadline, keep)

    def lanes(self, name: str) -> Sequence[Sequence[Case]]:
        """List the measurements of a section, for processes that run side by side."""
        effort, is_gpu = self.effort, self.is_gpu
        sizes = tuple(work.batch_size for work in effort.speed)
        makers: dict[str, Callable[[], Sequence[Sequence[Case]]]] = {
            "tests": lambda: gpu_tests.lanes(effort.test, effort.num_trainings, sizes, is_gpu),
            "speed": lambda: [gpu_speed.speed_cases(effort.speed, effort.num_rounds, is_gpu)],
            "profiler": lambda: [gpu_profile.profile_cases(effort.profile, is_gpu)],
            "switches": lambda: [
                gpu_speed.switch_cases(effort.switches, effort.num_rounds, is_gpu, effort.num_switches)
            ],
            "machine": lambda: [
                gpu_machine.machine_cases(effort.speed[0].model, sizes, effort.matrix_sizes, effort.copy_bytes)
            ],
            "formats": lambda: [gpu_speed.format_cases(effort.real, effort.formats)],
        }
        return makers[name]()

    def _together(self, seconds: float, keep: Keep) -> None:
        """Share the seconds between the three ways; what one leaves, the next may use."""
        joint = gpu_together.fitting(self.effort.joint, self.memory_bytes)
        started = time.monotonic()
        run_lanes(self.job, [gpu_together.stream_cases(joint)], started + seconds / 3, keep)
        gpu_together.measure_processes(self.job, joint, started + 2 * seconds / 3, keep)
        gpu_together.measure_mps(self.job, joint, started + seconds, keep, use_gpu=self.is_gpu)


def measure(job: GpuJob, effort: Effort, report: Report, sections: Sequence[str], seconds: float) -> None:
    """Measure some sections, which together take so many seconds where all would take TOTAL_SECONDS."""
    deadline = time.monotonic()
    failures: list[Any] = []

    def keep_device(key: str, value: Row) -> None:
        if key == "cells":
            report.figures["device"] = value
        else:
            failures.append(value)

    run_lanes(job, [[Case({}, describe, (), START_SECONDS)]], deadline + START_SECONDS, keep_device)
    if failures:
        print(f"gpu: the device cannot be used{failures[0]}", file=sys.stderr)
        raise SystemExit(2)
    report.write()
    device = report.figures["device"]
    run = Run(job, effort, device["is_gpu"], device.get("memory_bytes"))
    for name, budget in SECTIONS.items():
        if name not in sections:
            continue
        deadline += budget * seconds / TOTAL_SECONDS
        left = deadline - time.monotonic()
        print(f"{name} (at most {left:.0f} s)", flush=True)
        run.section(name, left, partial(report.keep, name))


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    made = option_parser(__doc__, quick="only enough to see that everything works")
    made.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set (default: noise)")
    made.add_argument("--device", choices=("cuda", "cpu"), help="default: a GPU where there is one")
    made.add_argument("--sections", nargs="+", choices=SECTIONS, default=[*SECTIONS], help="default: all of them")
    made.add_argument(
        "--seconds",
        type=float,
        default=TOTAL_SECONDS,
        metavar="N",
        help=f"for all sections, default: {TOTAL_SECONDS}",
    )
    made.add_argument("--start-method", choices=("fork", "spawn"), default="fork", help="how processes start")
    made.add_argument("--tell", type=Path, metavar="FILE", help="print this JSON file as Markdown and end")
    return made


def main() -> None:
    arguments = parser().parse_args()
    if arguments.tell is not None:
        print(markdown(json.loads(arguments.tell.read_text())))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # stops processes and the service
    started = time.monotonic()
    torch.set_num_threads(1)  # no threads that a fork would lose
    effort = QUICK if arguments.quick else Effort()
    try:
        images = load_or_noise(arguments.data, *effort.num_noise)
    except UserError as error:
        print(f"gpu: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    job = GpuJob(None if arguments.device is None else arguments.device == "cuda", images, arguments.start_method)
    report = Report(arguments.to, {"name": images.name, "is_quick": arguments.quick})
    with (
        tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": folder} | COMPILER),  # so that starts are cold
    ):
        measure(job, effort, report, arguments.sections, arguments.seconds)
    report.figures["seconds"] = time.monotonic() - started
    report.write()
    print(markdown(json.loads(report.path.read_text())))
    print(f"measured in {report.figures['seconds']:.0f} s: {report.path}")


if __name__ == "__main__":
    main()
