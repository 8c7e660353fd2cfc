"""What the device could do at most, and what an image of a training asks of it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.images import NUM_CLASSES
from benchmarks.on_gpu.bench import Bench, Row, brief
from benchmarks.on_gpu.effort import MODEL, Budget, Effort
from models.registry import build_model
from trainable.precision import DTYPES, Precision

MIN_CALLS = 3
COUNTED_IMAGES = 64
BYTES_OF_FLOAT = 4


def limits(bench: Bench, effort: Effort, budget: Budget) -> Iterator[tuple[str, object]]:
    """Peaks of matrix products and of copying, in the best of the sizes; then the demand of an image."""
    yield "demand", demand(MODEL)
    for name in DTYPES:
        if bench.device.type == "cpu" and name == "tf32":
            yield "left_out", "tf32: the device is a processor"
            continue
        for size in effort.matmul_sizes:
            if not budget.allows(2 * effort.limit_seconds):
                yield "left_out", f"matrix product in {name} of size {size}"
                continue
            try:
                yield "matrix_products", matrix_product(bench, name, size, effort.limit_seconds)
            except Exception as error:
                yield "failed", f"matrix product in {name} of size {size}: {brief(error)}"
    try:
        yield "copies", copying(bench, effort.copy_bytes, effort.limit_seconds)
    except Exception as error:
        yield "failed", f"copying: {brief(error)}"


def matrix_product(bench: Bench, name: str, size: int, least_seconds: float) -> Row:
    """Of two square matrices."""
    dtype = DTYPES[name]
    Precision(name, dtype).apply()
    source = torch.Generator(bench.device).manual_seed(0)
    left, right = (torch.randn(size, size, generator=source, device=bench.device, dtype=dtype) for _ in range(2))
    result = torch.empty_like(left)
    seconds = _seconds_per_call(bench, lambda: torch.mm(left, right, out=result), least_seconds)
    return {"format": name, "size": size, "tflops": 2 * size**3 / seconds / 1e12}


def copying(bench: Bench, num_bytes: int, least_seconds: float) -> Row:
    """Within the device's memory; each byte is read and written."""
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    seconds = _seconds_per_call(bench, lambda: target.copy_(source), least_seconds)
    return {"bytes": num_bytes, "gigabytes_per_second": 2 * num_bytes / seconds / 1e9}


def _seconds_per_call(bench: Bench, call: Callable[[], object], least_seconds: float) -> float:
    """Without reading back between the calls; the number of calls is doubled until they fill the time."""
    call()
    num_calls = MIN_CALLS
    while True:
        bench.synchronize()
        started = time.perf_counter()
        for _ in range(num_calls):
            call()
        bench.synchronize()
        seconds = time.perf_counter() - started
        if seconds >= least_seconds:
            return seconds / num_calls
        num_calls *= 2


def demand(model_name: str) -> Row:
    """Of training on one image: floating-point operations, and bytes that kernels of one operator each would move.

    The bytes are those of every operator's inputs and outputs in fp32 at a batch size of COUNTED_IMAGES; fused
    kernels move less, and half as many where a number has 16 bits.
    """
    model = build_model(model_name, NUM_CLASSES, torch.Generator().manual_seed(0))
    images, labels = torch.zeros(COUNTED_IMAGES, 3, 32, 32), torch.zeros(COUNTED_IMAGES, dtype=torch.int64)
    with FlopCounterMode(display=False) as operations, _Traffic() as traffic:
        torch.autograd.backward(functional.cross_entropy(model(images), labels))
    return {
        "model": model_name,
        "flops_per_image": operations.get_total_flops() / COUNTED_IMAGES,
        "bytes_per_image_unfused_fp32": traffic.num_bytes / COUNTED_IMAGES,
    }


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the tensors that operators read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 (as declared by torch)
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            touched = [*args, *(result if isinstance(result, tuple | list) else [result])]
            self.num_bytes += sum(one.numel() * one.element_size() for one in touched if isinstance(one, Tensor))
        return result
