"""What a trial sees of its data set: training, held-out and test images on its device."""

import dataclasses
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.config import TrainConfig
from trainable.data.contract import ImageData, Labels

CHUNK = 4096
"""Images that are looked at in one go."""
HOLDOUT_SEED = 0
"""The held-out images are the same for every trial, whatever its seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images and labels on the device: all of these, or those at some positions, which costs no copy."""

    images: Tensor
    """uint8 [M, H, W, C]."""
    labels: Tensor
    """int64 [M]."""
    positions: Tensor | None = None
    """int64 [N], which of the M belong to the split and in which order; None is all of them."""

    def __len__(self) -> int:
        return len(self.labels if self.positions is None else self.positions)

    def take(self, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Images uint8 [B, H, W, C] and labels int64 [B] of some members of the split, by their rank in it."""
        index = chosen if self.positions is None else self.positions[chosen]
        return self.images[index], self.labels[index]

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (population) per channel, fp32 [C] each, in [0, 255], on the device.

        Counted by histogram, in whole numbers: independent of the thread count. A constant channel has std 1.
        """
        num_channels = self.images.shape[3]
        counts = torch.zeros(num_channels, 256, dtype=torch.float64)
        for start in range(0, len(self), CHUNK):
            images, _ = self.take(slice(start, start + CHUNK))
            for channel in range(num_channels):
                counts[channel] += torch.bincount(images[..., channel].reshape(-1).cpu(), minlength=256)
        shares = counts / counts.sum(dim=1, keepdim=True)
        values = torch.arange(256, dtype=torch.float64)
        mean = (shares * values).sum(dim=1)
        variance = (shares * (values - mean[:, None]) ** 2).sum(dim=1)
        std = torch.where(variance > 0, variance.sqrt(), 1.0)
        return mean.float().to(self.images.device), std.float().to(self.images.device)


@dataclass(frozen=True, slots=True, eq=False)
class TrialData:
    """The splits of a trial, with the channel statistics of the images that it trains on."""

    train: Split
    holdout: Split | None
    test: Split
    mean: Tensor
    std: Tensor
    num_classes: int


def prepare(data: ImageData, config: TrainConfig, device: torch.device) -> TrialData:
    """Cut the data set as the config says. On the CPU no image is copied."""
    train = Split(
        _tensor(data.train_images[: config.train_subset]).to(device),
        _tensor(data.train_labels[: config.train_subset]).to(device),
    )
    holdout: Split | None = None
    if held_out := round(len(train) * config.holdout):
        chosen = holdout_positions(data.train_labels[: config.train_subset], held_out)
        others = np.setdiff1d(np.arange(len(train)), chosen)
        holdout = dataclasses.replace(train, positions=torch.from_numpy(chosen).to(device))
        train = dataclasses.replace(train, positions=torch.from_numpy(others).to(device))
    mean, std = train.channel_statistics()
    return TrialData(
        train=train,
        holdout=holdout,
        test=Split(
            _tensor(data.test_images[: config.test_subset]).to(device),
            _tensor(data.test_labels[: config.test_subset]).to(device),
        ),
        mean=mean.to(device),
        std=std.to(device),
        num_classes=data.num_classes,
    )


def holdout_positions(labels: Labels, count: int) -> NDArray[np.int64]:
    """`count` positions, in rising order, spread over the classes in proportion (systematic sampling)."""
    shuffled = np.random.RandomState(HOLDOUT_SEED).permutation(len(labels))  # the legacy stream is frozen
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    picked: NDArray[np.int64] = (np.arange(count) * len(labels) + len(labels) // 2) // count
    return np.sort(by_class[picked])


def _tensor(array: NDArray[np.uint8] | NDArray[np.int64]) -> Tensor:
    """Share the memory of an array that is, for good reason, read-only (mapped, or in Ray's object store)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
