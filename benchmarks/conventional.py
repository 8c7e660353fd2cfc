"""A training loop as good tutorials write it: the reference of benchmarks/training_speed.py and plain_tune.py.

The same network, recipe and images, but none of the project's code except the network's. torchvision's data set hands
out PIL images, torchvision's transforms crop, flip and normalise them one by one, two loader processes collate them;
fp32, NCHW, SGD and a learning rate for every step, loss and accuracy read at every step. Nothing is slowed down: the
loader processes stay alive from epoch to epoch, and the batches of the evaluation are small, which suits this loop
(among 64 to 1,000 those around 100 were the fastest).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader

from models.registry import build_model
from models.torchvision_import import import_torchvision
from trainable.data.contract import Images, Labels

import_torchvision()

from torchvision import transforms
from torchvision.datasets import CIFAR10, VisionDataset

NUM_THREADS, NUM_WORKERS = 2, 2
TEST_BATCH_SIZE = 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Statistics of CIFAR-10's channels, as tutorials have them."""

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images fp32 [B, 3, H, W] and labels int64 [B]."""


class InMemoryCifar10(CIFAR10):  # type: ignore[misc] # torchvision is untyped here
    """torchvision's CIFAR-10 with other images in it, processed by torchvision's own code."""

    def __init__(self, images: Images, labels: Labels, transform: Any) -> None:  # noqa: ANN401
        VisionDataset.__init__(self, "", transform=transform)
        self.data = images
        self.targets = labels.tolist()


def train_loader(images: Images, labels: Labels, batch_size: int) -> DataLoader[Any]:
    transform = transforms.Compose(
        [
            transforms.RandomCrop(images.shape[1], padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        InMemoryCifar10(images, labels, transform),
        batch_size=batch_size,
        shuffle=True,
        num_workers=NUM_WORKERS,
        drop_last=True,
        persistent_workers=True,
    )


def test_loader(images: Images, labels: Labels, batch_size: int = TEST_BATCH_SIZE) -> DataLoader[Any]:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return DataLoader(
        InMemoryCifar10(images, labels, transform),
        batch_size=batch_size,
        num_workers=NUM_WORKERS,
        persistent_workers=True,
    )


@dataclass(slots=True)
class Conventional:
    """A model with what it takes to train it."""

    model: nn.Module
    criterion: nn.Module
    optimizer: SGD
    scheduler: LRScheduler

    @classmethod
    def build(cls, model_name: str, num_classes: int, lr: float, num_steps: int, seed: int = 0) -> "Conventional":
        """Build a model and its optimiser for a training of `num_steps`, which is the cosine's length."""
        model = build_model(model_name, num_classes, torch.Generator().manual_seed(seed))
        optimizer = SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
        scheduler = CosineAnnealingLR(optimizer, T_max=num_steps, eta_min=0.001 * lr)
        return cls(model, nn.CrossEntropyLoss(), optimizer, scheduler)

    def train_epoch(self, batches: Batches) -> tuple[float, float]:
        """Return the mean loss and accuracy (in [0, 1]) over the images."""
        self.model.train()
        loss_sum, num_correct, num_images = 0.0, 0, 0
        for images, labels in batches:
            self.optimizer.zero_grad()
            outputs = self.model(images)
            loss = self.criterion(outputs, labels)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            loss_sum += loss.item() * labels.size(0)
            num_correct += (outputs.argmax(dim=1) == labels).sum().item()
            num_images += labels.size(0)
        return loss_sum / num_images, num_correct / num_images

    @torch.no_grad()
    def evaluate(self, batches: Batches) -> tuple[float, float]:
        """Return the mean loss and accuracy (in [0, 1]) over the images."""
        self.model.eval()
        loss_sum, num_correct, num_images = 0.0, 0, 0
        for images, labels in batches:
            outputs = self.model(images)
            loss_sum += self.criterion(outputs, labels).item() * labels.size(0)
            num_correct += (outputs.argmax(dim=1) == labels).sum().item()
            num_images += labels.size(0)
        return loss_sum / num_images, num_correct / num_images
