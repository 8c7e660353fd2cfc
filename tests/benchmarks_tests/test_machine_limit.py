"""What `benchmarks/machine_limit.py` counts and measures, on next to nothing."""

import multiprocessing

import pytest

from benchmarks.crew import Window
from benchmarks.machine_limit import (
    LimitProcess,
    layers_of,
    limits,
    mean_shares,
    training_flop,
)
from benchmarks.time_shares import GROUPS, HOST, OPTIMIZER
from benchmarks.trial_process import Load


@pytest.fixture
def process() -> LimitProcess:
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
    assert process.matrix_products(32) > 0
    assert process.convolutions(4).num_images % 4 == 0


def test_convolutions_are_compared_with_the_peak_round_by_round() -> None:
    figures = limits([1e9, 2e9], {128: [5.0, 10.0]}, 10**8)
    assert figures["bf16 GFLOP/s"] == [1.0, 2.0]
    assert figures["convolutions alone / the peak, batch 128"] == [0.5, 0.5]


def test_the_time_of_an_epoch_is_shared_out_completely(process: LimitProcess) -> None:
    shares = process.time_shares(8)
    means = mean_shares([shares, shares])
    assert sum(mean["percent"] for mean in means.values()) == pytest.approx(100)
    assert {group: mean["us an image"] for group, mean in means.items()} == pytest.approx(shares)
    for group in ("convolution forward", "convolution backward", OPTIMIZER):
        assert shares[group] > 0
    assert set(shares) > {*GROUPS, HOST}  # what is left for the host may be below 0 on a busy machine
