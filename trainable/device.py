"""The device of a trial, and the settings of torch and the C library that its results depend on."""

import contextlib
import ctypes
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from models import fused
from trainable.cache_folder import cache_folder
from trainable.gpu_share import memory_fraction
from trainable.provenance import processor_name

COMPILED_CODE = "TORCHINDUCTOR_CACHE_DIR"
FUSED = "BATCHSCAPE_FUSED"
"""Environment variable that switches the fused CPU kernel off if it is one of OFF."""
OFF = ("0", "off", "no", "false")
CUBLAS_WORKSPACE = ":4096:8"
MALLOC_OPTIONS = ((-4, 0), (-1, 2**31 - 1), (-2, 256 * 2**20))
"""Options of mallopt(3): no mmap for large blocks (M_MMAP_MAX), never shrink the heap (M_TRIM_THRESHOLD), grow it by
256 MiB (M_TOP_PAD). Otherwise glibc maps each large activation again, and the kernel clears it at every step."""


def prepare_device(num_threads: int, *, use_gpu: bool, gpus: float = 1.0) -> torch.device:
    """Set up the first visible GPU, or the CPU, for reproducible results. Call this before any CUDA work.

    Args:
        num_threads: the number of threads of CPU operators; results on a CPU depend on it.
        gpus: if below 1, the share of the GPU's memory that torch's allocator may use.
    """
    torch.set_num_threads(num_threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    _keep_compiled_code_private()
    if not use_gpu:
        _keep_freed_memory()
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    if gpus < 1:
        limit_memory(gpus)
    return torch.device("cuda", 0)


def limit_memory(gpus: float) -> None:
    """Let torch's allocator use this share of the GPU's memory."""
    fraction = memory_fraction(gpus, torch.cuda.get_device_properties(0).total_memory)
    torch.cuda.set_per_process_memory_fraction(1.0 if fraction is None else fraction, 0)


def kernel_folder() -> Path:
    """Return the folder of our own compiled kernels."""
    return cache_folder() / "kernels"


def allows_fused_kernel() -> bool:
    """Return whether the user lets computations on CPUs use the fused kernel."""
    return os.environ.get(FUSED, "").lower() not in OFF


def builds_fused_kernel(tell: Callable[[str], None]) -> bool:
    """Compile the fused CPU kernel if that has not been done; return whether trainings are to use it.

    Args:
        tell: is given a line if the kernel is compiled now, or cannot be.
    """
    return allows_fused_kernel() and fused.build(kernel_folder(), tell)


def fused_kernel_meanwhile(tell: Callable[[str], None]) -> Callable[[], bool]:
    """Begin `builds_fused_kernel` in a thread of its own; return a function that waits for its answer."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(builds_fused_kernel(tell)), daemon=True)
    thread.start()

    def answer() -> bool:
        thread.join()
        return answers == [True]

    return answer


def _keep_compiled_code_private() -> None:
    """Let torch keep compiled code in the user's cache.

    Its own choice is a folder among the temporary files whose name anybody knows, so that another user could make it
    first and put code there, which torch would run.
    """
    if COMPILED_CODE in os.environ:
        return
    with contextlib.suppress(OSError):  # a cache that cannot be written must not stop the trial
        folder = cache_folder() / "compiled"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ[COMPILED_CODE] = str(folder)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for reuse; other C libraries are left as they are."""
    for option, value in MALLOC_OPTIONS:
        _call_libc("mallopt", option, value)


def _call_libc(function: str, *arguments: int) -> None:
    """Call a function of the C library, if there is one of this name."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # the last two on Windows
        getattr(ctypes.CDLL(None), function)(*arguments)


def device_name(device: torch.device) -> str:
    """Return the name of the GPU or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def release_memory(device: torch.device) -> None:
    """Return the GPU memory of ended trainings, with their CUDA graphs, which may be part of reference cycles."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def reset_peak_memory(device: torch.device) -> None:
    """Restart the measurement of peak memory; memory that was kept for reuse is returned first."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    _call_libc("malloc_trim", 0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM


def peak_memory_bytes(device: torch.device) -> int | None:
    """Return the peak since `reset_peak_memory`, allocated on the GPU or resident here; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
