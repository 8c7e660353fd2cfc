"""Layers and initial weights that both families share."""

from collections.abc import Iterator

import torch
from torch import nn

from models.names import STAGE_CHANNELS


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Draw Kaiming normal weights (fan_out, ReLU gain) for convolutions and linear layers; BN is 1 and 0, biases 0.

    Source: He et al. 2015, 'Delving Deep into Rectifiers', eq. 14. The weights are a function of the generator's
    state alone; the global generator is not used.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def block_shapes(depth: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yield input channels, output channels and stride of each block, and whether it is the first of its stage.

    A network of depth 6n+2 has n blocks of two convolutions in each of three stages.
    """
    in_channels = STAGE_CHANNELS[0]
    for stage, out_channels in enumerate(STAGE_CHANNELS):
        for index in range((depth - 2) // 6):
            yield in_channels, out_channels, 2 if stage and not index else 1, index == 0
            in_channels = out_channels


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
