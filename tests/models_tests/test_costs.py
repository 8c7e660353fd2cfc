"""The cost that is computed from a model's name is that of the model."""

import pytest
import torch
from torch import nn

from models.costs import multiply_accumulates
from models.registry import build_model


def counted(name: str, image_size: int) -> int:
    """Count the operations from the shapes of the layers' outputs."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    model = build_model(name, 10, torch.Generator().manual_seed(0)).eval()
    for layer in model.modules():
        layer.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.zeros(1, 3, image_size, image_size))
    return total


@pytest.mark.parametrize("image_size", [32, 27])
@pytest.mark.parametrize("name", ["resnet_8", "resnet_preact_8", "resnet_20", "resnet_preact_26"])
def test_as_counted_layer_by_layer(name: str, image_size: int) -> None:
    assert multiply_accumulates(name, image_size) == counted(name, image_size)


def test_no_such_model() -> None:
    with pytest.raises(ValueError, match="unknown model"):
        multiply_accumulates("vgg_16")
