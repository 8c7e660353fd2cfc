"""What `benchmarks/gpu.py` measures inside a process: the member of its crews."""

import gc
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.crew import Window
from benchmarks.harness import summary
from benchmarks.images import load_or_noise
from benchmarks.trial_process import LR, run_epoch
from trainable.canonical import MAX_COUNT
from trainable.config import TrainConfig
from trainable.device import device_name, peak_memory_bytes, prepare_device, reset_peak_memory
from trainable.execution import Execution
from trainable.precision import resolve_precision
from trainable.splits import TrialData, prepare
from trainable.training import Training

WAYS = {
    "eager": Execution(graph=False, compile=False),
    "graph": Execution(graph=True, compile=False),
    "compiled": Execution(graph=True, compile=True),
}
EVAL_SHARE = 5
"""Training images for each evaluated image, as in CIFAR-10."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GpuJob:
    """What every process is told at its start."""

    use_gpu: bool
    folder: Path | None
    """Folder of the data set; None for noise."""
    num_noise: tuple[int, int]
    """Number of training and test images where noise is used."""


@dataclass(frozen=True, slots=True)
class Work:
    """One configuration of a training."""

    batch_size: int
    num_steps: int
    """Most steps of an epoch; an epoch needs that many batches of images."""
    model: str = "resnet_preact_20"
    precision: str = "auto"
    epochs: int = MAX_COUNT


class GpuProcess:
    """A member of a crew, with the device prepared as for a trial."""

    def __init__(self, window: Window, job: GpuJob) -> None:
        self._device = prepare_device(1, use_gpu=job.use_gpu)
        self._is_gpu = job.use_gpu
        self._window = window
        self._images = load_or_noise(job.folder, *job.num_noise)
        self._shared: Training | None = None
        run_epoch(self._training(Work(8, 2), WAYS["eager"]))  # opens the device, so that no measurement pays for it

    def describe(self) -> Row:
        """Describe the device."""
        precision = resolve_precision("auto", self._device).name
        found: Row = {"name": device_name(self._device), "precision_auto": precision}
        if self._is_gpu:
            memory_bytes = torch.cuda.get_device_properties(self._device).total_memory
            found |= {"memory_bytes": memory_bytes, "cuda": torch.version.cuda}
        return found

    def speed(self, variants: Mapping[str, tuple[Work, str]], num_rounds: int) -> Row:
        """Start every variant (its work, in one of WAYS), then train an epoch of each in rounds of changing order."""
        trainings: dict[str, Training] = {}
        figures: dict[str, Row] = {}
        for name, (work, way) in variants.items():
            self._release()
            before = torch.cuda.memory_allocated(self._device) if self._is_gpu else 0
            reset_peak_memory(self._device)
            started = time.perf_counter()
            trainings[name] = self._training(work, WAYS[way])
            run_epoch(trainings[name])  # captures and compiles
            seconds, peak = time.perf_counter() - started, peak_memory_bytes(self._device)
            figures[name] = {"start_seconds": seconds, "peak_bytes": None if peak is None else peak - before}
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        names = list(variants)
        for _ in range(num_rounds):
            for name in names:
                record = run_epoch(trainings[name])
                num_test = len(trainings[name].data.test)
                rates[name].append((record.images_per_second, num_test / record.eval_seconds))
            names = names[1:] + names[:1]
        base = next(iter(rates.values()))
        for name, measured in rates.items():
            train, evaluate = zip(*measured, strict=True)
            figures[name] |= {"train_images_per_second": summary(train), "eval_images_per_second": summary(evaluate)}
            over_first = [rate / reference for rate, (reference, _) in zip(train, base, strict=True)]
            figures[name]["times_the_first"] = summary(over_first)
        return figures

    def correctness(self, work: Work) -> Row:
        """Train with the same seed in several ways, and compare losses and weights with those of the plain loop.

        A second eager training shows what the device itself does not repeat.
        """
        losses, weights = self._course(work, "eager")
        found: Row = {"losses": losses}
        for name, way, resumes in (
            ("eager again", "eager", False),
            ("graph", "graph", False),
            ("graph, resumed at every epoch", "graph", True),
        ):
            other_losses, other_weights = self._course(work, way, resumes=resumes)
            found[name] = {
                "equal_bit_for_bit": other_losses == losses
                and all(torch.equal(values, other_weights[key]) for key, values in weights.items()),
                "largest_loss_difference": max(
                    abs(loss - other) for loss, other in zip(losses, other_losses, strict=True)
                ),
                "largest_weight_difference": max(
                    float((values.double() - other_weights[key].double()).abs().max())
                    for key, values in weights.items()
                ),
            }
        return found

    def shared(self, work: Work, seconds: float, num_rounds: int) -> Row:
        """Train while the other members train as well, and measure the rate and the memory."""
        self._shared = None
        self._release()
        if self._is_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
        training = self._shared = self._training(work, WAYS["graph"])
        run_epoch(training)

        def epoch_seconds() -> float:
            started = time.perf_counter()
            run_epoch(training)
            return time.perf_counter() - started

        windows = [self._window.samples(epoch_seconds, seconds) for _ in range(num_rounds)]
        free, total = torch.cuda.mem_get_info(self._device) if self._is_gpu else (0, 0)
        return {
            "images_per_second": [len(training.data.train) * len(samples) / sum(samples) for samples in windows],
            "reserved_bytes": torch.cuda.max_memory_reserved(self._device) if self._is_gpu else None,
            "device_used_bytes": total - free if self._is_gpu else None,
        }

    def _course(self, work: Work, way: str, *, resumes: bool = False) -> tuple[list[float], dict[str, torch.Tensor]]:
        """Train to the end, or resume at every epoch; return the losses of each epoch and the final weights."""
        training = self._training(work, WAYS[way])
        losses: list[float] = []
        for epoch in range(work.epochs):
            if resumes and epoch > 0:
                state = training.state()
                training = Training(training.config, training.data, self._device, WAYS[way])
                training.load_state(state)
            record = run_epoch(training)
            losses += [record.train_loss or 0.0, record.test_loss or 0.0]  # finite: run_epoch has checked it
        state_dict = torch.load(io.BytesIO(training.state()), map_location="cpu", weights_only=True)
        return losses, state_dict["model"]

    def _training(self, work: Work, execution: Execution) -> Training:
        """Make a training on whole batches, as many as there are at most."""
        num_batches = max(1, min(work.num_steps, len(self._images.train_labels) // work.batch_size))
        num_train = num_batches * work.batch_size
        config = TrainConfig(
            model=work.model,
            train_subset=num_train,
            test_subset=max(1, min(num_train // EVAL_SHARE, len(self._images.test_labels))),
            epochs=work.epochs,
            batch_size=work.batch_size,
            lr=LR,
            precision=work.precision,
        )
        if execution.compile:
            torch.compiler.reset()  # forget what was compiled for other batch sizes
        data: TrialData = prepare(self._images, config, self._device)
        return Training(config, data, self._device, execution)

    def _release(self) -> None:
        """Return the memory of ended trainings to the device."""
        gc.collect()
        if self._is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.synchronize(self._device)
