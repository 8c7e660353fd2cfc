"""The device that a trial was given, brought into the state that the results rest on."""

import contextlib
import os
from pathlib import Path

import torch

from trainable.provenance import processor_name

CUBLAS_WORKSPACE = ":4096:8"


def prepare_device(num_threads: int, *, use_gpu: bool) -> torch.device:
    """The first visible GPU or the processor, set up to give the same bits again; call before any CUDA work.

    Args:
        num_threads: of the processor's operators; results on the CPU depend on it.
    """
    torch.set_num_threads(num_threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if not use_gpu:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    return torch.device("cuda", 0)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def reset_peak_memory(device: torch.device) -> None:
    """Start to measure the peak anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM


def peak_memory_bytes(device: torch.device) -> int | None:
    """Peak since `reset_peak_memory`: allocated on the GPU, or resident in this process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
