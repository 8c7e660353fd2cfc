"""What a trial sees of its data set: training, held-out and test images on its device."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.augmentation import channel_statistics
from trainable.config import TrainConfig
from trainable.data.contract import ImageData, Labels

HOLDOUT_SEED = 0
"""The held-out images are the same for every trial, whatever its seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images uint8 [N, H, W, C] and labels int64 [N] on the device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


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
    """Cut the data set as the config says. On the CPU nothing is copied unless images are held out."""
    train_images = _tensor(data.train_images[: config.train_subset])
    train_labels = _tensor(data.train_labels[: config.train_subset])
    holdout: Split | None = None
    if held_out := round(len(train_labels) * config.holdout):
        chosen = torch.from_numpy(holdout_positions(data.train_labels[: config.train_subset], held_out))
        kept = torch.ones(len(train_labels), dtype=torch.bool)
        kept[chosen] = False
        holdout = Split(train_images[chosen].to(device), train_labels[chosen].to(device))
        train_images, train_labels = train_images[kept], train_labels[kept]
    mean, std = channel_statistics(train_images)
    return TrialData(
        train=Split(train_images.to(device), train_labels.to(device)),
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
