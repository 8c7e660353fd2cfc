"""What the weights of a trial say of images: the loss and the predicted class of each."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainable.data.contract import Images, Labels
from trainable.device import allows_fused_kernel, prepare_device
from trainable.engine import predict
from trainable.errors import UserError
from trainable.execution import Execution
from trainable.ledger.safetensors import StoredWeights
from trainable.precision import resolve_precision
from trainable.saved_weights import Metadata, loaded_tensors
from trainable.splits import Split, TrialData, as_tensor
from trainable.training import Training


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The predictions for all images, in their order."""

    loss: float
    """Mean cross entropy in nats."""
    predicted: Labels
    """Class with the largest logit, int64 [N]."""
    losses: NDArray[np.float32]
    """Cross entropy of each image in nats, [N]."""
    precision: str
    """Number format of the computation."""


def predictions(weights: StoredWeights, images: Images, labels: Labels, num_threads: int) -> Predictions:
    """Compute the predictions as the training did at its end: the same normalisation, number format and batches.

    The device is the GPU, if there is one. A number format that it lacks is replaced by fp32.

    Raises:
        UserCodeError: the user's own model cannot be built, or raised something.
        RuntimeError, KeyError: these are no weights of the model.
    """
    device, metadata = prepare_device(num_threads, use_gpu=torch.cuda.is_available()), Metadata.of(weights)
    split = Split(as_tensor(images).to(device), as_tensor(labels).to(device))
    mean, std = (torch.tensor(values, dtype=torch.float32, device=device) for values in (metadata.mean, metadata.std))
    data = TrialData(split, None, split, mean, std, metadata.num_classes)
    precision = metadata.precision
    try:
        resolve_precision(precision, device)
    except UserError:
        precision = "fp32"
    execution = Execution(graph=False, fused=allows_fused_kernel())
    training = Training(metadata.config_in(precision), data, device, execution)
    training.load_weights(loaded_tensors(weights))
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    predicted, losses = [], []
    for logits, truth in predict(training.learner, data, split):
        loss_sum += functional.cross_entropy(logits, truth, reduction="sum")
        losses.append(functional.cross_entropy(logits, truth, reduction="none").cpu())
        predicted.append(logits.argmax(dim=1).cpu())
    return Predictions(
        loss_sum.item() / len(split), torch.cat(predicted).numpy(), torch.cat(losses).numpy(), precision
    )
