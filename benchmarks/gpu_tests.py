"""Section 'tests' of `benchmarks/gpu.py`: what a GPU has to do right, and no processor can show."""

import dataclasses
import io
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.gpu_process import COMPILED, EAGER, GRAPH, Bench, Case, Row, Work
from benchmarks.gpu_speed import COMPILED_PEER, starter
from benchmarks.trial_process import run_epoch
from trainable.execution import Execution
from trainable.static_epoch import static_epoch_or_none
from trainable.training import Training, _compiled

FORMATS = ("bf16", "fp32", "fp16")
NUM_SHAPES = 9
"""One more than torch compiles of one function, by default."""
SMALL_MODEL = "resnet_preact_8"
"""Is compiled sooner."""
LARGE_BATCH = 2048
SMALL_MEMORY = 0.005
"""Share of the GPU's memory that is too small for a large batch."""
TF32_TOLERANCE = 0.05
"""Largest difference of the losses of the first epochs, in nats."""


def lanes(work: Work, num_trainings: int, cold_sizes: tuple[int, ...], use_gpu: bool) -> list[list[Case]]:
    """List the tests, and trainings that compile what the next section needs, for processes that run side by side."""
    same = [
        Case({"test": f"graph and resumed training equal the plain loop, {name}"}, equality, (work, name), 45.0)
        for name in FORMATS
    ]
    memory = [
        Case({"test": f"{num_trainings} trainings after each other"}, memory_growth, (work, num_trainings), 60.0),
        Case({"test": "two graphs, one destroyed"}, two_graphs, (work,)),
        Case({"test": "a recording that runs out of memory"}, out_of_memory, (work,)),
    ]
    shapes = [Case({"test": f"{NUM_SHAPES} shapes, compiled"}, nine_shapes, (NUM_SHAPES,), 60.0)]
    tf32 = [Case({"test": "tf32, compiled"}, tf32_compiled, (dataclasses.replace(work, model=SMALL_MODEL),), 60.0)]
    cold = [("compiled", size) for size in cold_sizes] + [(COMPILED_PEER, size) for size in cold_sizes[:1]]
    starts = [
        [Case({"cold_start": way, "batch_size": size}, cold_start, (Work(size, 8), way), 90.0)] for way, size in cold
    ]
    return [same, memory, shapes, tf32, *(starts if use_gpu else [])]


def equality(bench: Bench, work: Work, precision: str) -> Row:
    """Train with the same seed in several ways, and compare losses and weights with those of the plain loop.

    A second eager training shows what the device itself does not repeat.
    """
    work = dataclasses.replace(work, precision=precision)
    losses, weights = course(bench, work, EAGER)
    found: Row = {"losses": losses}
    for name, execution, resumes in (
        ("eager again", EAGER, False),
        ("graph", GRAPH, False),
        ("graph, resumed at every epoch", GRAPH, True),
    ):
        others, other_weights = course(bench, work, execution, resumes=resumes)
        differences = [abs(loss - other) for loss, other in zip(losses, others, strict=True)]
        found[name] = {
            "passed": others == losses and _equal(weights, other_weights),
            "largest_loss_difference": max(differences),
            "largest_weight_difference": max(
                float((values.double() - other_weights[key].double()).abs().max()) for key, values in weights.items()
            ),
        }
    return found | {"passed": all(part["passed"] for part in found.values() if isinstance(part, dict))}


def course(
    bench: Bench, work: Work, execution: Execution, *, resumes: bool = False
) -> tuple[list[float], dict[str, Tensor]]:
    """Train to the end, or resume at every epoch; return the losses of each epoch and the final weights."""
    training = bench.training(work, execution)
    losses: list[float] = []
    for epoch in range(work.epochs):
        if resumes and epoch > 0:
            state = training.state()
            training = Training(training.config, training.data, bench.device, execution)
            training.load_state(state)
        losses += _losses(training)
    return losses, _weights(training)


def _losses(training: Training) -> list[float]:
    record = run_epoch(training)
    return [record.train_loss or 0.0, record.test_loss or 0.0]  # finite: run_epoch has checked it


def _weights(training: Training) -> dict[str, Tensor]:
    content = torch.load(io.BytesIO(training.state()), map_location="cpu", weights_only=True)
    weights: dict[str, Tensor] = content["model"]
    return weights


def _equal(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all(torch.equal(values, others[key]) for key, values in weights.items())


def memory_growth(bench: Bench, work: Work, num_trainings: int) -> Row:
    """Train again and again in one process, as a reused worker does; after each its memory must be free again."""
    sizes: list[Row] = []
    for _ in range(num_trainings):
        run_epoch(bench.training(work))
        bench.release()
        sizes.append(bench.memory())
    found: Row = {"passed": True}
    for key in sizes[0]:
        found[key] = [row[key] for row in sizes]
        settled = found[key][1:]  # the first opens cuDNN and cuBLAS
        if bench.is_gpu and key != "device_used_bytes" and settled[-1] > settled[0]:  # others use the device as well
            found["passed"] = False
    return found


def two_graphs(bench: Bench, work: Work) -> Row:
    """Destroy one of two trainings, write over its memory, and compare the other one with an undisturbed training."""
    expected = bench.training(work)
    losses = [_losses(expected) for _ in range(2)]
    weights = _weights(expected)
    del expected
    bench.release()
    other = bench.training(work)
    kept = bench.training(work)
    run_epoch(other)
    found = [_losses(kept)]
    del other
    bench.release()
    garbage = [torch.full((2**20,), float("nan"), device=bench.device) for _ in range(64 if bench.is_gpu else 1)]
    found.append(_losses(kept))
    del garbage
    return {"passed": found == losses and _equal(weights, _weights(kept)), "losses": found, "expected": losses}


def out_of_memory(bench: Bench, work: Work) -> Row:
    """Record a step that does not fit into the memory: that must be an error, not a training without a graph."""
    bench.release()
    if bench.is_gpu:
        torch.cuda.set_per_process_memory_fraction(SMALL_MEMORY, bench.device)
        attempt: Callable[[], object] = lambda: bench.training(Work(LARGE_BATCH, 1, work.model, num_test=1))  # noqa: E731
    else:
        training = bench.training(work, EAGER)
        record = mock.Mock(side_effect=torch.OutOfMemoryError("made up"))
        arguments = (training.learner, training.data, work.batch_size)
        attempt = lambda: static_epoch_or_none(*arguments, augmented=True, record=record)  # noqa: E731
    try:
        attempt()
    except torch.OutOfMemoryError as error:
        return {"passed": True, "raised": str(error).partition("\n")[0]}
    finally:
        if bench.is_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    return {"passed": False, "raised": None}


def nine_shapes(bench: Bench, num_shapes: int) -> Row:
    """Compile more shapes than torch allows: one model must fail loudly, a new one for each shape must not."""
    model = nn.Sequential(nn.ReLU(), nn.Sigmoid())
    compile_model = _compiled if bench.is_gpu else mock.Mock(return_value=model)  # a processor's compiler takes long
    shapes = [torch.zeros(2 + number, 8, device=bench.device) for number in range(num_shapes)]
    reset_count = 0
    for images in shapes:
        compile_model(model)(images)
        reset_count += 1
    compiled, raised, one_count = compile_model(model), None, 0
    try:
        for images in shapes:
            compiled(images)
            one_count += 1
    except Exception as error:  # its type is private
        raised = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    if bench.is_gpu:
        torch.compiler.reset()
    is_loud = raised is not None or not bench.is_gpu
    return {
        "passed": reset_count == num_shapes and is_loud,
        "shapes_with_resets": reset_count,
        "shapes_without": one_count,
        "raised": raised,
    }


def tf32_compiled(bench: Bench, work: Work) -> Row:
    """Train compiled in tf32, whose settings torch's compiler reads, and compare with fp32 without the compiler."""
    expected, _ = course(bench, dataclasses.replace(work, precision="fp32"), EAGER)
    name = "tf32" if bench.is_gpu else "fp32"
    training = bench.training(dataclasses.replace(work, precision=name), COMPILED)
    losses = [loss for _ in range(work.epochs) for loss in _losses(training)]
    difference = max(abs(loss - other) for loss, other in zip(losses, expected, strict=True))
    is_whole = str(training.execution) == str(COMPILED.on(bench.device.type))
    return {
        "passed": is_whole and difference < TF32_TOLERANCE,
        "execution": str(training.execution),
        "largest_loss_difference": difference,
    }


def cold_start(bench: Bench, work: Work, way: str) -> Row:
    """Start a compiled training for the first time; the code stays in the cache for the next section."""
    started = time.perf_counter()
    starter(work, way)(bench)()
    return {"start_seconds": time.perf_counter() - started}
