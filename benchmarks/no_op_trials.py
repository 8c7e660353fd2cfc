"""Trials that train nothing and record everything: what a sweep costs beside its training.

A worker opens the trial's ledger under its lock, appends made-up epochs and records the end, with TensorBoard's
files, all by the code that trains. Only the training itself is left out.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import torch

from benchmarks.finished_sweep import NUM_TEST_IMAGES, random_record
from trainable.config import TrainConfig
from trainable.execution import DEFAULT_EXECUTION, Execution
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.precision import resolve_precision
from trainable.session import TrialSession
from trainable.splits import TrialData
from trainable.training import EpochOutcome, Training
from trainable.trial_worker import TrialWorker
from trainable.tune_adapter import TrainingTrainable


class NoTraining(Training):
    """Replacement of a Training whose figures are drawn at random, with as many digits as measured ones."""

    def __init__(self, config: TrainConfig, data: TrialData, execution: Execution = DEFAULT_EXECUTION) -> None:
        self.config = config
        self.data = data
        self.execution = execution
        self.epochs_done = 0
        self.precision = resolve_precision("fp32", torch.device("cpu"))
        self._random = Random(config.trial_key)  # noqa: S311

    def run_epoch(self, attempt: int, on_step: Callable[[int], None] | None = None) -> EpochOutcome:
        started = time.perf_counter()
        self.epochs_done += 1
        record = random_record(self._random, self.epochs_done)
        if self.data.holdout is not None:
            record = replace(record, holdout_loss=record.test_loss, holdout_error_percent=record.test_error_percent)
        seconds = time.perf_counter() - started
        record = replace(record, train_seconds=seconds, eval_seconds=0.0, attempt=attempt)
        return EpochOutcome(record, False, self._random.randbytes(NUM_TEST_IMAGES // 8).hex())

    def state(self) -> bytes:
        return b"state"

    def weights(self) -> dict[str, torch.Tensor]:
        return {"weight": torch.zeros(1)}


class NoOpSession(TrialSession):
    """A trial's session without the training."""

    def _new_training(self) -> Training:
        return NoTraining(self._config, self._data, self._run.execution)


class NoOpWorker(TrialWorker):
    """A worker that opens sessions without the training."""

    def _wait_for_session(self, config: TrainConfig, data: TrialData, folder: Path | RemoteFolder) -> TrialSession:
        return NoOpSession(config, data, folder, self._device, self._run)


class NoOpTrainable(TrainingTrainable):
    """The trainable that Tune runs instead of TrainingTrainable."""

    WORKER = NoOpWorker
