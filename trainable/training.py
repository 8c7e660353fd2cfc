"""One training from its config, an epoch at a time; the same bits again on the same kind of device."""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim import SGD

from models.registry import build_model
from trainable.augmentation import training_batches
from trainable.config import TrainConfig
from trainable.engine import EvalMetrics, Learner, evaluate, train_epoch
from trainable.execution import Execution
from trainable.precision import resolve_precision
from trainable.randomness import generator, plan_epoch
from trainable.records import EpochRecord
from trainable.schedule import lr_at_step
from trainable.splits import TrialData


@dataclass(frozen=True, slots=True)
class EpochOutcome:
    record: EpochRecord
    diverged: bool
    """True where a loss was not finite: the training has ended."""
    test_correct_bits: str | None
    """Hex, see TrialEnd; None where the epoch diverged before the evaluation."""


class Training:
    """Model, optimiser and position of one training.

    All randomness is a function of the config's seed and the epoch, so `state` and `load_state` carry no
    generators, and a training restored at any epoch goes on bit for bit.
    """

    def __init__(
        self, config: TrainConfig, data: TrialData, device: torch.device, execution: Execution | None = None
    ) -> None:
        """
        Raises:
            UserError: a precision that the device does not have.
        """
        self.config = config
        self.execution = execution or Execution()
        self.data = data
        self.epochs_done = 0
        self.steps_per_epoch = len(data.train) // config.batch_size
        precision = resolve_precision(config.precision, device)
        model = build_model(config.model, data.num_classes, generator(config.seed, "initial weights"))
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        model.to(device)
        optimizer = SGD(
            model.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            foreach=True,  # fused is silently wrong on the CPU with channels_last momentum (torch 2.13)
        )
        scaler = torch.amp.GradScaler(device.type, enabled=precision.needs_scaler)
        self.learner = Learner(model, optimizer, scaler, precision, device)

    @property
    def finished(self) -> bool:
        return self.epochs_done >= self.config.epochs

    def run_epoch(self, attempt: int, on_step: Callable[[int], None] | None = None) -> EpochOutcome:
        """Train and evaluate the next epoch.

        Raises:
            ValueError: all epochs are done.
        """
        if self.finished:
            raise ValueError(f"all {self.config.epochs} epochs are done")
        config, data, learner = self.config, self.data, self.learner
        total_steps = config.epochs * self.steps_per_epoch
        first_step = self.epochs_done * self.steps_per_epoch
        started = time.perf_counter()
        plan = plan_epoch(len(data.train), config.augmentation, config.seed, self.epochs_done)
        batches = training_batches(
            data.train,
            plan.to(learner.device),
            config.batch_size,
            augmented=config.augmentation != "none",
        )
        trained = train_epoch(
            learner,
            data,
            batches,
            lambda step: lr_at_step(config, first_step + step, total_steps),
            on_step,
        )
        train_seconds = time.perf_counter() - started
        self.epochs_done += 1
        diverged = not math.isfinite(trained.loss)
        holdout: EvalMetrics | None = None
        test: EvalMetrics | None = None
        started = time.perf_counter()
        if not diverged:
            holdout = evaluate(learner, data, data.holdout) if data.holdout else None
            test = evaluate(learner, data, data.test)
            diverged = not all(math.isfinite(one.loss) for one in (holdout, test) if one is not None)
        record = EpochRecord(
            epoch=self.epochs_done,
            step=self.epochs_done * self.steps_per_epoch,
            lr=lr_at_step(config, first_step + self.steps_per_epoch - 1, total_steps),
            train_loss=_finite(trained.loss),
            train_error_percent=trained.error_percent,
            holdout_loss=_finite(holdout.loss) if holdout else None,
            holdout_error_percent=holdout.error_percent if holdout else None,
            test_loss=_finite(test.loss) if test else None,
            test_error_percent=test.error_percent if test else None,
            train_seconds=train_seconds,
            eval_seconds=time.perf_counter() - started,
            images_per_second=trained.num_images / train_seconds,
            gradient_norm=_finite(trained.gradient_norm),
            attempt=attempt,
        )
        return EpochOutcome(record, diverged, _bits(test) if test else None)

    def state(self) -> bytes:
        """Weights, momentum and position, loadable with `weights_only=True` (no pickled code)."""
        buffer = io.BytesIO()
        state = {
            "epochs_done": self.epochs_done,
            "model": self.learner.model.state_dict(),
            "optimizer": self.learner.optimizer.state_dict(),
            "scaler": self.learner.scaler.state_dict(),
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def load_state(self, content: bytes) -> None:
        """The inverse of `state`.

        Raises:
            pickle.UnpicklingError, RuntimeError, KeyError: not a state of this configuration.
        """
        state = torch.load(io.BytesIO(content), map_location=self.learner.device, weights_only=True)
        self.learner.model.load_state_dict(state["model"])
        self.learner.optimizer.load_state_dict(state["optimizer"])
        for parameter, values in self.learner.optimizer.state.items():
            momentum = values.get("momentum_buffer")
            if momentum is not None:  # laid out like its parameter, as in the uninterrupted run
                values["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
        self.learner.scaler.load_state_dict(state["scaler"])
        self.epochs_done = state["epochs_done"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bits(metrics: EvalMetrics) -> str:
    import numpy as np

    return np.packbits(metrics.correct.numpy()).tobytes().hex()
