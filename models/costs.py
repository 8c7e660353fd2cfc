"""What a model costs to compute, from its name alone: free of torch, so that a sweep can be planned without it."""

from models.names import parse_model_name

STAGE_CHANNELS = (16, 32, 64)
KERNEL = 3 * 3


def multiply_accumulates(name: str, image_size: int = 32, num_classes: int = 10) -> int:
    """Of convolutions and linear layers, one image [3, image_size, image_size], forward only.

    Both families cost the same: they differ in the order of their layers. Source: He et al. 2015, section 4.2.

    Raises:
        ValueError: unknown family or impossible depth.
    """
    _, depth = parse_model_name(name)
    channels, side = STAGE_CHANNELS[0], image_size
    total = KERNEL * 3 * channels * side**2
    for stage, out_channels in enumerate(STAGE_CHANNELS):
        if stage:
            side = (side + 1) // 2
            total += (KERNEL + 1) * channels * out_channels * side**2  # the first convolution, and the shortcut's
        else:
            total += KERNEL * channels * out_channels * side**2
        total += ((depth - 2) // 3 - 1) * KERNEL * out_channels**2 * side**2
        channels = out_channels
    return total + channels * num_classes
