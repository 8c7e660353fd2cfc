"""Builds a model from its name. A new family needs a module, a line here and a line in `names.FAMILIES`."""

from collections.abc import Callable

import torch
from torch import nn

from models.layers import initialize
from models.names import parse_model_name
from models.resnet import ResNet
from models.resnet_preact import ResNetPreact

BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "resnet": ResNet,
    "resnet_preact": ResNetPreact,
}
"""Constructor (depth, num_classes) of each family."""


def build_model(name: str, num_classes: int, generator: torch.Generator) -> nn.Module:
    """Build a model on the CPU in fp32; its weights are a function of the generator's state alone.

    Raises:
        ValueError: the family is unknown or the depth impossible.
    """
    family, depth = parse_model_name(name)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights at construction
        model = BUILDERS[family](depth, num_classes)
    initialize(model, generator)
    return model
