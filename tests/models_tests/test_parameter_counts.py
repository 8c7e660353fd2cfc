"""Numbers of parameters against formulas written down by hand, independent of the code."""

import pytest
import torch

from models.registry import build_model


def preact_count(depth: int, num_classes: int) -> int:
    """Convolutions 9*in*out, shortcuts in*out, BN 2*channels ahead of each convolution, final BN, linear."""
    n = (depth - 2) // 6
    stem = 27 * 16
    stage1 = n * (2 * 9 * 16 * 16 + 2 * 32)
    stage2 = (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 32 + 64) + (n - 1) * (2 * 9 * 32 * 32 + 2 * 64)
    stage3 = (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64 + 64 + 128) + (n - 1) * (2 * 9 * 64 * 64 + 2 * 128)
    return stem + stage1 + stage2 + stage3 + 128 + 65 * num_classes


def postact_count(depth: int, num_classes: int) -> int:
    """Like `preact_count`, but every BN follows its convolution, also in the stem and the two shortcuts."""
    n = (depth - 2) // 6
    stem = 27 * 16 + 32
    stage1 = n * (2 * 9 * 16 * 16 + 2 * 32)
    stage2 = (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 3 * 64) + (n - 1) * (2 * 9 * 32 * 32 + 2 * 64)
    stage3 = (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64 + 3 * 128) + (n - 1) * (2 * 9 * 64 * 64 + 2 * 128)
    return stem + stage1 + stage2 + stage3 + 65 * num_classes


def count(name: str, num_classes: int = 10) -> int:
    model = build_model(name, num_classes, torch.Generator().manual_seed(0))
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_resnet_preact_20_has_the_published_count() -> None:
    assert count("resnet_preact_20") == 272_282


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 110])
def test_preact_count_follows_the_formula(depth: int) -> None:
    assert count(f"resnet_preact_{depth}") == preact_count(depth, 10)


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 110])
def test_postact_count_follows_the_formula(depth: int) -> None:
    assert count(f"resnet_{depth}") == postact_count(depth, 10)


@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
def test_110_layers_have_about_1_7_million(family: str) -> None:
    assert 1.70e6 < count(f"{family}_110") < 1.75e6


@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
def test_only_the_linear_layer_depends_on_the_classes(family: str) -> None:
    assert count(f"{family}_8", num_classes=100) - count(f"{family}_8", num_classes=10) == 65 * 90


@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
def test_depth_counts_the_layers_with_weights(family: str) -> None:
    model = build_model(f"{family}_20", 10, torch.Generator().manual_seed(0))
    layers = [name for name, parameter in model.named_parameters() if parameter.ndim > 1 and "shortcut" not in name]
    assert len(layers) == 20
