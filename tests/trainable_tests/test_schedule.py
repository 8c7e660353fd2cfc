"""The learning rate at every step."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, MultiStepLR, SequentialLR

from trainable.config import TrainConfig
from trainable.schedule import lr_at_step


def rates(config: TrainConfig, total_steps: int) -> list[float]:
    return [lr_at_step(config, step, total_steps) for step in range(total_steps)]


def test_cosine_starts_at_lr_and_ends_at_a_thousandth() -> None:
    values = rates(TrainConfig(lr=0.4), 10_000)
    assert values[0] == 0.4
    assert values[-1] == pytest.approx(0.4 * 0.001, rel=1e-3)
    assert values[-1] > 0.4 * 0.001


def test_cosine_is_half_way_in_the_middle() -> None:
    assert lr_at_step(TrainConfig(lr=0.4), 500, 1000) == pytest.approx((0.4 + 0.0004) / 2)


def test_cosine_falls_at_every_step() -> None:
    assert all(later < earlier for earlier, later in itertools.pairwise(rates(TrainConfig(), 500)))


@pytest.mark.parametrize("factor", [0.0, 0.1, 1.0])
def test_cosine_goes_down_towards_lr_min_factor(factor: float) -> None:
    config = TrainConfig(lr=2.0, lr_min_factor=factor)
    for step in (0, 13, 99):
        share = (1 + math.cos(math.pi * step / 100)) / 2
        assert lr_at_step(config, step, 100) == pytest.approx(2.0 * (factor + (1 - factor) * share))


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 390, 781])
def test_multistep_drops_exactly_at_epochs_80_and_120_of_160(steps_per_epoch: int) -> None:
    config = TrainConfig(schedule="multistep", lr=0.1, epochs=160, milestones=(80, 120))
    total = 160 * steps_per_epoch
    expected = {0: 0.1, 80: 0.01, 120: 0.001}
    for epoch, rate in expected.items():
        assert lr_at_step(config, epoch * steps_per_epoch, total) == pytest.approx(rate)
    assert lr_at_step(config, 80 * steps_per_epoch - 1, total) == pytest.approx(0.1)
    assert lr_at_step(config, 120 * steps_per_epoch - 1, total) == pytest.approx(0.01)
    assert lr_at_step(config, total - 1, total) == pytest.approx(0.001)


@pytest.mark.parametrize("milestone", [1, 7, 33, 66, 99])
def test_milestones_in_epochs_hit_the_epoch_whatever_the_rounding(milestone: int) -> None:
    config = TrainConfig(schedule="multistep", lr=1.0, epochs=100, milestones=(milestone,))
    values = rates(config, 100 * 39)
    assert values.count(1.0) == milestone * 39
    assert values == sorted(values, reverse=True)


def test_default_milestones_are_half_and_three_quarters() -> None:
    values = rates(TrainConfig(schedule="multistep", lr=1.0, epochs=200), 200)
    drops = [epoch for epoch in range(1, 200) if values[epoch] < values[epoch - 1]]
    assert drops == [100, 150]


@pytest.mark.parametrize("factor", [0.0, 0.1])
@pytest.mark.parametrize("warmup", [0, 3, 2.5])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant", "multistep"])
def test_rates_are_those_of_torch(schedule: str, warmup: float, factor: float) -> None:
    config = TrainConfig(
        schedule=schedule,
        lr=0.4,
        epochs=10,
        warmup_epochs=warmup,
        warmup_start_factor=0.2,
        lr_min_factor=factor,
        milestones=(5, 8),
    )
    rise, total = round(warmup * 4), 40
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    after: Any = {
        "linear": lambda: LinearLR(optimizer, 1.0, factor, total - rise),
        "cosine": lambda: CosineAnnealingLR(optimizer, total - rise, 0.4 * factor),
        "constant": lambda: ConstantLR(optimizer, 1.0),
        "multistep": lambda: MultiStepLR(optimizer, [20 - rise, 32 - rise]),
    }[schedule]
    scheduler = after()
    if rise:
        scheduler = SequentialLR(optimizer, [LinearLR(optimizer, 0.2, 1.0, rise), after()], [rise])
    for rate in rates(config, total):
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        scheduler.step()


def test_constant_stays() -> None:
    assert set(rates(TrainConfig(schedule="constant", lr=0.3), 50)) == {0.3}


@pytest.mark.parametrize("schedule", ["cosine", "multistep", "constant"])
def test_rate_is_a_function_of_its_arguments(schedule: str) -> None:
    config = TrainConfig(schedule=schedule)
    forwards = rates(config, 60)
    backwards = [lr_at_step(config, step, 60) for step in reversed(range(60))]
    assert forwards == backwards[::-1]


@pytest.mark.parametrize("step", [-1, 10, 11])
def test_steps_outside_the_training_are_refused(step: int) -> None:
    with pytest.raises(ValueError, match=rf"step {step} is outside \[0, 10\)"):
        lr_at_step(TrainConfig(), step, 10)
