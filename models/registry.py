"""From a model's name to the model. A new family is one module, one line here and one in `names.FAMILIES`."""

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
"""Family -> constructor (depth, num_classes)."""


def build_model(name: str, num_classes: int, generator: torch.Generator) -> nn.Module:
    """Build `name` on the CPU in fp32, its weights a function of the generator's state alone.

    Raises:
        ValueError: unknown family or impossible depth.
    """
    family, depth = parse_model_name(name)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own at construction
        model = BUILDERS[family](depth, num_classes)
    initialize(model, generator)
    return model
