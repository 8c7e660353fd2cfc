"""One process's view of the device and the data, and how a piece of training is timed."""

import functools
import gc
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.images import noise
from benchmarks.on_gpu.effort import MODEL
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.data.sources import load_dataset
from trainable.device import device_name, prepare_device
from trainable.execution import Execution
from trainable.precision import resolve_precision
from trainable.records import EpochRecord
from trainable.splits import TrialData, prepare
from trainable.training import Training

NUM_THREADS = 1
"""Of each process, as of a trial."""
ENDLESS = 10_000
"""Epochs: more than any measurement takes."""
LR = 0.05

Row = dict[str, Any]
"""Plain JSON values."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every process is told at its start."""

    device_type: str
    """cuda or cpu."""
    folder: Path | None
    """Of the data set; None for random images."""
    num_random: tuple[int, int]


class Bench:
    """The device, prepared as for a trial, and the data set, loaded when first needed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.device = prepare_device(NUM_THREADS, use_gpu=job.device_type == "cuda")
        self.held: Training | None = None
        """Kept between two requests to this process."""
        self._prepared: dict[tuple[int | None, int | None], TrialData] = {}

    @functools.cached_property
    def data(self) -> ImageData:
        return load_images(self.job)

    def config(
        self,
        batch_size: int,
        num_train: int,
        num_test: int,
        *,
        model: str = MODEL,
        precision: str = "auto",
        epochs: int = ENDLESS,
    ) -> TrainConfig:
        """A training on the first images, whole batches of them, as many as there are at most."""
        data = self.data
        num_available = len(data.train_labels)
        num_used = max(batch_size, min(num_train, num_available) // batch_size * batch_size)
        config = TrainConfig(
            model=model,
            train_subset=num_used,
            test_subset=min(num_test, len(data.test_labels)),
            epochs=epochs,
            batch_size=batch_size,
            lr=LR,
            precision=precision,
        )
        return config.for_dataset(data.name, data.fingerprint, num_available, len(data.test_labels))

    def prepare(self, config: TrainConfig) -> TrialData:
        """The images of the training, on the device; kept there."""
        subsets = (config.train_subset, config.test_subset)
        if subsets not in self._prepared:
            self._prepared[subsets] = prepare(self.data, config, self.device)
        return self._prepared[subsets]

    def training(self, config: TrainConfig, execution: Execution) -> Training:
        return Training(config, self.prepare(config), self.device, execution)

    def release(self) -> None:
        """Give the memory of trainings that nobody refers to any more back to the device."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def describe(self) -> Row:
        """The device, opened if it was not."""
        torch.zeros(1, device=self.device)
        self.synchronize()
        found: Row = {
            "name": device_name(self.device),
            "type": self.device.type,
            "precision_auto": resolve_precision("auto", self.device).name,
        }
        if self.device.type == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            found |= {
                "memory_bytes": properties.total_memory,
                "num_multiprocessors": properties.multi_processor_count,
                "compute_capability": f"{properties.major}.{properties.minor}",
                "cuda": torch.version.cuda,
                "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            }
        return found


def load_images(job: Job) -> ImageData:
    """The data set, or seeded noise in its place.

    Raises:
        UserError: a folder that holds no data set.
    """
    if job.folder is not None:
        return load_dataset("", job.folder)
    return noise(*job.num_random)


def timed_epoch(training: Training) -> tuple[EpochRecord, float]:
    """The epoch's record, and its seconds by the clock on the wall.

    Raises:
        ArithmeticError: the training diverged, so that its times mean nothing.
    """
    started = time.perf_counter()
    outcome = training.run_epoch(1)
    seconds = time.perf_counter() - started
    if outcome.diverged:
        raise ArithmeticError(f"the training diverged in epoch {outcome.record.epoch}")
    return outcome.record, seconds


def spread(values: Sequence[float]) -> Row:
    """Median, extremes and the values themselves, in the order in which they were measured."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "values": list(values),
    }


def brief(error: BaseException) -> str:
    """An error in one line; its traceback goes to stderr."""
    traceback.print_exception(error, file=sys.stderr)
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
