"""What `benchmarks/machine_limit.py` counts and measures, on next to nothing."""

import multiprocessing

import pytest
import torch

from benchmarks import machine_limit
from benchmarks.crew import Window
from benchmarks.machine_limit import LimitProcess, layers_of, training_flop
from benchmarks.time_shares import GROUPS, HOST, OPTIMIZER, TimeShares
from benchmarks.trial_process import Load


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> LimitProcess:
    monkeypatch.setattr(machine_limit, "ARRAY_BYTES", 4096)
    load = Load(model="resnet_preact_8", seconds=0.01, epoch_images=32, test_images=8)
    return LimitProcess(Window(multiprocessing.get_context("spawn"), 1), 1, load)


def test_the_arithmetic_of_the_published_network() -> None:
    """16 x 3 x 9 weights at 32 x 32 places, and so on: He et al. 2016 give 41 million for 20 layers."""
    layers = layers_of("resnet_preact_20")
    macs = sum(layer.macs for layer in layers)
    assert layers[0].macs == 16 * 3 * 9 * 32 * 32
    assert layers[-1].macs == 64 * 10
    assert macs == 40_813_184
    assert training_flop("resnet_preact_20") == 6 * macs - 2 * layers[0].macs
    assert sum(layer.is_convolution for layer in layers) == 19 + 2


def test_rates_are_measured(process: LimitProcess) -> None:
    for rate in (process.matrix_products(32, torch.float32), process.copy(), process.triad()):
        assert rate > 0
    forward, backward = process.convolutions(4)
    assert 0 < forward < 1
    assert 0 < backward < 1
    assert process.epochs(8).training > 0


def test_the_time_of_an_epoch_is_shared_out_completely(process: LimitProcess) -> None:
    shares = process.time_shares(8)
    assert sum(shares.percent(group) for group in shares.microseconds) == pytest.approx(100)
    assert shares.microseconds[HOST] > 0
    assert shares.slowdown > 0
    for group in ("convolution forward", "convolution backward", OPTIMIZER):
        assert shares.microseconds[group] > 0
    assert TimeShares.mean([shares, shares]).microseconds == pytest.approx(shares.microseconds)
    assert set(shares.microseconds) > set(GROUPS)
