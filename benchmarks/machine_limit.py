"""How fast the processor multiplies, and where training spends its time: `python benchmarks/machine_limit.py`.

Measured in turn, in two processes of one thread each that work at the same time (the sum of both): matrix products in
bf16 (the best of several sizes), and the network's convolutions alone (forward, and both gradients, as our loop has
them: bf16 where the processor computes in it, channels_last). Finally torch's profiler shows where the time of an
epoch goes, again in both processes. How much of what the convolutions allow training reaches:
benchmarks/training_speed.py.
"""

import functools
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler says on stderr when it begins and ends

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import harness
from benchmarks.crew import Crew
from benchmarks.time_shares import profile_epoch
from benchmarks.trial_process import Load, TrialProcess, Work, measured
from models.registry import build_model
from trainable.device import builds_fused_kernel
from trainable.precision import resolve_precision

BATCH_SIZES = (8, 32, 128, 512, 2048)
PROFILED_BATCH_SIZES = (128, 2048)
MATRIX_SIZES = (512, 1024, 2048)
IMAGE_SHAPE = (3, 32, 32)
FLOP_PER_MAC = 2


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or linear layer as an image meets it."""

    input_shape: tuple[int, ...]
    """Shape of the layer's input for one image."""
    weight_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    macs: int
    """Multiply-accumulate operations for one image, forward."""
    is_first: bool
    """Whether it is the first layer, whose input needs no gradient."""

    @property
    def is_convolution(self) -> bool:
        return len(self.weight_shape) == 4

    @property
    def training_flop(self) -> int:
        """FLOP for one image: forward, the weight's gradient, and the input's gradient where it is needed."""
        return FLOP_PER_MAC * self.macs * (2 if self.is_first else 3)


def layers_of(model_name: str) -> list[Layer]:
    """List the layers that multiply, in the order in which an image passes them."""
    layers: list[Layer] = []

    def note(module: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        stride, padding = (module.stride, module.padding) if isinstance(module, nn.Conv2d) else ((), ())
        layers.append(
            Layer(
                input_shape=tuple(inputs[0].shape[1:]),
                weight_shape=tuple(module.weight.shape),
                stride=tuple(stride),
                padding=tuple(int(size) for size in padding),
                macs=output[0].numel() * module.weight[0].numel(),
                is_first=not layers,
            )
        )

    model = build_model(model_name, 10, torch.Generator())
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, *IMAGE_SHAPE))
    return layers


def training_flop(model_name: str) -> int:
    """Count the FLOP of an image's convolutions and linear layers, forward and backward."""
    return sum(layer.training_flop for layer in layers_of(model_name))


class LimitProcess(TrialProcess):
    """A member of a crew that trains and measures how fast the processor is."""

    def matrix_products(self, size: int) -> float:
        """Measure FLOP per second in bf16."""
        left, right = (torch.randn(size, size).bfloat16() for _ in range(2))
        product = torch.empty(size, size, dtype=torch.bfloat16)
        work = self._measured(lambda: torch.mm(left, right, out=product), 1)
        return FLOP_PER_MAC * size**3 * work.num_images / work.seconds

    def convolutions(self, batch_size: int) -> Work:
        """Measure the convolutions of a step, forward and backward."""
        convolutions = self._convolutions(batch_size)

        def step() -> None:
            for convolution in convolutions:
                convolution.forward()
            for convolution in convolutions:
                convolution.backward()

        return self._measured(step, batch_size)

    def time_shares(self, batch_size: int) -> dict[str, float]:
        """Profile the training half of an epoch: next to nothing is evaluated."""
        training = self.training(batch_size, max(self.load.epoch_images, batch_size), num_test=1)
        (shares, *_) = self.window.samples(lambda: profile_epoch(training), 0.0)
        return shares

    @functools.cache  # noqa: B019 (the process ends with its only member)
    def _convolutions(self, batch_size: int) -> list["Convolution"]:
        dtype = resolve_precision("auto", self.device).dtype or torch.float32
        layers = Counter(layer for layer in layers_of(self.load.model) if layer.is_convolution)
        return [Convolution(layer, num_times, batch_size, dtype) for layer, num_times in layers.items()]

    def _measured(self, work: Callable[[], object], num_images: int) -> Work:
        """Measure work for a short while in which the other members do it as well."""
        work()
        return measured(self.window, work, num_images, self.load.seconds / 4)


class Convolution:
    """A convolution of the network, computed as many times as the network has it."""

    def __init__(self, layer: Layer, num_times: int, batch_size: int, dtype: torch.dtype) -> None:
        layout = torch.channels_last
        self._layer = layer
        self._num_times = num_times
        self._images = torch.randn(batch_size, *layer.input_shape).to(dtype, memory_format=layout)
        self._weight = torch.randn(layer.weight_shape).to(dtype, memory_format=layout)
        self._gradient = torch.randn_like(self._forward())

    def forward(self) -> None:
        for _ in range(self._num_times):
            self._forward()

    def backward(self) -> None:
        tensors = (self._gradient, self._images, self._weight)
        strides = (self._layer.stride, self._layer.padding, (1, 1), False, (0, 0), 1)
        arguments = (*tensors, None, *strides, (not self._layer.is_first, True, False))
        for _ in range(self._num_times):
            torch.ops.aten.convolution_backward(*arguments)

    def _forward(self) -> Tensor:
        return functional.conv2d(self._images, self._weight, None, self._layer.stride, self._layer.padding)


def measure(num_rounds: int, load: Load) -> tuple[dict[str, list[float]], dict[int, list[dict[str, float]]]]:
    """Return every figure, round by round, and each process's profile at each batch size."""
    with Crew(2, LimitProcess, 1, load) as crew:
        cases = {
            (method, size): partial(crew.ask, method, size)
            for method, sizes in (("matrix_products", MATRIX_SIZES), ("convolutions", BATCH_SIZES))
            for size in sizes
        }
        answers = harness.interleaved(num_rounds, cases)
        shares = {size: crew.ask("time_shares", size) for size in PROFILED_BATCH_SIZES}
    peaks = [[sum(members) for members in answers["matrix_products", size]] for size in MATRIX_SIZES]
    convolutions = {
        size: [sum(work.num_images / work.seconds for work in members) for members in answers["convolutions", size]]
        for size in BATCH_SIZES
    }
    best = [max(sizes) for sizes in zip(*peaks, strict=True)]
    return limits(best, convolutions, training_flop(load.model)), shares


def limits(peaks: list[float], convolutions: dict[int, list[float]], flop_per_image: int) -> dict[str, list[float]]:
    """Compare the images per second of the convolutions alone with those at the peak, in FLOP per second."""
    at_peak = [peak / flop_per_image for peak in peaks]
    figures = {"bf16 GFLOP/s": [peak / 1e9 for peak in peaks], "images/s at the bf16 peak": at_peak}
    for size, rates in convolutions.items():
        figures[f"images/s of convolutions alone, batch {size}"] = rates
        figures[f"convolutions alone / the peak, batch {size}"] = harness.ratios(rates, at_peak)
    return figures


def mean_shares(members: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Average over processes that trained at the same time."""
    microseconds = {group: statistics.fmean(member[group] for member in members) for group in members[0]}
    total = sum(microseconds.values())
    return {group: {"percent": 100 * value / total, "us an image": value} for group, value in microseconds.items()}


def main() -> None:
    arguments = harness.option_parser(
        __doc__, rounds=3, quick="short measurements, to see that it works"
    ).parse_args()
    load = Load()
    if arguments.quick:
        load = replace(load.quick(), noise=(max(PROFILED_BATCH_SIZES), 200))
    load = replace(load, fused=builds_fused_kernel(print))
    busy_before = harness.busy_cores()
    measured, profiles = measure(arguments.rounds, load)
    report = {name: harness.summary(rounds) for name, rounds in measured.items()}
    shares = {size: mean_shares(members) for size, members in profiles.items()}
    harness.print_figures(
        harness.processor(), {name: {"median (least to most)": figure} for name, figure in report.items()}
    )
    for size, groups in shares.items():
        harness.print_figures(
            f"our training ({'fused' if load.fused else 'plain'}) under the profiler, batch {size}", groups
        )
    figures = {
        "model": load.model,
        "fused": load.fused,
        "busy_cores_before": busy_before,
        "num_rounds": arguments.rounds,
        "seconds_a_measurement": load.seconds,
        "training_flop_an_image": training_flop(load.model),
        "figures": report,
        "time_shares": shares,
    }
    command = f"python benchmarks/machine_limit.py --rounds {arguments.rounds}"
    print(harness.write_report("machine_limit", command, figures, arguments.to))


if __name__ == "__main__":
    main()
