"""The computing cost of a model from its name alone, without torch, so that a sweep can be planned without it."""

from models.names import STAGE_CHANNELS, parse_model_name
from models.user_code import is_reference

KERNEL = 3 * 3
ASSUMED_WEIGHTS = 25_000_000
"""Number of weights of a model of the user's own, of which nothing is known: about those of ResNet-50."""


def multiply_accumulates(name: str, image_size: int = 32, num_classes: int = 10) -> int | None:
    """Return the multiply-accumulates of convolutions and linear layers for one image in one forward pass.

    None for a model of the user's own, whose name tells nothing.

    Both families cost the same, since they differ only in the order of their layers. Source: He et al. 2015,
    section 4.2.

    Raises:
        ValueError: the family is unknown or the depth impossible.
    """
    if is_reference(name):
        return None
    _, depth = parse_model_name(name)
    channels, side = STAGE_CHANNELS[0], image_size
    total = KERNEL * 3 * channels * side**2
    for stage, out_channels in enumerate(STAGE_CHANNELS):
        if stage:
            side = (side + 1) // 2
            total += (KERNEL + 1) * channels * out_channels * side**2  # the first convolution and the shortcut
        else:
            total += KERNEL * channels * out_channels * side**2
        total += ((depth - 2) // 3 - 1) * KERNEL * out_channels**2 * side**2
        channels = out_channels
    return total + channels * num_classes


def num_weights(name: str) -> int:
    """Return about how many weights a model has."""
    return multiply_accumulates(name, image_size=1) or ASSUMED_WEIGHTS  # one pixel uses each weight once
