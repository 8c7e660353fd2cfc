"""Which number format a device trains in."""

from dataclasses import dataclass

import torch

from trainable.errors import UserError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32, "fp32": torch.float32}
AMPERE = (8, 0)
"""The first compute capability with bf16 and TF32."""


@dataclass(frozen=True, slots=True)
class Precision:
    """What convolutions and linear layers compute in, and whether gradients need scaling."""

    name: str
    dtype: torch.dtype

    @property
    def needs_scaler(self) -> bool:
        """fp16 only: its range is small."""
        return self.dtype == torch.float16

    def apply(self) -> None:
        """Tell torch, for the whole process, whether fp32 products on a GPU may round to TF32."""
        format_of_products = "tf32" if self.name == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = format_of_products
        torch.backends.cudnn.conv.fp32_precision = format_of_products  # type: ignore[attr-defined] # not in the stub


def resolve_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bf16 where the device computes in it natively, else fp16 on a GPU and fp32 on a processor.

    A processor takes bf16, fp16 and fp32, slowly where it has to emulate them; `fp32` is IEEE everywhere.

    Raises:
        UserError: bf16 or tf32 asked of a GPU before Ampere (compute capability 8.0), tf32 of a processor.
    """
    native_bf16 = _has_native_bf16(device)
    if name == "auto":
        fallback = "fp16" if device.type == "cuda" else "fp32"
        name = "bf16" if native_bf16 else fallback
    if device.type == "cuda" and not native_bf16 and name in ("bf16", "tf32"):
        raise UserError(f"{torch.cuda.get_device_name(device)} has no {name}: use precision fp16 or fp32")
    if device.type == "cpu" and name == "tf32":
        raise UserError("tf32 is a format of GPUs: on a processor use precision bf16 or fp32")
    return Precision(name, DTYPES[name])


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= AMPERE
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
