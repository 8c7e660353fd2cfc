"""The gradient noise scale: without bias, and without a trace in the training."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainable import noise_scale
from trainable.config import TrainConfig
from trainable.execution import DEFAULT_EXECUTION
from trainable.noise_scale import NoiseScale
from trainable.precision import DTYPES, resolve_precision
from trainable.records import EpochRecord
from trainable.training import Training, _make_learner

MakeTraining = Callable[[TrainConfig], Training]
COLUMNS = ("noise_scale", "gradient_variance", "gradient_square")
TIMES: dict[str, Any] = {"train_seconds": 0.0, "eval_seconds": 0.0, "images_per_second": 0.0}


def test_estimates_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all ordered batches of four of three images the means are exact: gradients of single images, in fp64."""
    monkeypatch.setitem(DTYPES, "pure_fp16", torch.float64)
    cpu, source = torch.device("cpu"), torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    images, labels = torch.randn(3, 3, 2, 2, generator=source).double(), torch.tensor([0, 1, 1])
    each = []
    for image, label in zip(images, labels, strict=True):
        loss = nn.functional.cross_entropy(model(image[None]), label[None])
        each.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))]))
    mean = torch.stack(each).mean(dim=0)
    variance = torch.stack([(gradient - mean).square().sum() for gradient in each]).mean()

    config = TrainConfig(batch_size=4, precision="pure_fp16", noise_scale=True)
    how = (cpu, resolve_precision("pure_fp16", cpu), DEFAULT_EXECUTION.on("cpu"))
    noise = NoiseScale(_make_learner(config, model, torch.contiguous_format, how), noise_scale.EVERY_STEPS // 2)
    for number, batch in enumerate(itertools.product(range(3), repeat=4)):
        noise.before_step(number * noise_scale.EVERY_STEPS, images[[*batch]], labels[[*batch]], None)
    found = noise.columns()
    assert found["gradient_variance"] == pytest.approx(float(variance), rel=1e-5)
    assert found["gradient_square"] == pytest.approx(float(mean.square().sum()), rel=1e-5)
    assert found["noise_scale"] == pytest.approx(float(variance / mean.square().sum()), rel=1e-5)


def records_of(training: Training) -> list[EpochRecord]:
    records = []
    while not training.finished:
        records.append(dataclasses.replace(training.run_epoch(1).record, **TIMES))
    return records


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16", "optimizer": "muon"},
        {"precision": "fp16", "train_subset": 16, "test_subset": 4},
        {"ghost_batch_size": 4, "batch_size": 12, "mixup_alpha": 0.4, "cutout_size": 2, "label_smoothing": 0.1},
        {"clip_grad_norm": 0.5, "batch_size": 9},
    ],
    ids=str,
)
def test_the_training_stays_the_same(
    make_training: MakeTraining, short_config: TrainConfig, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(noise_scale, "EVERY_STEPS", 2)
    config = dataclasses.replace(short_config, **{"epochs": 2, "train_subset": 24, **changes})
    plain, measured = make_training(config), make_training(dataclasses.replace(config, noise_scale=True))
    records, expected = records_of(measured), records_of(plain)
    assert [getattr(record, name) for record in expected for name in COLUMNS] == [None] * 6
    assert all(record.gradient_variance and record.gradient_square for record in records)
    without: dict[str, Any] = dict.fromkeys(COLUMNS)
    assert [dataclasses.replace(record, **without) for record in records] == expected
    assert measured.state() == plain.state()


def test_steps_are_counted_over_the_epochs(
    make_training: MakeTraining, short_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are four epochs of two steps, and step 3 of the training is the only one that is measured."""
    monkeypatch.setattr(noise_scale, "EVERY_STEPS", 6)
    records = records_of(make_training(dataclasses.replace(short_config, noise_scale=True)))
    assert [record.gradient_variance is not None for record in records] == [False, True, False, False]


@pytest.mark.parametrize("square", [-1.0, 0.0, 0.5])
def test_the_scale_is_the_ratio_of_the_sums_and_empty_without_a_signal(
    make_training: MakeTraining, short_config: TrainConfig, square: float
) -> None:
    noise = NoiseScale(make_training(short_config).learner, 0)
    assert noise.columns() == {}
    noise._sums += torch.tensor([6.0, square, 2.0])
    expected = {"gradient_variance": 3.0, "gradient_square": square / 2}
    assert noise.columns() == {"noise_scale": 12.0 if square > 0 else None, **expected}


def test_a_gradient_that_is_not_finite_is_left_out(make_training: MakeTraining, short_config: TrainConfig) -> None:
    learner = make_training(short_config).learner
    noise = NoiseScale(learner, noise_scale.EVERY_STEPS // 2)
    size = 4
    learner.model.train()
    noise.before_step(0, torch.full((size, 3, 32, 32), torch.inf), torch.zeros(size, dtype=torch.int64), None)
    assert noise.columns() == {}
