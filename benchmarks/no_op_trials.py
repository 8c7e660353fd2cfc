"""Trials that train nothing and record everything: what a sweep costs beside its training.

A worker opens the trial's ledger under its lock, appends made-up epochs and records the end, with TensorBoard's
files, all by the code that trains. Only the training itself is left out.
"""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

from trainable.config import TrainConfig
from trainable.execution import DEFAULT_EXECUTION, Execution
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.precision import resolve_precision
from trainable.records import EpochRecord
from trainable.session import TrialSession
from trainable.splits import TrialData
from trainable.training import EpochOutcome, Training
from trainable.tune_adapter import TrainingTrainable

STEPS_AN_EPOCH = 391
NUM_TEST_IMAGES = 10_000
"""Steps and test images of CIFAR-10 at batch size 128."""


class NoTraining(Training):
    """Replacement of a Training whose figures are drawn at random, with as many digits as measured ones."""

    def __init__(self, config: TrainConfig, data: TrialData, execution: Execution = DEFAULT_EXECUTION) -> None:
        self.config = config
        self.data = data
        self.execution = execution
        self.epochs_done = 0
        self.precision = resolve_precision("fp32", torch.device("cpu"))
        self._draw = Random(config.trial_key)  # noqa: S311

    def run_epoch(self, attempt: int, on_step: Callable[[int], None] | None = None) -> EpochOutcome:
        draw, started = self._draw.random, time.perf_counter()
        self.epochs_done += 1
        is_held_out = self.data.holdout is not None
        record = EpochRecord(
            epoch=self.epochs_done,
            step=self.epochs_done * STEPS_AN_EPOCH,
            lr=draw(),
            train_loss=draw(),
            train_error_percent=100 * draw(),
            holdout_loss=draw() if is_held_out else None,
            holdout_error_percent=100 * draw() if is_held_out else None,
            test_loss=draw(),
            test_error_percent=100 * draw(),
            train_seconds=time.perf_counter() - started,
            eval_seconds=0.0,
            images_per_second=1000 * draw(),
            gradient_norm=draw(),
            attempt=attempt,
        )
        return EpochOutcome(record, False, self._draw.randbytes(NUM_TEST_IMAGES // 8).hex())

    def state(self) -> bytes:
        return b"state"


class NoOpSession(TrialSession):
    """A trial's session without the training."""

    def _new_training(self) -> Training:
        return NoTraining(self._config, self._data, self._run.execution)


class NoOpTrainable(TrainingTrainable):
    """The trainable that Tune runs instead of TrainingTrainable."""

    def _wait_for_session(self, config: TrainConfig, data: TrialData, folder: Path | RemoteFolder) -> TrialSession:
        return NoOpSession(config, data, folder, self._device, self._run)
