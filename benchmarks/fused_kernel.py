"""What the fused CPU kernel gains: `python benchmarks/fused_kernel.py [--rounds 5] [--quick]`.

Processor time of one thread in bf16 on noise, measured in turn:

- training steps of two models, with the kernel and with torch's own operations;
- batch normalisation with ReLU alone, forward and backward, for the largest images of these models: by the kernel, by
  torch, and by what torch.compile makes of torch's operations.
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import harness
from benchmarks.images import noise
from models import fused
from trainable.config import TrainConfig
from trainable.device import builds_fused_kernel, kernel_folder, prepare_device
from trainable.execution import Execution
from trainable.splits import prepare
from trainable.training import Training

MODELS = ("resnet_preact_20", "resnet_20")
NUM_STEPS = {8: 40, 32: 16, 128: 6, 512: 2}
"""Batch size -> number of steps in a round."""
QUICK_MODELS, QUICK_STEPS = ("resnet_8",), {8: 2}
KERNEL, TORCH, INDUCTOR = "kernel", "torch", "torch.compile"


def training_of(model: str, batch_size: int, num_steps: int, *, is_fused: bool) -> Training:
    """Prepare a training whose epochs have so many steps; the first ones, which are slow, are done."""
    config = TrainConfig(model=model, lr=1e-4, epochs=10**6, batch_size=batch_size, test_subset=1)
    data = prepare(noise(num_steps * batch_size), config, torch.device("cpu"))
    training = Training(config, data, torch.device("cpu"), Execution(fused=is_fused))
    training.run_epoch(1)
    return training


def layer(batch_size: int, way: str) -> Callable[[], object]:
    """Return what does forward and backward of batch normalisation and ReLU on 16 channels of 32x32 pixels."""
    x, dy = (torch.randn(batch_size, 16, 32, 32).bfloat16().to(memory_format=torch.channels_last) for _ in range(2))
    norm = nn.BatchNorm2d(16)
    norm.num_batches_tracked = None
    inputs = [x.requires_grad_(), norm.weight, norm.bias]

    def compute(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        normal = functional.batch_norm(x, norm.running_mean, norm.running_var, weight, bias, training=True)
        return functional.relu(normal)

    function: Callable[..., Tensor] = compute
    if way == INDUCTOR:
        function = torch.compile(compute, dynamic=False)
    if way == KERNEL:
        fused.switch_on(norm, kernel_folder())
        return lambda: torch.autograd.grad(fused.norm_relu(norm, x), inputs, dy)
    return lambda: torch.autograd.grad(function(*inputs), inputs, dy)


def processor_seconds(work: Callable[[], object], times: int = 1) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - started


def rows(num_rounds: int, cases: dict[str, Callable[[], float]], num_images: int) -> dict[str, Any]:
    """Measure the cases in turn and compare them with torch, the row of each by its name."""
    seconds = harness.interleaved(num_rounds, cases)
    return {
        name: {
            "us an image": harness.summary([1e6 * whole / num_images for whole in rounds]),
            "times as fast as torch": harness.summary(harness.ratios(seconds[TORCH], rounds)),
        }
        for name, rounds in seconds.items()
    }


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=5, quick="one small model, to see that it works")
    arguments = parser.parse_args()
    models, steps = (QUICK_MODELS, QUICK_STEPS) if arguments.quick else (MODELS, NUM_STEPS)
    if not builds_fused_kernel(print):
        sys.exit("no fused kernel on this machine: see 'A kernel is compiled' in docs/troubleshooting.md")
    prepare_device(1, use_gpu=False)
    busy, found = harness.busy_cores(), dict[str, Any]()
    for size, count in steps.items():
        for model in models:
            trainings = {way: training_of(model, size, count, is_fused=way == KERNEL) for way in (KERNEL, TORCH)}
            cases: dict[str, Callable[[], float]] = {
                way: functools.partial(processor_seconds, functools.partial(training.run_epoch, 1))
                for way, training in trainings.items()
            }
            measured = rows(arguments.rounds, cases, count * size)
            found |= {f"{model}, batch {size}, {way}": row for way, row in measured.items()}
        layers = {way: layer(size, way) for way in (KERNEL, TORCH, *[INDUCTOR] * (not arguments.quick))}
        for work in layers.values():
            work()  # compiles and allocates
        cases = {way: functools.partial(processor_seconds, work, count) for way, work in layers.items()}
        measured = rows(arguments.rounds, cases, count * size)
        found |= {f"one layer, batch {size}, {way}": row for way, row in measured.items()}
    harness.print_figures("processor time", found)
    command = f"python benchmarks/fused_kernel.py --rounds {arguments.rounds}"
    print(harness.write_report("fused_kernel", command, {"busy_cores_before": busy, "cases": found}, arguments.to))


if __name__ == "__main__":
    main()
