"""Which number format a device trains in."""

from dataclasses import dataclass

import torch

from trainable.errors import UserError

DTYPES: dict[str, torch.dtype | None] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}


@dataclass(frozen=True, slots=True)
class Precision:
    """What `torch.autocast` is told, and whether gradients need scaling (fp16 only: its range is small)."""

    name: str
    dtype: torch.dtype | None
    """None trains in fp32 without autocast."""

    @property
    def needs_scaler(self) -> bool:
        return self.dtype == torch.float16

    def autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype is not None)


def resolve_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bf16 where the device computes in it natively, else fp16 on a GPU and fp32 on a processor.

    A processor takes every precision that is asked for, slowly where it has to emulate it.

    Raises:
        UserError: bf16 asked of a GPU that does not have it (before compute capability 8.0, Ampere).
    """
    native_bf16 = _has_native_bf16(device)
    if name == "auto":
        fallback = "fp16" if device.type == "cuda" else "fp32"
        name = "bf16" if native_bf16 else fallback
    if name == "bf16" and device.type == "cuda" and not native_bf16:
        raise UserError(f"{torch.cuda.get_device_name(device)} has no bf16: use precision fp16 or fp32")
    return Precision(name, DTYPES[name])


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
