"""Builds a model from its name. A new family needs a module, a line here and a line in `names.FAMILIES`."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from models.layers import initialize
from models.names import parse_model_name
from models.own_model import build
from models.resnet import ResNet
from models.resnet_preact import ResNetPreact
from models.user_code import is_reference

BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "resnet": ResNet,
    "resnet_preact": ResNetPreact,
}
"""Constructor (depth, num_classes) of each family."""


def build_model(
    name: str,
    num_classes: int,
    generator: torch.Generator,
    *,
    image_size: int | tuple[int, int] = 32,
    arguments: Mapping[str, Any] | None = None,
    fingerprint: str | None = None,
) -> nn.Module:
    """Build a model on the CPU in fp32; its weights are a function of the generator's state alone.

    Args:
        image_size: the side of the images, or height and width; only the user's own models are told.
        arguments: further arguments of an own model's constructor.
        fingerprint: identifies the source of an own model.

    Raises:
        ValueError: the family is unknown or the depth impossible.
        UserCodeError: an own model cannot be built, or gives no logits.
    """
    if is_reference(name):
        return build(name, fingerprint, arguments or {}, num_classes, image_size, generator)
    family, depth = parse_model_name(name)
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights at construction
        model = BUILDERS[family](depth, num_classes)
    initialize(model, generator)
    return model
