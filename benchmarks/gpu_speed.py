"""Sections 'speed', 'switches' and 'formats' of `benchmarks/gpu.py`: images per second and memory."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu_process import COMPILED, EAGER, GRAPH, Bench, Case, Row, Work
from benchmarks.harness import summary
from benchmarks.strong_loop import Recipe, StrongLoop, cudnn
from benchmarks.trial_process import run_epoch
from models.registry import build_model
from trainable import engine, static_epoch, training
from trainable.data.contract import ImageData
from trainable.device import peak_memory_bytes, reset_peak_memory
from trainable.training import Training

PEER, COMPILED_PEER = "strong peer", "strong peer, compiled"
WAYS = {"eager": EAGER, "graph": GRAPH, "compiled": COMPILED}
CHANNELS = 8
"""Number of input channels of the padded stem, a multiple of what tensor cores take."""
AMPLITUDE = 5
"""Strength of the pattern of a class, in units of the uint8 values; the noise over it has a deviation of 74."""
PATTERN_SIZE = 4

Epoch = Callable[[], tuple[float, float]]
"""Trains and evaluates once; returns images per second of both."""
Start = Callable[[Bench], Epoch]


def speed_cases(works: Sequence[Work], num_rounds: int, use_gpu: bool) -> list[Case]:
    """List the measurements of all ways to train, those with the compiler last, since they take longest."""
    groups: list[tuple[str, ...]] = [("eager", "graph", PEER)]
    if use_gpu:
        groups += [("graph", "compiled"), ("graph", COMPILED_PEER)]
    return [
        Case({"batch_size": work.batch_size, "compared": "/".join(group)}, compare, (work, group, num_rounds), 60.0)
        for group in groups
        for work in works
    ]


def compare(bench: Bench, work: Work, names: Sequence[str], num_rounds: int) -> Row:
    """Compare some of WAYS and the strong peer."""
    return {"figures": _rates(bench, {name: starter(work, name) for name in names}, num_rounds)}


def starter(work: Work, name: str) -> Start:
    """Return what starts one of WAYS or the strong peer."""
    if name in WAYS:
        return lambda bench: _epoch_of(bench.training(work, WAYS[name]))
    return lambda bench: _peer_epoch(bench, work, "default" if name == COMPILED_PEER else None)


def _epoch_of(trained: Training) -> Epoch:
    def epoch() -> tuple[float, float]:
        record = run_epoch(trained)
        return record.images_per_second, len(trained.data.test) / record.eval_seconds

    return epoch


def peer_loop(bench: Bench, work: Work, compile_mode: str | None = None) -> StrongLoop:
    """Make the strong peer's training of as many images as ours."""
    num_train, num_test = bench.num_steps(work) * work.batch_size, bench.num_test(work)
    recipe = Recipe(work.model, work.batch_size, num_train=num_train, num_test=num_test, compile_mode=compile_mode)
    return StrongLoop(recipe, bench.images, bench.device)


def _peer_epoch(bench: Bench, work: Work, compile_mode: str | None) -> Epoch:
    loop, num_steps = peer_loop(bench, work, compile_mode), bench.num_steps(work)

    def epoch() -> tuple[float, float]:
        started = time.perf_counter()
        loop.train_epoch(num_steps)
        trained = time.perf_counter()
        loop.evaluate()
        evaluated = time.perf_counter()
        return num_steps * work.batch_size / (trained - started), bench.num_test(work) / (evaluated - trained)

    return epoch


def _rates(bench: Bench, starts: Mapping[str, Start], num_rounds: int) -> dict[str, Row]:
    """Start every variant, then train an epoch of each in rounds of changing order."""
    epochs: dict[str, Epoch] = {}
    figures: dict[str, Row] = {}
    for name, start in starts.items():
        bench.release()
        before = bench.memory()["allocated_bytes"] or 0
        reset_peak_memory(bench.device)
        started = time.perf_counter()
        epochs[name] = start(bench)
        epochs[name]()  # captures and compiles
        seconds, peak = time.perf_counter() - started, peak_memory_bytes(bench.device)
        figures[name] = {"start_seconds": seconds, "peak_bytes": None if peak is None else peak - before}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in starts}
    names = list(starts)
    for _ in range(num_rounds):
        for name in names:
            rates[name].append(epochs[name]())
        names = names[1:] + names[:1]
    base = next(iter(rates.values()))
    for name, measured in rates.items():
        for index, kind in enumerate(("train", "eval")):
            figures[name][f"{kind}_images_per_second"] = summary([pair[index] for pair in measured])
            over_first = [pair[index] / first[index] for pair, first in zip(measured, base, strict=True)]
            figures[name][f"{kind}_times_the_first"] = summary(over_first)
    return figures


def padded_stem(*arguments: Any, **options: Any) -> nn.Module:  # noqa: ANN401 (those of build_model)
    """Build a model whose first layer sees zeros as further channels; its results are the same."""
    model: Any = build_model(*arguments, **options)
    stem: nn.Conv2d = model.stem

    def forward(images: Tensor) -> Tensor:
        padding = (0, 0, 0, 0, 0, CHANNELS - images.shape[1])
        padded = functional.pad(images, padding).contiguous(memory_format=torch.channels_last)
        return functional.conv2d(padded, functional.pad(stem.weight, padding), None, stem.stride, stem.padding)

    stem.forward = forward  # type: ignore[assignment, method-assign]
    return model  # type: ignore[no-any-return]


def without_channels_last(make_model: Callable[..., Any]) -> Callable[..., Any]:
    """Change what makes a training's model, so that its memory format is the usual one."""

    def make(*arguments: Any) -> Any:  # noqa: ANN401 (those of make_model)
        model, traits = make_model(*arguments)
        return model, dataclasses.replace(traits, memory_format=torch.contiguous_format)

    return make


def _eval_batches(size: int) -> contextlib.AbstractContextManager[object]:
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(engine, "EVAL_BATCH_SIZE", size))
    stack.enter_context(mock.patch.object(static_epoch, "EVAL_BATCH_SIZE", size))
    return stack


SWITCHES: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
    "as it is": contextlib.nullcontext,
    "cuDNN not deterministic": lambda: cudnn(deterministic=False, benchmark=False),
    "cuDNN chooses by measuring": lambda: cudnn(deterministic=False, benchmark=True),
    f"stem padded to {CHANNELS} channels": lambda: mock.patch.object(training, "build_model", padded_stem),
    "without channels_last": lambda: mock.patch.object(
        training, "_make_model", without_channels_last(training._make_model)
    ),
    **{
        f"{count} steps per graph": lambda count=count: mock.patch.object(  # type: ignore[misc]
            static_epoch, "STEPS_PER_GRAPH", count
        )
        for count in (1, 4, 16)
    },
    **{f"evaluation by {size}": lambda size=size: _eval_batches(size) for size in (250, 1000, 5000)},  # type: ignore[misc]
}
"""Name -> what makes a training with that switch; it is in effect while the training is made and while it runs."""
PRECISIONS = ("fp16", "tf32", "fp32")


def switch_cases(works: Sequence[Work], num_rounds: int, use_gpu: bool, num_switches: int) -> list[Case]:
    """List the measurements of each switch against the training as it is, an important batch size first."""
    names = [*SWITCHES][1 : num_switches + 1] + list(PRECISIONS if use_gpu else ())
    return [
        Case({"batch_size": work.batch_size, "switch": name}, switched, (work, name, num_rounds))
        for work in works
        for name in names
    ]


def switched(bench: Bench, work: Work, name: str, num_rounds: int) -> Row:
    """Compare a training with a switch, or in another number format, with one as it is."""
    other = dataclasses.replace(work, precision=name) if name in PRECISIONS else work
    switch = SWITCHES.get(name, contextlib.nullcontext)

    def start(bench: Bench) -> Epoch:
        with switch():
            epoch = _epoch_of(bench.training(other))

        def with_switch() -> tuple[float, float]:
            with switch():
                return epoch()

        return with_switch

    if work not in bench.kept:
        bench.kept = {work: _epoch_of(bench.training(work))}
    plain: Epoch = bench.kept[work]
    return {"figures": _rates(bench, {"as it is": lambda _: plain, name: start}, num_rounds)}


def format_cases(work: Work, formats: Sequence[str]) -> list[Case]:
    """List the trainings to the end, in each number format."""
    return [
        Case({"precision": name}, real_epochs, (dataclasses.replace(work, precision=name),), 60.0) for name in formats
    ]


def real_epochs(bench: Bench, work: Work) -> Row:
    """Train to the end; noise is given something that can be learnt."""
    kept = bench.images
    try:
        bench.images = with_patterns(kept) if kept.name == "noise" else kept
        trained = bench.training(work)
    finally:
        bench.images = kept
    records = [run_epoch(trained) for _ in range(work.epochs)]
    return {
        "epochs": work.epochs,
        "train_losses": [record.train_loss for record in records],
        "test_losses": [record.test_loss for record in records],
        "test_error_percent": [record.test_error_percent for record in records],
        "epoch_seconds": summary([record.train_seconds + record.eval_seconds for record in records]),
    }


def with_patterns(images: ImageData) -> ImageData:
    """Add a weak pattern to each image, which depends on its class alone."""
    random = np.random.RandomState(1)
    size = images.train_images.shape[1] // PATTERN_SIZE
    patterns = random.choice([-AMPLITUDE, AMPLITUDE], (images.num_classes, PATTERN_SIZE, PATTERN_SIZE, 3))
    patterns = patterns.repeat(size, axis=1).repeat(size, axis=2)
    splits = [
        np.clip(pixels.astype(np.int16) + patterns[labels], 0, 255).astype(np.uint8)
        for pixels, labels in (
            (images.train_images, images.train_labels),
            (images.test_images, images.test_labels),
        )
    ]
    return dataclasses.replace(images, train_images=splits[0], test_images=splits[1])
