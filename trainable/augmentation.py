"""Crops, flips and normalisation of whole batches of uint8 images, on any device."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from trainable.randomness import PADDING, EpochPlan
from trainable.splits import CHUNK, Split


def crop_and_flip(images: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
    """Pad the images with zeros, crop a window of each, and mirror some left to right.

    Args:
        images: uint8 [N, H, W, C].
        offsets: int64 [N, 2], row and column of the window in the padded image.
        flips: bool [N], which images are mirrored.

    Returns:
        uint8 [N, H, W, C].
    """
    num_images, height, width, channels = images.shape
    padded = functional.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING))
    windows = padded.as_strided(
        (num_images, 2 * PADDING + 1, 2 * PADDING + 1, height, width, channels),
        (padded.stride(0), padded.stride(1), padded.stride(2), *padded.stride()[1:]),
    )
    rows = torch.arange(num_images, device=images.device)
    cropped = windows[rows, offsets[:, 0], offsets[:, 1]]
    return torch.where(flips[:, None, None, None], cropped.flip(2), cropped)


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return (images - mean) / std per channel as fp32 [N, C, H, W] in channels_last memory.

    Args:
        images: uint8 [N, H, W, C].
        mean: fp32 [C], in units of the uint8 values.
        std: fp32 [C], in units of the uint8 values.
    """
    width = images.shape[2]
    rows = images.flatten(2).to(torch.float32)  # a CPU's vectors want more numbers in a row than a pixel has
    normalized = (rows - mean.repeat(width)).div_(std.repeat(width))
    return normalized.view(images.shape).permute(0, 3, 1, 2)


def cut_out(images: Tensor, centers: Tensor | None, size: int | None) -> Tensor:
    """Set a square of each normalised image to 0, the mean colour; its parts outside of the image are dropped.

    Args:
        images: fp32 [N, C, H, W].
        centers: fp32 [N, 2], row and column of the square's centre as shares of height and width, in [0, 1).
        size: the side of the square in pixels; None (or no centres) changes nothing.
    """
    if centers is None or size is None:
        return images
    inside = []
    for axis in (0, 1):
        length = images.shape[2 + axis]
        first = (centers[:, axis] * length).long() - size // 2
        pixels = torch.arange(length, device=images.device) - first[:, None]
        inside.append((pixels >= 0) & (pixels < size))
    return images.masked_fill(inside[0][:, None, :, None] & inside[1][:, None, None, :], 0.0)


def training_batches(
    split: Split, plan: EpochPlan, batch_size: int, *, augmented: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch (uint8 [B, H, W, C], int64 [B]) in the plan's order, dropping an incomplete one.

    Args:
        plan: the plan of the epoch, on the split's device.
        augmented: whether images are cropped and flipped as the plan says.
    """
    num_used = len(plan.order) // batch_size * batch_size
    chunk = max(1, CHUNK // batch_size) * batch_size
    for start in range(0, num_used, chunk):
        picked = slice(start, min(start + chunk, num_used))
        images, labels = split.take(plan.order[picked])
        if augmented:
            images = crop_and_flip(images, plan.offsets[picked], plan.flips[picked])
        yield from zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
