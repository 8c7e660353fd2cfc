"""What the tests of training share: one thread, the processor, trainings and sessions on tiny data."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import prepare_device
from trainable.records import Attempt, EpochRecord
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare
from trainable.training import Training

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Results on a CPU depend on the number of threads."""
    prepare_device(1, use_gpu=False)


@pytest.fixture
def short_config(tiny_config: TrainConfig) -> TrainConfig:
    """Four epochs of two steps."""
    return dataclasses.replace(tiny_config, epochs=4, batch_size=8, train_subset=16, test_subset=8)


@pytest.fixture
def make_training(tiny_data: ImageData) -> Callable[[TrainConfig], Training]:
    return lambda config: Training(config, prepare(tiny_data, config, CPU), CPU)


@pytest.fixture
def make_session(tiny_data: ImageData, tmp_path: Path) -> Iterator[Callable[..., TrialSession]]:
    """`make_session(config, run_id, checkpoint_share)` on the trial in `tmp_path / "trial"`."""
    opened: list[TrialSession] = []

    def make(
        config: TrainConfig, run_id: str = "run-1", checkpoint_share: float = float("inf"), keep_output: bool = False
    ) -> TrialSession:
        run = RunInfo(run_id, num_threads=1, code="code", keep_output=keep_output, checkpoint_share=checkpoint_share)
        data = prepare(tiny_data, config, CPU)
        opened.append(TrialSession(config, data, tmp_path / "trial", CPU, run))
        return opened[-1]

    yield make
    for session in opened:
        with contextlib.suppress(ValueError):  # closed already
            session.close()


@pytest.fixture
def make_record() -> Callable[[int], EpochRecord]:
    """A record of an epoch whose figures tell it from every other."""

    def make(epoch: int, attempt: int = 1) -> EpochRecord:
        return EpochRecord(
            epoch=epoch,
            step=6 * epoch,
            lr=0.1 / epoch,
            train_loss=1 / 3 / epoch,
            train_error_percent=50.0,
            holdout_loss=None,
            holdout_error_percent=None,
            test_loss=1.5,
            test_error_percent=25.0,
            train_seconds=0.1,
            eval_seconds=0.01,
            images_per_second=960.0,
            gradient_norm=1e-7,
            attempt=attempt,
        )

    return make


@pytest.fixture
def make_attempt() -> Callable[[int], Attempt]:
    def make(number: int) -> Attempt:
        return Attempt(
            attempt=number,
            start_time="2024-01-01T00:00:00+00:00",
            run_id=f"run-{number}",
            host="host",
            device="device",
            num_threads=1,
            precision_resolved="fp32",
            versions={"python": "3.11"},
            code="code",
        )

    return make
