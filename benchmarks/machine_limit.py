"""What the machine could do, and how much of it training uses: `python benchmarks/machine_limit.py [--rounds 3]`.

Measured in turn, in two processes of one thread each that work at the same time (the sum of both) and in one process
of two threads: matrix products in bf16 and fp32 (the best of several sizes), copies and triads in memory (bytes read
plus written; a first touch of the target's lines is not counted), the network's convolutions alone (forward, and both
gradients, as our loop has them: bf16 where the processor computes in it, channels_last), and our training. The limits
are what the network's arithmetic would take at the peak, and what its convolutions take alone. Finally torch's
profiler shows where the time of an epoch goes, in two processes at the same time.
"""

import functools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler says on stderr when it begins and ends

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import harness
from benchmarks.crew import Crew, Window
from benchmarks.time_shares import TimeShares, profile_epoch
from benchmarks.trial_process import Load, TrialProcess
from models.registry import build_model
from trainable.precision import resolve_precision

BATCH_SIZES = (128, 2048)
MATRIX_SIZES = (512, 1024, 2048)
ARRAY_BYTES = 256 * 2**20
"""Size of an array, many times that of the processor's caches."""
IMAGE_SHAPE = (3, 32, 32)
FLOP_PER_MAC = 2
TWO_PROCESSES, ONE_PROCESS = WAYS = ("two processes, one thread each", "one process, two threads")


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

    def __init__(self, window: Window, num_threads: int, load: Load) -> None:
        super().__init__(window, num_threads, load)
        self._dtype = resolve_precision("auto", self.device).dtype or torch.float32
        self._arrays = [torch.ones(ARRAY_BYTES // 4) for _ in range(3)]

    def matrix_products(self, size: int, dtype: torch.dtype) -> float:
        """Measure FLOP per second."""
        left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
        product = torch.empty(size, size, dtype=dtype)
        return FLOP_PER_MAC * size**3 / self._seconds(lambda: torch.mm(left, right, out=product))

    def copy(self) -> float:
        """Measure bytes per second."""
        target, source, _ = self._arrays
        return 2 * ARRAY_BYTES / self._seconds(lambda: target.copy_(source))

    def triad(self) -> float:
        """Measure bytes per second of a = b + s * c (McCalpin, STREAM)."""
        target, first, second = self._arrays
        return 3 * ARRAY_BYTES / self._seconds(lambda: torch.add(first, second, alpha=3.0, out=target))

    def convolutions(self, batch_size: int) -> tuple[float, float]:
        """Measure seconds per image, forward and backward."""
        convolutions = self._convolutions(batch_size)

        def forward() -> None:
            for convolution in convolutions:
                convolution.forward()

        def backward() -> None:
            for convolution in convolutions:
                convolution.backward()

        return self._seconds(forward) / batch_size, self._seconds(backward) / batch_size

    def time_shares(self, batch_size: int) -> TimeShares:
        """Profile the training half of an epoch: next to nothing is evaluated."""
        training = self.training(batch_size, max(self.load.epoch_images, batch_size), num_test=1)
        (shares, *_) = self.window.samples(lambda: profile_epoch(training), 0.0)
        return shares

    @functools.cache  # noqa: B019 (the process ends with its only member)
    def _convolutions(self, batch_size: int) -> list["Convolution"]:
        layers = Counter(layer for layer in layers_of(self.load.model) if layer.is_convolution)
        return [Convolution(layer, num_times, batch_size, self._dtype) for layer, num_times in layers.items()]

    def _seconds(self, work: Callable[[], object]) -> float:
        """Return the mean time of a call over a short while in which the other members call it as well."""

        def timed() -> float:
            started = time.perf_counter()
            work()
            return time.perf_counter() - started

        work()
        seconds = self.window.samples(timed, self.load.seconds / 6)
        return sum(seconds) / len(seconds)


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


Figures = dict[str, dict[str, list[float]]]
"""Name of the figure -> way -> one value for each round."""


def measure(num_rounds: int, load: Load) -> tuple[Figures, dict[int, list[TimeShares]]]:
    """Measure the rates of everything, and the profile at each batch size."""
    with Crew(2, LimitProcess, 1, load) as two, Crew(1, LimitProcess, 2, load) as single:
        crews = {TWO_PROCESSES: two, ONE_PROCESS: single}
        methods: dict[str, tuple[Any, ...]] = {
            **{f"bf16 {size}": ("matrix_products", size, torch.bfloat16) for size in MATRIX_SIZES},
            **{f"fp32 {size}": ("matrix_products", size, torch.float32) for size in MATRIX_SIZES},
            **{name: (name,) for name in ("copy", "triad")},
            **{f"convolutions {size}": ("convolutions", size) for size in BATCH_SIZES},
            **{f"training {size}": ("epochs", size) for size in BATCH_SIZES},
        }
        cases: dict[tuple[str, str], Callable[[], list[Any]]] = {
            (name, way): partial(crew.ask, *method) for name, method in methods.items() for way, crew in crews.items()
        }
        answers = harness.interleaved(num_rounds, cases)
        shares = {size: two.ask("time_shares", size) for size in BATCH_SIZES}
    return _figures(answers, training_flop(load.model)), shares


def _figures(answers: dict[tuple[str, str], list[list[Any]]], flop_per_image: int) -> Figures:
    """Compute the figures from the answers of both ways, summed over the processes."""

    def rounds(name: str, rate: Callable[[Any], float] = float) -> dict[str, list[float]]:
        return {way: [sum(rate(member) for member in answer) for answer in answers[name, way]] for way in WAYS}

    figures: Figures = {}
    for dtype in ("bf16", "fp32"):
        by_size = [rounds(f"{dtype} {size}") for size in MATRIX_SIZES]
        figures[f"{dtype} GFLOP/s"] = {
            way: [max(of_round) / 1e9 for of_round in zip(*(rates[way] for rates in by_size), strict=True)]
            for way in WAYS
        }
    for name in ("copy", "triad"):
        figures[f"{name} GB/s"] = {way: [rate / 1e9 for rate in values] for way, values in rounds(name).items()}
    figures["images/s at the bf16 peak"] = {
        way: [1e9 * peak / flop_per_image for peak in values] for way, values in figures["bf16 GFLOP/s"].items()
    }
    for size in BATCH_SIZES:
        name = f"convolutions {size}"
        figures[f"images/s of convolutions, forward, batch {size}"] = rounds(name, lambda both: 1 / both[0])
        figures[f"images/s of convolutions, backward, batch {size}"] = rounds(name, lambda both: 1 / both[1])
        figures[f"images/s of convolutions alone, batch {size}"] = rounds(name, lambda both: 1 / sum(both))
        figures[f"images/s of our training, batch {size}"] = rounds(f"training {size}", lambda rates: rates.training)
    for size in BATCH_SIZES:
        ours = figures[f"images/s of our training, batch {size}"]
        for limit, name in (
            ("the peak", "images/s at the bf16 peak"),
            ("convolutions alone", f"images/s of convolutions alone, batch {size}"),
        ):
            figures[f"training / {limit}, batch {size}"] = {
                way: harness.ratios(values, figures[name][way]) for way, values in ours.items()
            }
    return figures


def print_time_shares(shares: dict[int, list[TimeShares]]) -> None:
    """Print the shares, averaged over the processes."""
    means = {size: TimeShares.mean(members) for size, members in shares.items()}
    groups = next(iter(means.values())).microseconds
    rows = {
        group: {f"batch {size}: percent": mean.percent(group) for size, mean in means.items()}
        | {f"batch {size}: us an image": mean.microseconds[group] for size, mean in means.items()}
        for group in groups
    }
    harness.print_figures("our training under the profiler, two processes of one thread each", rows)


def main() -> None:
    parser = harness.option_parser(__doc__, rounds=3, quick="short measurements, to see that it works")
    parser.add_argument("--model", default=Load().model)
    arguments = parser.parse_args()
    load = Load(model=arguments.model)
    if arguments.quick:
        load = load.quick()
    busy_before = harness.busy_cores()
    started = time.perf_counter()
    measured, shares = measure(arguments.rounds, load)
    layers = layers_of(load.model)
    macs = sum(layer.macs for layer in layers)
    flop = training_flop(load.model)
    print(f"{load.model}: {macs / 1e6:.1f} M MAC an image forward, {flop / 1e6:.0f} MFLOP an image in training")
    report = {name: {way: harness.summary(values) for way, values in ways.items()} for name, ways in measured.items()}
    harness.print_figures(f"median of {arguments.rounds} rounds (least to most)", report)
    print_time_shares(shares)
    print(f"{time.perf_counter() - started:.0f} s; others kept {busy_before:.1f} cores busy before it began")
    figures = {
        "model": load.model,
        "busy_cores_before": busy_before,
        "num_rounds": arguments.rounds,
        "seconds_a_measurement": load.seconds,
        "macs_an_image": macs,
        "training_flop_an_image": flop,
        "figures": report,
        "time_shares": {size: TimeShares.mean(members).to_dict() for size, members in shares.items()},
    }
    command = f"python benchmarks/machine_limit.py --rounds {arguments.rounds}"
    print(harness.write_report("machine_limit", command, figures, arguments.to))


if __name__ == "__main__":
    main()
