"""All randomness of a training as a pure function of its seed, so that no generator state has to be stored."""

import dataclasses
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from trainable.config import TrainConfig

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
    centers: Tensor | None = None
    """fp32 [N, 2], where a square is cut out of each image (see `augmentation.cut_out`); None cuts out nothing."""
    shares: Tensor | None = None
    """fp32 [S], the share of each image in its blend with another, from 0.5 to 1, for each step; None blends none."""

    def to(self, device: torch.device) -> "EpochPlan":
        """Return the plan on a device."""
        return EpochPlan(*(None if part is None else part.to(device) for part in self.parts()))  # type: ignore[arg-type]

    def parts(self) -> tuple[Tensor | None, ...]:
        """Return the tensors of the plan in the order of the fields."""
        return self.order, self.offsets, self.flips, self.centers, self.shares

    def with_cutout_and_mixup(self, config: TrainConfig, num_steps: int, epoch: int) -> "EpochPlan":
        """Return the plan with the squares and the shares of an epoch, drawn apart from the rest."""
        centers = shares = None
        if config.cutout_size is not None:
            centers = torch.rand(len(self.order), 2, generator=generator(config.seed, f"cutout {epoch}"))
        if config.mixup_alpha is not None:
            source = generator(config.seed, f"mixup {epoch}")
            alphas = torch.full((num_steps, 2), config.mixup_alpha, dtype=torch.float64)
            # the larger share, so that the label of an image is that of most of its blend
            shares = torch._sample_dirichlet(alphas, source).amax(dim=1).float()
        return dataclasses.replace(self, centers=centers, shares=shares)


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
