"""All randomness of a training as a pure function of its seed: no generator state needs to be kept."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING = 4
"""Zeros around an image before it is cropped back to its size, in pixels."""


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on the seed and on what it is for, on nothing else."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Which image comes when in an epoch, and how it is cropped and flipped; all drawn on the CPU.

    order: int64 [N], positions in the training set; offsets: int64 [N, 2], row and column of the crop in
    the padded image, each in [0, 2 * PADDING]; flips: bool [N].
    """

    order: Tensor
    offsets: Tensor
    flips: Tensor

    def to(self, device: torch.device) -> "EpochPlan":
        return EpochPlan(self.order.to(device), self.offsets.to(device), self.flips.to(device))


def plan_epoch(num_images: int, augmentation: str, seed: int, epoch: int) -> EpochPlan:
    """Draw epoch `epoch` (0 is the first) of a training with this seed."""
    source = generator(seed, f"epoch {epoch}")
    order = torch.randperm(num_images, generator=source)
    offsets = torch.full((num_images, 2), PADDING)
    flips = torch.zeros(num_images, dtype=torch.bool)
    if augmentation in ("crop", "crop_flip"):
        offsets = torch.randint(0, 2 * PADDING + 1, (num_images, 2), generator=source)
    if augmentation == "crop_flip":
        flips = torch.randint(0, 2, (num_images,), generator=source).bool()
    return EpochPlan(order, offsets, flips)
