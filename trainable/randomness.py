"""All randomness of a training as a pure function of its seed, so that no generator state has to be stored."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING = 4
"""Width of the zero padding around an image before it is cropped back to its size, in pixels."""


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator that depends on the seed and the purpose alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The order of the images in an epoch, and how each is cropped and flipped; all of it is drawn on the CPU."""

    order: Tensor
    """int64 [N], positions in the training split."""
    offsets: Tensor
    """int64 [N, 2], row and column of the crop in the padded image, each in [0, 2 * PADDING]."""
    flips: Tensor
    """bool [N], which images are mirrored."""

    def to(self, device: torch.device) -> "EpochPlan":
        """Return the plan on a device."""
        return EpochPlan(self.order.to(device), self.offsets.to(device), self.flips.to(device))


def plan_epoch(num_images: int, augmentation: str, seed: int, epoch: int) -> EpochPlan:
    """Draw the plan of an epoch, counted from 0, of a training with this seed."""
    source = generator(seed, f"epoch {epoch}")
    order = torch.randperm(num_images, generator=source)
    offsets = torch.full((num_images, 2), PADDING)
    flips = torch.zeros(num_images, dtype=torch.bool)
    if augmentation in ("crop", "crop_flip"):
        offsets = torch.randint(0, 2 * PADDING + 1, (num_images, 2), generator=source)
    if augmentation == "crop_flip":
        flips = torch.randint(0, 2, (num_images,), generator=source).bool()
    return EpochPlan(order, offsets, flips)
