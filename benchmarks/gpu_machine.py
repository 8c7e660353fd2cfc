"""Section 'machine' of `benchmarks/gpu.py`: what the device could do at most."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch

from benchmarks.gpu_process import Bench, Case, Row
from benchmarks.machine_limit import FLOP_PER_MAC, Convolution, layers_of, training_flop
from trainable.precision import resolve_precision

CLOCKS = ("clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "power.limit", "driver_version")
"""What nvidia-smi is asked; nothing is ever set."""
QUERY_SECONDS = 10.0
NUM_LAUNCHES = 200


def machine_cases(model: str, batch_sizes: Sequence[int], sizes: Sequence[int], copy_bytes: int) -> list[Case]:
    """List the measurements."""
    return [
        Case({"what": "at rest"}, clocks, ()),
        *(
            Case({"what": "convolutions alone", "batch_size": size}, convolutions, (model, size))
            for size in batch_sizes
        ),
        *(Case({"what": "matrix product", "size": size}, matrix_product, (size,)) for size in sizes),
        Case({"what": "copies"}, copies, (copy_bytes,)),
        Case({"what": "launches"}, launches, (NUM_LAUNCHES,)),
        Case({"what": "at work"}, clocks, (max(sizes),)),
    ]


def convolutions(bench: Bench, model: str, batch_size: int) -> Row:
    """Compute a step's convolutions and their gradients, and nothing else, in a CUDA graph on a GPU."""
    dtype = resolve_precision("auto", bench.device).dtype
    layers = Counter(layer for layer in layers_of(model) if layer.is_convolution)
    with bench.device:  # where its tensors are made
        parts = [Convolution(layer, count, batch_size, dtype) for layer, count in layers.items()]

    def step() -> None:
        for part in parts:
            part.forward()
        for part in parts:
            part.backward()

    seconds = bench.seconds(bench.replayed(step))
    flops = training_flop(model) * batch_size / seconds
    return {"images_per_second": batch_size / seconds, "tflop_per_second": flops / 1e12}


def matrix_product(bench: Bench, size: int) -> Row:
    """Multiply square matrices in bf16."""
    return {"tflop_per_second": FLOP_PER_MAC * size**3 / bench.seconds(_product(bench, size)) / 1e12}


def _product(bench: Bench, size: int) -> Callable[[], object]:
    left, right = (torch.randn(size, size, device=bench.device).bfloat16() for _ in range(2))
    product = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=product)


def copies(bench: Bench, num_bytes: int) -> Row:
    """Copy memory on the device (read and written bytes count), and from the host to it."""
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    host = torch.zeros(num_bytes // 8, dtype=torch.uint8, pin_memory=bench.is_gpu)
    part = target[: len(host)]
    return {
        "device_gb_per_second": 2 * num_bytes / bench.seconds(lambda: target.copy_(source)) / 1e9,
        "upload_gb_per_second": len(host) / bench.seconds(lambda: part.copy_(host, non_blocking=True)) / 1e9,
    }


def launches(bench: Bench, count: int) -> Row:
    """Launch tiny kernels one by one, and as many in a graph."""
    tiny = torch.zeros(1, device=bench.device)

    def step() -> None:
        for _ in range(count):
            tiny.add_(1)

    return {
        "us_per_launch": 1e6 * bench.seconds(step) / count,
        "us_per_kernel_in_graph": 1e6 * bench.seconds(bench.replayed(step)) / count,
    }


def clocks(bench: Bench, size: int = 0) -> Row:
    """Ask nvidia-smi for clocks and power, while the device multiplies matrices if a size is given."""
    if not bench.is_gpu:
        return {"unavailable": "the device is not a GPU"}
    if size:
        product = _product(bench, size)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            product()
            bench.synchronize()
        for _ in range(2000):
            product()  # still at work while nvidia-smi looks
    return nvidia_smi()


def nvidia_smi() -> Row:
    """Return what nvidia-smi says of the first GPU: numbers where it gives numbers."""
    command = ["nvidia-smi", f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return {"unavailable": f"nvidia-smi: {type(error).__name__}"}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return {name: _number(value) for name, value in zip(CLOCKS, values, strict=False)}


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
