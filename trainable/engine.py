"""One epoch of training, and evaluation. Python waits for the device once per epoch and never loops over images."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from models.own_model import guarded
from trainable.augmentation import cut_out, normalize
from trainable.config import TrainConfig
from trainable.heartbeat import PULSE
from trainable.randomness import EpochPlan
from trainable.splits import Split, TrialData
from trainable.weights import MasterWeights

EVAL_BATCH_SIZE = 1000
"""Number of images per evaluation batch; it is fixed so that results do not depend on the training batch size."""
CPU_EVAL_PART = 250
"""Number of images of such a batch that a CPU takes at once, so that they stay in its caches; it changes no bit."""
OWN_EVAL_FACTOR = 8
"""Largest evaluation batch with a user's model, as a multiple of the training batch."""

Logits = Callable[[Tensor], Tensor]
"""Maps images uint8 [EVAL_BATCH_SIZE, H, W, C] to logits fp32 [B, num_classes], which the next call may overwrite."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits fp32 [B, num_classes] and labels int64 [B] to the mean loss []."""
OnStep = Callable[[int], None]
"""Called after each step, or several that are launched together, with the number of steps done in the epoch."""
BeforeStep = Callable[[int, Tensor, Tensor, Tensor | None], None]
"""Called before each step with its number in the epoch, from 0, and the arguments of `Learner.step`."""


@dataclass(frozen=True, slots=True)
class TrainMetrics:
    """Means over the images of an epoch, and the L2 norm of the gradient at its last step."""

    loss: float
    error_percent: float
    gradient_norm: float
    num_images: int


@dataclass(frozen=True, slots=True)
class EvalMetrics:
    """Means over a split; `correct` is bool [N] on the CPU, in the order of the split."""

    loss: float
    error_percent: float
    correct: Tensor


@dataclass(slots=True)
class Learner:
    """A model with its weights and its optimiser."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The model or its compiled form: maps images of `weights.dtype` [B, C, H, W] to logits [B, num_classes]."""
    weights: MasterWeights
    optimizer: Optimizer
    """Optimiser of `weights.master`; its learning rate is `lr`."""
    buffers: Mapping[str, Tensor]
    """What the optimiser remembers between steps: vectors fp32 [P] like `weights.master`, and counts of steps []."""
    scaler: torch.amp.GradScaler
    lr: Tensor
    """Learning rate, fp32 [] on the device, where a recorded step reads it."""
    config: TrainConfig
    """The settings of a step besides the optimiser's: clipping, label smoothing, ghost batches."""
    own_loss: Loss | None = None
    """The user's training loss; None is the cross entropy."""
    autocast: torch.dtype | None = None
    """Number format of torch.autocast; None if the model computes in that of its weights."""
    nchw: bool = False
    """Whether the images are in the usual memory order, not in channels_last, because the user's model needs that."""
    references: tuple[str, ...] = ()
    """References of the user's model and loss, which may raise anything."""

    @property
    def device(self) -> torch.device:
        return self.lr.device

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """Return the context in which to call the user's code, if there is any."""
        return guarded(*self.references) if self.references else contextlib.nullcontext()

    def logits(self, forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return the logits fp32 [B, num_classes] of normalised images fp32 [B, C, H, W]."""
        images = images.contiguous() if self.nchw else images
        if self.autocast is None:
            return forward(images.to(self.weights.dtype)).float()
        with torch.autocast(self.device.type, self.autocast):
            return forward(images).float()

    def step(self, images: Tensor, labels: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Do one optimiser step on normalised images fp32 [B, C, H, W], without waiting for the device.

        Batch normalisation is the only layer of our models that sees more than one image, so that ghost batches are
        forward and backward passes of their own, whose gradients are added up. Parameters without a gradient are
        treated as if it were zero.

        Args:
            share: share of each image and label in its blend with the previous one of the batch, fp32 []; None blends
                nothing.

        Returns:
            The mean loss of the batch and the number of correct answers, both still on the device.

        Raises:
            UserCodeError: the user's model or loss raised something.
        """
        with self.watched():
            return self._step(images, labels, share)

    def _step(self, images: Tensor, labels: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        loss, correct = self.accumulate(self.forward, images, labels, share)
        self.scaler.unscale_(self.optimizer)
        if self.config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.weights.master, self.config.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.weights.round()
        return loss, correct

    def accumulate(
        self, forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, share: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Set the gradient of the master weights, which is scaled, to that of these images; return as `step` does."""
        others = labels
        if share is not None:
            images, others = torch.lerp(images.roll(1, 0), images, share), labels.roll(1)
        size = self.config.ghost_batch_size or len(labels)
        losses: list[Tensor] = []
        rights: list[Tensor] = []
        for start in range(0, len(labels), size):
            ghost = slice(start, start + size)
            logits = self.logits(forward, images[ghost])
            loss = self._loss(logits, labels[ghost], others[ghost], share) * (size / len(labels))
            scaled, parameters = self.scaler.scale(loss), self.weights.parameters
            gradients = torch.autograd.grad(scaled, parameters, materialize_grads=bool(self.references))
            (self.weights.add_gradients if losses else self.weights.set_gradients)(gradients)
            losses.append(loss.detach())
            rights.append((logits.detach().argmax(dim=1) == labels[ghost]).sum())
        return sum(losses[1:], losses[0]), sum(rights[1:], rights[0])

    def _loss(self, logits: Tensor, labels: Tensor, others: Tensor, share: Tensor | None) -> Tensor:
        smoothing = self.config.label_smoothing or 0.0
        criterion = self.own_loss or functools.partial(functional.cross_entropy, label_smoothing=smoothing)
        loss = criterion(logits, labels)
        if share is None:
            return loss
        other = criterion(logits, others)
        return other + (loss - other) * share


@dataclass(slots=True)
class RunningSums:
    """Sums over an epoch on the device: the loss (fp64 []) and the number of correct answers (int64 [])."""

    loss: Tensor
    correct: Tensor

    @classmethod
    def zeros(cls, device: torch.device) -> "RunningSums":
        return cls(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        )

    def add(self, loss: Tensor, correct: Tensor, num_images: int) -> None:
        """Add the mean loss and the number of correct answers of a batch, in place."""
        self.loss += loss * num_images
        self.correct += correct

    def metrics(self, learner: Learner, num_images: int) -> TrainMetrics:
        """Read the sums back; only here does an epoch wait for the device."""
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
    on_step: OnStep | None = None,
    plan: EpochPlan | None = None,
    before_step: BeforeStep | None = None,
) -> TrainMetrics:
    """Train on batches (uint8 [B, H, W, C], int64 [B]), each at its learning rate.

    Args:
        plan: the plan of the epoch, on the device, for cutout and mixup.

    Raises:
        ValueError: there are no batches, or not as many as learning rates.
    """
    learner.model.train()
    sums = RunningSums.zeros(learner.device)
    num_images = 0
    for step, ((images, labels), lr) in enumerate(zip(batches, lrs, strict=True)):
        learner.lr.fill_(lr)
        centers = plan.centers[num_images : num_images + len(labels)] if plan and plan.centers is not None else None
        inputs = cut_out(normalize(images, data.mean, data.std), centers, learner.config.cutout_size)
        share = plan.shares[step] if plan and plan.shares is not None else None
        if before_step is not None:
            before_step(step, inputs, labels, share)
        loss, correct = learner.step(inputs, labels, share)
        sums.add(loss, correct, len(labels))
        num_images += len(labels)
        PULSE.beat()
        if on_step is not None:
            on_step(step + 1)
    if not num_images:
        raise ValueError("an epoch needs at least one batch")
    return sums.metrics(learner, num_images)


@torch.no_grad()  # in inference mode, what a user's model keeps from an evaluation could not be trained with
def predict(
    learner: Learner, data: TrialData, split: Split, recorded: Logits | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits fp32 [B, num_classes] and labels int64 [B] of a split, in batches of EVAL_BATCH_SIZE at most.

    Args:
        recorded: computes the logits of whole batches; None leaves it to the model.

    Raises:
        UserCodeError: the user's model raised something.
    """
    learner.model.eval()
    size = EVAL_BATCH_SIZE
    if learner.references:  # their models may be so large that it matters
        size = min(size, OWN_EVAL_FACTOR * learner.config.batch_size)
    for start in range(0, len(split), size):
        images, labels = split.take(slice(start, start + size))
        if recorded is not None and len(labels) == EVAL_BATCH_SIZE:
            yield recorded(images), labels
            continue
        part = CPU_EVAL_PART if learner.device.type == "cpu" and not learner.references else size
        with learner.watched():
            inputs = (normalize(few, data.mean, data.std) for few in torch.split(images, part))
            logits = torch.cat([learner.logits(learner.model, few) for few in inputs])
        yield logits, labels


def evaluate(learner: Learner, data: TrialData, split: Split, recorded: Logits | None = None) -> EvalMetrics:
    """Measure the cross entropy and the error on a split without augmentation; `recorded` is that of `predict`.

    Raises:
        UserCodeError: the user's model raised something.
    """
    loss_sum = torch.zeros((), dtype=torch.float64, device=learner.device)
    correct: list[Tensor] = []
    for logits, labels in predict(learner, data, split, recorded):
        loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
        correct.append(logits.argmax(dim=1) == labels)
        PULSE.beat()
    right = torch.cat(correct).cpu()
    return EvalMetrics(
        loss=loss_sum.item() / len(split),
        error_percent=100.0 * (len(split) - int(right.sum())) / len(split),
        correct=right,
    )
