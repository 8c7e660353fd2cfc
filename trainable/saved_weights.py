"""The weights of a completed trial, with all that is needed to use them without the store."""

import dataclasses
import json
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainable.config import TrainConfig
from trainable.decoding import Count, Ordinal, Percent, decode
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


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of the file: a text for each field, in JSON unless the field is a text itself."""

    trial_key: str
    config: dict[str, Any]
    """Configuration of the trial."""
    num_classes: Ordinal
    class_names: list[str]
    """Name of each class, in the order of the logits; empty if the data set has none."""
    image_size: list[Count]
    """Height and width."""
    mean: list[float]
    """Mean of each channel of the training images, in units of the values 0 to 255; a network gets
    (image - mean) / std."""
    std: list[float]
    precision: str
    """Number format in which the trial was trained and evaluated."""
    test_error_percent: Percent | None
    holdout_error_percent: Percent | None

    @classmethod
    def of(cls, weights: StoredWeights) -> "Metadata":
        """Parse the metadata of a file.

        Raises:
            ValueError: it is not ours.
        """
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        texts = {name: text for name, text in weights.metadata.items() if name in kinds}
        return decode(cls, {name: text if kinds[name] is str else json.loads(text) for name, text in texts.items()})

    def texts(self) -> dict[str, str]:
        """Return the metadata as the file holds it."""
        values = dataclasses.asdict(self)
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}

    def config_in(self, precision: str) -> TrainConfig:
        """Return the configuration with this number format."""
        return TrainConfig.from_dict(self.config | {"precision": precision})


def saved_weights(training: Training, record: EpochRecord | None) -> StoredWeights:
    """Return the weights of a training with their metadata.

    Args:
        record: the last epoch; None leaves the errors out.
    """
    config, data = training.config, training.data
    metadata = Metadata(
        trial_key=config.trial_key,
        config=config.to_dict(),
        num_classes=data.num_classes,
        class_names=list(data.class_names),
        image_size=list(data.train.images.shape[1:3]),
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        precision=training.precision.name,
        test_error_percent=record.test_error_percent if record else None,
        holdout_error_percent=record.holdout_error_percent if record else None,
    )
    tensors = {name: _stored(tensor) for name, tensor in training.weights().items()}
    return StoredWeights(tensors, {"format": "pt", **metadata.texts()})


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
