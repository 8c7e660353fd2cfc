"""What `benchmarks/gpu.py` measures inside a process: the member of its crews."""

import gc
import io
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.crew import Window
from benchmarks.harness import ratios, summary
from benchmarks.images import load_or_noise
from benchmarks.trial_process import LR
from trainable.config import MAX_COUNT, TrainConfig
from trainable.device import device_name, peak_memory_bytes, prepare_device, reset_peak_memory
from trainable.execution import Execution
from trainable.precision import resolve_precision
from trainable.records import EpochRecord
from trainable.splits import TrialData, prepare
from trainable.training import Training

EAGER = Execution(graph=False, compile=False)
GRAPH = Execution(graph=True, compile=False)
COMPILED = Execution(graph=True, compile=True)
EVAL_SHARE = 5
"""Training images for each evaluated image, as in CIFAR-10."""

Row = dict[str, Any]
"""Plain JSON values."""


@dataclass(frozen=True, slots=True)
class GpuJob:
    """What every process is told at its start."""

    use_gpu: bool
    folder: Path | None
    """Folder of the data set; None for noise."""
    num_noise: tuple[int, int]
    """Training and test images where noise is used."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to execute a training."""

    name: str
    execution: Execution
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class SpeedCase:
    """Variants of one training that are measured in turn."""

    model: str
    batch_size: int
    variants: tuple[Variant, ...]
    num_steps: int
    """Steps of an epoch at most; an epoch needs that many batches of images."""
    num_rounds: int

    def __str__(self) -> str:
        return f"{self.model}, batch {self.batch_size}: {', '.join(variant.name for variant in self.variants)}"


@dataclass(slots=True)
class Run:
    """A variant under way."""

    training: Training
    start_seconds: float
    """Time of its construction and first epoch, in which it is captured and compiled."""
    peak_memory_bytes: int | None
    train_rates: list[float] = field(default_factory=list)
    eval_rates: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)

    def measure_epoch(self) -> None:
        started = time.perf_counter()
        record = run_epoch(self.training)
        self.epoch_seconds.append(time.perf_counter() - started)
        self.train_rates.append(record.images_per_second)
        self.eval_rates.append(len(self.training.data.test) / record.eval_seconds)

    def figures(self) -> Row:
        return {
            "train_images_per_second": summary(self.train_rates),
            "eval_images_per_second": summary(self.eval_rates),
            "start_up_seconds": self.start_seconds - summary(self.epoch_seconds)["median"],
            "peak_memory_bytes": self.peak_memory_bytes,
        }


@dataclass(frozen=True, slots=True)
class Course:
    """The losses and the final weights of a training."""

    losses: list[float | None]
    """Training and test loss of each epoch; None where it is not finite."""
    weights: dict[str, Tensor]
    """Weights on the CPU, with the statistics of batch normalisation."""


class GpuProcess:
    """A member of a crew, with the device prepared as for a trial."""

    def __init__(self, window: Window, job: GpuJob) -> None:
        self.device = prepare_device(1, use_gpu=job.use_gpu)
        self.window = window
        self.images = load_or_noise(job.folder, *job.num_noise)
        self._is_gpu = self.device.type == "cuda"
        self._shared: Training | None = None
        config, data = self._prepared(batch_size=8, num_steps=2, precision="fp32")
        run_epoch(Training(config, data, self.device, EAGER))  # opens the device, so that no case pays for it

    def describe(self) -> Row:
        """Describe the device and the data."""
        found: Row = {
            "name": device_name(self.device),
            "type": self.device.type,
            "precision_auto": resolve_precision("auto", self.device).name,
        }
        if self._is_gpu:
            properties = torch.cuda.get_device_properties(self.device)
            found |= {
                "memory_bytes": properties.total_memory,
                "compute_capability": f"{properties.major}.{properties.minor}",
                "cuda": torch.version.cuda,
                "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            }
        return found

    def speed(self, case: SpeedCase) -> Row:
        """Start every variant, then train an epoch of each in turn; a different one comes first in each round."""
        runs: dict[str, Run] = {}
        failed: dict[str, str] = {}
        for variant in case.variants:
            try:
                runs[variant.name] = self._start(case, variant)
            except Exception as error:
                traceback.print_exception(error, file=sys.stderr)
                failed[variant.name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        order = list(runs.values())
        for _ in range(case.num_rounds):
            for run in order:
                run.measure_epoch()
            order = order[1:] + order[:1]
        (first, base), *others = runs.items() or [("", None)]
        return {
            "model": case.model,
            "batch_size": case.batch_size,
            "variants": {name: run.figures() for name, run in runs.items()},
            "speed_up": {
                f"{name} over {first}": summary(ratios(run.train_rates, base.train_rates))
                for name, run in others
                if run and base
            },
            "failed": failed,
        }

    def correctness(self, precision: str, batch_size: int, num_steps: int, num_epochs: int) -> Row:
        """Compare trainings with the same seed: eager twice, captured, and captured but resumed at every epoch.

        The second eager training shows what the device itself does not repeat.
        """
        config, data = self._prepared(batch_size, num_steps, precision, epochs=num_epochs)
        eager, again = (self._course(config, data, EAGER) for _ in range(2))
        graph = self._course(config, data, GRAPH)
        resumed = self._course(config, data, GRAPH, resume=True)
        return {
            "precision": precision,
            "batch_size": batch_size,
            "num_epochs": num_epochs,
            "num_steps": num_epochs * (len(data.train) // batch_size),
            "eager again against eager": difference(again, eager),
            "graph against eager": difference(graph, eager),
            "graph resumed against uninterrupted": difference(resumed, graph),
            "losses": {"eager": eager.losses, "graph": graph.losses},
        }

    def shared(self, batch_size: int, num_steps: int, seconds: float, num_rounds: int) -> Row:
        """Train while the other members train as well, and measure the rate and the memory."""
        self._shared = None
        self._release()
        if self._is_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        config, data = self._prepared(batch_size, num_steps, "auto")
        training = self._shared = Training(config, data, self.device, GRAPH)
        run_epoch(training)

        def epoch_seconds() -> float:
            started = time.perf_counter()
            run_epoch(training)
            return time.perf_counter() - started

        windows = [self.window.samples(epoch_seconds, seconds) for _ in range(num_rounds)]
        used = torch.cuda.mem_get_info(self.device) if self._is_gpu else None
        return {
            "images_per_second": [len(data.train) * len(samples) / sum(samples) for samples in windows],
            "reserved_bytes": torch.cuda.max_memory_reserved(self.device) if self._is_gpu else None,
            "device_used_bytes": used[1] - used[0] if used else None,
        }

    def _prepared(
        self,
        batch_size: int,
        num_steps: int,
        precision: str,
        model: str = "resnet_preact_20",
        epochs: int = MAX_COUNT,
    ) -> tuple[TrainConfig, TrialData]:
        """Make a configuration of whole batches, as many as there are at most, and put its images on the device."""
        num_batches = max(1, min(num_steps, len(self.images.train_labels) // batch_size))
        num_train = num_batches * batch_size
        config = TrainConfig(
            model=model,
            train_subset=num_train,
            test_subset=max(1, min(num_train // EVAL_SHARE, len(self.images.test_labels))),
            epochs=epochs,
            batch_size=batch_size,
            lr=LR,
            precision=precision,
        )
        return config, prepare(self.images, config, self.device)

    def _start(self, case: SpeedCase, variant: Variant) -> Run:
        if variant.execution.compile:
            torch.compiler.reset()  # forget what was compiled for other batch sizes
        config, data = self._prepared(case.batch_size, case.num_steps, variant.precision, case.model)
        self._release()
        before = torch.cuda.memory_allocated(self.device) if self._is_gpu else 0
        reset_peak_memory(self.device)
        started = time.perf_counter()
        training = Training(config, data, self.device, variant.execution)
        run_epoch(training)
        seconds = time.perf_counter() - started
        peak = peak_memory_bytes(self.device)
        return Run(training, seconds, None if peak is None else peak - before)

    def _course(self, config: TrainConfig, data: TrialData, execution: Execution, *, resume: bool = False) -> Course:
        """Train to the end.

        Args:
            resume: Train every epoch in a new training that loads the state after the epoch before.
        """
        training = Training(config, data, self.device, execution)
        losses: list[float | None] = []
        for epoch in range(config.epochs):
            if resume and epoch > 0:
                state = training.state()
                training = Training(config, data, self.device, execution)
                training.load_state(state)
            record = training.run_epoch(attempt=1).record
            losses += [record.train_loss, record.test_loss]
        content = torch.load(io.BytesIO(training.state()), map_location="cpu", weights_only=True)
        return Course(losses, content["model"])

    def _release(self) -> None:
        """Return the memory of ended trainings to the device."""
        gc.collect()
        if self._is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.synchronize(self.device)


def run_epoch(training: Training) -> EpochRecord:
    """Train an epoch and return its record.

    Raises:
        ArithmeticError: The training diverged, so that its times mean nothing.
    """
    outcome = training.run_epoch(attempt=1)
    if outcome.diverged:
        raise ArithmeticError(f"the training diverged in epoch {outcome.record.epoch}")
    return outcome.record


def difference(course: Course, other: Course) -> Row:
    """Return the largest differences (None where a value is not finite), and whether all bits are equal."""
    apart = [_apart(loss, reference) for loss, reference in zip(course.losses, other.losses, strict=True)]
    return {
        "largest_loss_difference": _largest(apart),
        "losses_bit_equal": course.losses == other.losses,
        "largest_weight_difference": max(
            float((weights.double() - other.weights[name].double()).abs().max())
            for name, weights in course.weights.items()
        ),
        "weights_bit_equal": all(torch.equal(values, other.weights[name]) for name, values in course.weights.items()),
    }


def _apart(loss: float | None, reference: float | None) -> float | None:
    return None if loss is None or reference is None else abs(loss - reference)


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
