"""One epoch of training and one evaluation. No loop over images in Python, one read-back of the device an epoch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from trainable.augmentation import normalize
from trainable.splits import Split, TrialData
from trainable.weights import MasterWeights

EVAL_BATCH_SIZE = 1000
"""Images evaluated at a time: fixed, so that results do not depend on the training batch size."""


@dataclass(frozen=True, slots=True)
class TrainMetrics:
    """Means over an epoch's images; the gradient's L2 norm is that of the last step."""

    loss: float
    error_percent: float
    gradient_norm: float
    num_images: int


@dataclass(frozen=True, slots=True)
class EvalMetrics:
    """Means over a split; `correct` is bool [N] on the CPU, in the split's order."""

    loss: float
    error_percent: float
    correct: Tensor


@dataclass(slots=True)
class Learner:
    """A model with what it takes to train it."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The model, or its compiled form: images in `weights.dtype` [B, C, H, W] -> logits [B, num_classes]."""
    weights: MasterWeights
    optimizer: SGD
    """Of `weights.master`, with `lr` as its learning rate."""
    scaler: torch.amp.GradScaler
    lr: Tensor
    """fp32 [], on the device: a recorded step reads it from there."""

    @property
    def device(self) -> torch.device:
        return self.lr.device

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One optimiser step on normalised images fp32 [B, C, H, W]; nothing waits for the device.

        Returns:
            Mean loss of the batch and number of right answers, both still on the device.
        """
        logits = self.forward(images.to(self.weights.dtype)).float()
        loss = functional.cross_entropy(logits, labels)
        self.weights.set_gradients(torch.autograd.grad(self.scaler.scale(loss), self.weights.parameters))
        self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.weights.round()
        return loss.detach(), (logits.detach().argmax(dim=1) == labels).sum()


@dataclass(slots=True)
class RunningSums:
    """An epoch's loss (fp64 []) and right answers (int64 []), summed on the device."""

    loss: Tensor
    correct: Tensor

    @classmethod
    def zeros(cls, device: torch.device) -> "RunningSums":
        return cls(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        )

    def add(self, loss: Tensor, correct: Tensor, num_images: int) -> None:
        """Add a batch's mean loss and number of right answers, in place."""
        self.loss += loss * num_images
        self.correct += correct

    def metrics(self, learner: Learner, num_images: int) -> TrainMetrics:
        """Read them back: the one moment at which an epoch waits for the device."""
        return TrainMetrics(
            loss=self.loss.item() / num_images,
            error_percent=100.0 * (num_images - int(self.correct)) / num_images,
            gradient_norm=float(learner.weights.gradient_norm()),
            num_images=num_images,
        )


def train_epoch(
    learner: Learner,
    data: TrialData,
    batches: Iterable[tuple[Tensor, Tensor]],
    lrs: Iterable[float],
    on_step: Callable[[int], None] | None = None,
) -> TrainMetrics:
    """Train on the batches (uint8 [B, H, W, C], int64 [B]), each at its learning rate.

    Args:
        on_step: told the number of steps done, after each.

    Raises:
        ValueError: no batches, or another number of learning rates.
    """
    learner.model.train()
    sums = RunningSums.zeros(learner.device)
    num_images = 0
    for step, ((images, labels), lr) in enumerate(zip(batches, lrs, strict=True)):
        learner.lr.fill_(lr)
        loss, correct = learner.step(normalize(images, data.mean, data.std), labels)
        sums.add(loss, correct, len(labels))
        num_images += len(labels)
        if on_step is not None:
            on_step(step + 1)
    if not num_images:
        raise ValueError("an epoch needs at least one batch")
    return sums.metrics(learner, num_images)


@torch.inference_mode()
def evaluate(learner: Learner, data: TrialData, split: Split) -> EvalMetrics:
    """Loss and error on a split, no augmentation, in batches of EVAL_BATCH_SIZE."""
    learner.model.eval()
    loss_sum = torch.zeros((), dtype=torch.float64, device=learner.device)
    correct: list[Tensor] = []
    for start in range(0, len(split), EVAL_BATCH_SIZE):
        images, labels = split.take(slice(start, start + EVAL_BATCH_SIZE))
        logits = learner.model(normalize(images, data.mean, data.std).to(learner.weights.dtype)).float()
        loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
        correct.append(logits.argmax(dim=1) == labels)
    right = torch.cat(correct).cpu()
    return EvalMetrics(
        loss=loss_sum.item() / len(split),
        error_percent=100.0 * (len(split) - int(right.sum())) / len(split),
        correct=right,
    )
