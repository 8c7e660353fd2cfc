"""The weights of a completed trial, with all that is needed to use them without the store."""

import json
import warnings

import torch
from torch import Tensor

from trainable.ledger.safetensors import StoredTensor, StoredWeights
from trainable.records import EpochRecord
from trainable.training import Training

DTYPES = {
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types that are kept; all others become fp32."""
CONFIG, TRIAL_KEY, CLASSES, NUM_CLASSES = "config", "trial_key", "class_names", "num_classes"
MEAN, STD, IMAGE_SIZE, PRECISION = "mean", "std", "image_size", "precision"
TEST_ERROR, HOLDOUT_ERROR = "test_error_percent", "holdout_error_percent"


def saved_weights(training: Training, record: EpochRecord) -> StoredWeights:
    """Return the weights of a training with their metadata: texts, all but two of them JSON.

    Args:
        record: the last epoch.
    """
    config, data = training.config, training.data
    _, height, width, _ = data.train.images.shape
    values = {
        CONFIG: config.to_dict(),
        CLASSES: data.class_names,
        NUM_CLASSES: data.num_classes,
        MEAN: data.mean.tolist(),
        STD: data.std.tolist(),
        IMAGE_SIZE: [height, width],
        TEST_ERROR: record.test_error_percent,
        HOLDOUT_ERROR: record.holdout_error_percent,
    }
    metadata = {"format": "pt", TRIAL_KEY: config.trial_key, PRECISION: training.precision.name}
    metadata |= {name: json.dumps(value) for name, value in values.items()}
    return StoredWeights({name: _stored(tensor) for name, tensor in training.weights().items()}, metadata)


def loaded_tensors(weights: StoredWeights) -> dict[str, Tensor]:
    """Return the tensors of stored weights by their names in the model's state dict."""
    types = {name: dtype for dtype, name in DTYPES.items()}
    found = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        for name, tensor in weights.tensors.items():
            flat = torch.frombuffer(tensor.content or b"\0" * 8, dtype=types[tensor.dtype])
            found[name] = flat[: len(tensor.content)].reshape(tensor.shape)
    return found


def _stored(tensor: Tensor) -> StoredTensor:
    tensor = tensor.detach() if tensor.dtype in DTYPES else tensor.detach().float()
    array = tensor.cpu().contiguous().numpy()
    return StoredTensor(DTYPES[tensor.dtype], tuple(tensor.shape), array.tobytes())
