"""What `benchmarks/machine_limit.py` counts and measures, on next to nothing."""

import multiprocessing

import pytest

from benchmarks.crew import Window
from benchmarks.machine_limit import (
    BATCH_SIZES,
    MATRIX_SIZES,
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
    assert process.convolutions(4) > 1
    assert process.images_per_second(8) > 0


def test_training_is_compared_with_its_limits_round_by_round() -> None:
    rates = {("matrix_products", size): [1e9 * size, 2e9] for size in MATRIX_SIZES}
    rates |= {("convolutions", size): [20.0, 10.0] for size in BATCH_SIZES}
    rates |= {("images_per_second", size): [10.0, 8.0] for size in BATCH_SIZES}
    figures = limits(rates, 10**8)
    assert figures["bf16 GFLOP/s"] == [max(MATRIX_SIZES), 2.0]
    assert figures["training / the peak, batch 128"] == [10 / (10 * max(MATRIX_SIZES)), 8 / 20]
    assert figures["training / convolutions alone, batch 128"] == [0.5, 0.8]


def test_the_time_of_an_epoch_is_shared_out_completely(process: LimitProcess) -> None:
    shares = process.time_shares(8)
    means = mean_shares([shares, shares])
    assert sum(mean["percent"] for mean in means.values()) == pytest.approx(100)
    assert {group: mean["us an image"] for group, mean in means.items()} == pytest.approx(shares)
    for group in ("convolution forward", "convolution backward", OPTIMIZER, HOST):
        assert shares[group] > 0
    assert set(shares) > set(GROUPS)
