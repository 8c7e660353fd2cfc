"""The gradient noise scale, measured beside the training, of which it changes nothing.

Source: McCandlish et al. 2018, 'An Empirical Model of Large-Batch Training', appendix A.1.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from models.own_model import attributes, seeded, set_attributes
from trainable.engine import Learner

EVERY_STEPS = 80
"""One step of so many is measured. That costs two more passes of half a batch: 3 % of the training at most."""


class NoiseScale:
    """The estimates of an epoch from the two halves of the batches that are measured.

    With gradients g and h of two halves of n images, the appendix's estimators (batch sizes n and 2n) become
    tr(Sigma) = n |g - h|^2 / 2 and |G|^2 = g h, without bias. They precede the step: after it the weights would
    depend on the batch.
    """

    def __init__(self, learner: Learner, first_step: int) -> None:
        """Begin an epoch whose first step has this number in the training, from 0."""
        self._learner = learner
        self._first_step = first_step
        self._sums = torch.zeros(3, dtype=torch.float64, device=learner.device)
        """Sums of tr(Sigma) and of |G|^2, and the number of measurements."""

    def before_step(self, step: int, images: Tensor, labels: Tensor, share: Tensor | None) -> None:
        """Measure the batch of a step of the epoch, counted from 0, if it is one that is measured.

        Raises:
            UserCodeError: the user's model or loss raised something.
        """
        position = self._first_step + step
        if position % EVERY_STEPS != EVERY_STEPS // 2:
            return
        learner = self._learner
        ghost = learner.config.ghost_batch_size or 1
        size = len(labels) // 2 // ghost * ghost  # of whole ghost batches
        gradients = []
        with learner.watched(), _unchanged(learner, position):
            for half in (slice(size), slice(size, 2 * size)):
                learner.accumulate(learner.model, images[half], labels[half], share)
                gradients.append(learner.weights.gradient.float() / learner.scaler.get_scale())
        one, other = gradients
        variance = (one - other).square().sum(dtype=torch.float64) * (size / 2)
        values = torch.stack([variance, (one * other).sum(dtype=torch.float64), torch.ones_like(variance)])
        self._sums += torch.where(values.isfinite().all(), values, 0.0)

    def columns(self) -> dict[str, float | None]:
        """Return the columns of the epoch's record; they are empty if no step was measured."""
        variance, square, count = self._sums.tolist()
        if not count:
            return {}
        return {
            "noise_scale": variance / square if square > 0 else None,
            "gradient_variance": variance / count,
            "gradient_square": square / count,
        }


@contextlib.contextmanager
def _unchanged(learner: Learner, position: int) -> Iterator[None]:
    """Put everything back that the passes inside change and that the training keeps, random numbers included."""
    model = learner.model
    kept = {name: tensor.detach().clone() for name, tensor in _tensors(learner).items()}
    remembered = attributes(model) if learner.references else {}
    seed = seeded(position, learner.device) if learner.references else contextlib.nullcontext()
    with seed:
        yield
    with torch.no_grad():
        for name, tensor in _tensors(learner).items():
            tensor.copy_(kept[name])
    set_attributes(model, remembered)


def _tensors(learner: Learner) -> dict[str, Tensor]:
    return {**dict(learner.model.named_parameters()), **dict(learner.model.named_buffers())}
