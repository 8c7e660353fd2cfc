"""One epoch of training and one evaluation. No loop over images in Python, one read-back of the device an epoch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from trainable.augmentation import normalize
from trainable.precision import Precision
from trainable.splits import Split, TrialData

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
    optimizer: SGD
    scaler: torch.amp.GradScaler
    precision: Precision
    device: torch.device

    def step(self, images: Tensor, labels: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """One optimiser step on normalised images fp32 [B, C, H, W].

        Returns:
            Mean loss of the batch and number of right answers, both still on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        with self.precision.autocast(self.device):
            logits = self.model(images)
            loss = functional.cross_entropy(logits, labels)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), (logits.detach().argmax(dim=1) == labels).sum()

    def gradient_norm(self) -> Tensor:
        """L2 norm over all gradients of the last step (the scaler has unscaled them), on the device."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        return norm


def train_epoch(
    learner: Learner,
    data: TrialData,
    batches: Iterable[tuple[Tensor, Tensor]],
    lr_of_step: Callable[[int], float],
    on_step: Callable[[int], None] | None = None,
) -> TrainMetrics:
    """Train on the batches (uint8 [B, H, W, C], int64 [B]); all sums stay on the device until the end.

    Args:
        lr_of_step: learning rate of the epoch's step, counted from 0.
        on_step: told the number of steps done, after each.

    Raises:
        ValueError: no batches.
    """
    learner.model.train()
    loss_sum = torch.zeros((), dtype=torch.float64, device=learner.device)
    num_correct = torch.zeros((), dtype=torch.int64, device=learner.device)
    num_images = 0
    for step, (images, labels) in enumerate(batches):
        loss, correct = learner.step(normalize(images, data.mean, data.std), labels, lr_of_step(step))
        loss_sum += loss * len(labels)
        num_correct += correct
        num_images += len(labels)
        if on_step is not None:
            on_step(step + 1)
    if not num_images:
        raise ValueError("an epoch needs at least one batch")
    return TrainMetrics(
        loss=loss_sum.item() / num_images,
        error_percent=100.0 * (num_images - int(num_correct)) / num_images,
        gradient_norm=float(learner.gradient_norm()),
        num_images=num_images,
    )


@torch.inference_mode()
def evaluate(learner: Learner, data: TrialData, split: Split) -> EvalMetrics:
    """Loss and error on a split, no augmentation, in batches of EVAL_BATCH_SIZE."""
    learner.model.eval()
    loss_sum = torch.zeros((), dtype=torch.float64, device=learner.device)
    correct: list[Tensor] = []
    for start in range(0, len(split), EVAL_BATCH_SIZE):
        images, labels = split.take(slice(start, start + EVAL_BATCH_SIZE))
        with learner.precision.autocast(learner.device):
            logits = learner.model(normalize(images, data.mean, data.std))
            loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
        correct.append(logits.argmax(dim=1) == labels)
    right = torch.cat(correct).cpu()
    return EvalMetrics(
        loss=loss_sum.item() / len(split),
        error_percent=100.0 * (len(split) - int(right.sum())) / len(split),
        correct=right,
    )
