"""The statistics that a network starts with, and what they depend on."""

import math

import pytest
import torch
from torch import nn

from models.registry import build_model

FAMILIES = ("resnet", "resnet_preact")


def build(name: str, seed: int = 0) -> nn.Module:
    return build_model(name, 10, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_kaiming_fan_out(family: str) -> None:
    for name, layer in build(f"{family}_20").named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.weight.detach()
        fan_out = weight.shape[0] * math.prod(weight.shape[2:])
        expected = math.sqrt(2.0 / fan_out)
        tolerance = 4.0 / math.sqrt(2 * weight.numel())  # four standard errors of a standard deviation
        assert weight.std().item() == pytest.approx(expected, rel=tolerance), name
        assert abs(weight.mean().item()) < 4.0 * expected / math.sqrt(weight.numel()), name


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_norms_start_at_one_and_zero(family: str) -> None:
    norms = [layer for layer in build(f"{family}_14").modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.zeros_like(norm.bias))


@pytest.mark.parametrize("family", FAMILIES)
def test_biases_are_zero_and_only_the_head_and_batch_norms_have_one(family: str) -> None:
    for layer in build(f"{family}_14").modules():
        if isinstance(layer, nn.Linear):
            assert torch.equal(layer.bias, torch.zeros(10))
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None


@pytest.mark.parametrize("family", FAMILIES)
def test_same_generator_state_gives_same_weights(family: str) -> None:
    first, second = build(f"{family}_8", seed=5).state_dict(), build(f"{family}_8", seed=5).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_seed_changes_every_random_layer(family: str) -> None:
    first, second = build(f"{family}_8", seed=5).state_dict(), build(f"{family}_8", seed=6).state_dict()
    assert all(not torch.equal(first[name], second[name]) for name in first if first[name].ndim > 1)


def test_weights_do_not_depend_on_the_global_generator() -> None:
    torch.manual_seed(1)
    first = build("resnet_preact_8").state_dict()
    torch.manual_seed(2)
    second = build("resnet_preact_8").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_layers_are_drawn_independently() -> None:
    convolutions = [layer for layer in build("resnet_preact_8").modules() if isinstance(layer, nn.Conv2d)]
    shapes = {tuple(layer.weight.shape): layer.weight for layer in convolutions}
    assert len(shapes) < len(convolutions)  # some share a shape ...
    for layer in convolutions:
        other = shapes[tuple(layer.weight.shape)]
        assert other is layer.weight or not torch.equal(other, layer.weight)  # ... none its weights


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    build("resnet_preact_8")
    assert torch.equal(torch.random.get_rng_state(), before)
