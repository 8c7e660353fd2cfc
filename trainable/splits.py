"""The splits of a data set for one trial: training, held-out and test images on its device."""

import dataclasses
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.config import SHARED_HOLDOUT, TrainConfig
from trainable.data.contract import ImageData, Labels

CHUNK = 4096
"""Number of images that are processed at a time."""
HOLDOUT_SEED = 0
"""Seed of the choice of held-out images; they are the same for every trial, whatever its own seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images and labels on the device, all of them or those at some positions (without copying any)."""

    images: Tensor
    """uint8 [M, H, W, C]."""
    labels: Tensor
    """int64 [M]."""
    positions: Tensor | None = None
    """int64 [N], the positions of the images that belong to the split, in order; None means all M."""

    def __len__(self) -> int:
        return len(self.labels if self.positions is None else self.positions)

    def take(self, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return images uint8 [B, H, W, C] and labels int64 [B] of the chosen members of the split."""
        index = chosen if self.positions is None else self.positions[chosen]
        return self.images[index], self.labels[index]

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and population standard deviation per channel, fp32 [C] each, in [0, 255], on the device.

        They are computed from histograms in whole numbers, so they do not depend on the number of threads. The
        standard deviation of a constant channel is 1.
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


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TrialData:
    """The splits of a trial, and mean and standard deviation (fp32 [C]) of the images that it trains on."""

    train: Split
    holdout: Split | None
    test: Split
    mean: Tensor
    std: Tensor
    num_classes: int
    class_names: tuple[str, ...] = ()
    """Name of each class; empty if the data set has none."""


def prepare(data: ImageData, config: TrainConfig, device: torch.device) -> TrialData:
    """Split the data set as the configuration says. No image is copied on a CPU."""
    subset = None if config.recipe_version == SHARED_HOLDOUT else config.train_subset
    labels = data.train_labels[:subset]
    train = Split(as_tensor(data.train_images[:subset]), as_tensor(labels))
    holdout: Split | None = None
    num_trained, held_out = config.count_images(len(data.train_labels))
    if held_out:
        chosen = holdout_positions(labels, held_out)
        others = np.setdiff1d(np.arange(len(labels)), chosen)[:num_trained]
        holdout = dataclasses.replace(train, positions=torch.from_numpy(chosen))
        train = dataclasses.replace(train, positions=torch.from_numpy(others))
    mean, std = train.channel_statistics()  # before the upload: on a GPU each count would wait for a copy
    train = Split(train.images.to(device), train.labels.to(device), _moved(train.positions, device))
    if holdout is not None:
        holdout = dataclasses.replace(train, positions=_moved(holdout.positions, device))
    return TrialData(
        train=train,
        holdout=holdout,
        test=Split(
            as_tensor(data.test_images[: config.test_subset]).to(device),
            as_tensor(data.test_labels[: config.test_subset]).to(device),
        ),
        mean=mean.to(device),
        std=std.to(device),
        num_classes=data.num_classes,
        class_names=data.class_names,
    )


def _moved(positions: Tensor | None, device: torch.device) -> Tensor | None:
    return None if positions is None else positions.to(device)


def holdout_positions(labels: Labels, count: int) -> NDArray[np.int64]:
    """Return `count` positions in rising order, spread over the classes in proportion (systematic sampling)."""
    shuffled = np.random.RandomState(HOLDOUT_SEED).permutation(len(labels))  # the legacy stream is frozen
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    picked: NDArray[np.int64] = (np.arange(count) * len(labels) + len(labels) // 2) // count
    return np.sort(by_class[picked])


def as_tensor(array: NDArray[np.uint8] | NDArray[np.int64]) -> Tensor:
    """Return a tensor on the array's memory, which is read-only (mapped, or in Ray's object store)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
