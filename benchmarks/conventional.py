"""A training loop as good tutorials write it: `python benchmarks/conventional.py [--batch-size 128] [--epochs 1]`.

What Batchscape's loop is measured against: the same network, recipe and images, none of our code but the network's.
torchvision's data set hands out PIL images, torchvision's transforms crop, flip and normalise them one by one, two
loader processes collate them; fp32, NCHW, SGD and a learning rate for every step, loss and accuracy read at every
step. Nothing is slowed down: the loader processes stay alive from epoch to epoch, and the batches of the evaluation
are small, which suits this loop (of 64 to 1,000, those around 100 were the fastest).
"""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.images import load_or_noise  # noqa: E402
from benchmarks.report import add_to, write_report  # noqa: E402
from benchmarks.rounds import summary  # noqa: E402
from models.registry import build_model  # noqa: E402
from trainable.data.contract import Images, Labels  # noqa: E402
from trainable.data.torchvision_import import import_torchvision  # noqa: E402

import_torchvision()

from torchvision import transforms  # noqa: E402
from torchvision.datasets import CIFAR10, VisionDataset  # noqa: E402

NUM_THREADS = 2
NUM_WORKERS = 2
TEST_BATCH_SIZE = 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's channels, as tutorials have them."""

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images fp32 [B, 3, H, W] and labels int64 [B]."""


class InMemoryCifar10(CIFAR10):  # type: ignore[misc] # torchvision is untyped here
    """torchvision's CIFAR-10 with other images in it: what it does with an image is torchvision's own code."""

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
        """
        Args:
            num_steps: of the whole training: the cosine's length.
        """
        model = build_model(model_name, num_classes, torch.Generator().manual_seed(seed))
        optimizer = SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
        scheduler = CosineAnnealingLR(optimizer, T_max=num_steps, eta_min=0.001 * lr)
        return cls(model, nn.CrossEntropyLoss(), optimizer, scheduler)

    def train_epoch(self, batches: Batches) -> tuple[float, float]:
        """Mean loss and accuracy (in [0, 1]) over the images."""
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
        """Mean loss and accuracy (in [0, 1]) over the images."""
        self.model.eval()
        loss_sum, num_correct, num_images = 0.0, 0, 0
        for images, labels in batches:
            outputs = self.model(images)
            loss_sum += self.criterion(outputs, labels).item() * labels.size(0)
            num_correct += (outputs.argmax(dim=1) == labels).sum().item()
            num_images += labels.size(0)
        return loss_sum / num_images, num_correct / num_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="resnet_preact_20")
    parser.add_argument("--data", type=Path, metavar="DIR", help="as for tune_main.py (default: noise)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=1)
    add_to(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(NUM_THREADS)
    data = load_or_noise(arguments.data)
    train = train_loader(data.train_images, data.train_labels, arguments.batch_size)
    test = test_loader(data.test_images, data.test_labels)
    num_steps = arguments.epochs * len(train)
    learner = Conventional.build(arguments.model, data.num_classes, arguments.lr, num_steps)
    rates: dict[str, list[float]] = {"training": [], "evaluation": []}
    for epoch in range(1, arguments.epochs + 1):
        started = time.perf_counter()
        loss, _ = learner.train_epoch(train)
        trained = time.perf_counter()
        _, accuracy = learner.evaluate(test)
        rates["training"].append(len(train) * arguments.batch_size / (trained - started))
        rates["evaluation"].append(len(data.test_labels) / (time.perf_counter() - trained))
        speeds = ", ".join(f"{name} {values[-1]:,.0f} images/s" for name, values in rates.items())
        print(f"epoch {epoch}: train loss {loss:.4f}, test error {100 * (1 - accuracy):.2f} %, {speeds}", flush=True)
    figures = {
        "model": arguments.model,
        "batch_size": arguments.batch_size,
        "images_per_second": {name: summary(values) for name, values in rates.items()},
    }
    print(write_report("conventional", "python benchmarks/conventional.py", figures, arguments.to))


if __name__ == "__main__":
    main()
