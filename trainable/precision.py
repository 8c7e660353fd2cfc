"""The number format in which a device trains."""

import threading
import warnings
from dataclasses import dataclass
from typing import Any

import torch

from trainable.errors import UserError

PURE_FP16 = "pure_fp16"
TF32 = "tf32"
DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    TF32: torch.float32,
    "fp32": torch.float32,
    PURE_FP16: torch.float16,
}
AMPERE = (8, 0)
"""First compute capability of NVIDIA GPUs with bf16 and TF32."""
_WARNINGS = threading.Lock()
"""Held while warnings are ignored, which is a setting of all threads."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The number format of convolutions and linear layers."""

    name: str
    dtype: torch.dtype

    @property
    def needs_scaler(self) -> bool:
        """Whether gradients have to be scaled, as in fp16 with its small range."""
        return self.name == "fp16"

    @property
    def is_pure(self) -> bool:
        """Whether weights, optimiser and batch normalisation are in this format as well, as in Apex's O3."""
        return self.name == PURE_FP16

    def apply(self) -> None:
        """Set, for the whole process, whether fp32 products on a GPU may be rounded to TF32."""
        use_tf32 = self.name == TF32
        format_of_products = "tf32" if use_tf32 else "ieee"
        cudnn: Any = torch.backends.cudnn  # the stub lacks some settings
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates `allow_tf32`
            # Torch's getters of the old settings, which inductor calls, raise if the new ones differ from them.
            torch.backends.cuda.matmul.allow_tf32 = use_tf32
            cudnn.allow_tf32 = use_tf32
        for products in (torch.backends.cuda.matmul, cudnn, cudnn.conv, cudnn.rnn):
            products.fp32_precision = format_of_products


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Return the number format for a device.

    `auto` is bf16 if the device computes in it natively, else fp16 on a GPU and fp32 on a CPU. A CPU supports bf16,
    fp16 and fp32, but is slow where it has to emulate them. `fp32` is IEEE single precision everywhere.

    Raises:
        UserError: bf16 or tf32 on a GPU before Ampere (compute capability 8.0), or tf32 on a CPU.
    """
    native_bf16 = _has_native_bf16(device)
    if name == "auto":
        fallback = "fp16" if device.type == "cuda" else "fp32"
        name = "bf16" if native_bf16 else fallback
    if device.type == "cuda" and not native_bf16 and name in ("bf16", "tf32"):
        raise UserError(f"{torch.cuda.get_device_name(device)} has no {name}: use precision fp16 or fp32")
    if device.type == "cpu" and name == "tf32":
        raise UserError("tf32 is a format of GPUs: use precision bf16 or fp32 on a CPU")
    return Precision(name, DTYPES[name])


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= AMPERE
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
