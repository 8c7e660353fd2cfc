"""The step that a CUDA graph records, replayed here by calling it; on a GPU it is recorded for real."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import prepare_device, release_memory
from trainable.execution import Execution
from trainable.records import EpochRecord
from trainable.splits import prepare
from trainable.static_epoch import WARM_UP_STEPS, StaticEpoch, record_graph, static_epoch_or_none
from trainable.training import Training

MakeTraining = Callable[[TrainConfig], Training]
Step = Callable[[], None]


def replay_by_calling(step: Step, restore: Step) -> Step:
    """What `record_graph` does, without a GPU: warm up, undo, and give the step back."""
    for _ in range(3):
        step()
        restore()
    step()  # a recording leaves half-changed state behind as well
    return step


def with_static_epoch(training: Training) -> Training:
    augmented = training.config.augmentation != "none"
    training._static = StaticEpoch(
        training.learner, training.data, training.config.batch_size, augmented=augmented, record=replay_by_calling
    )
    return training


def figures(training: Training) -> list[EpochRecord]:
    records = []
    while not training.finished:
        record = training.run_epoch(1).record
        records.append(dataclasses.replace(record, train_seconds=0.0, eval_seconds=0.0, images_per_second=0.0))
    return records


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bf16", "nesterov": False},
        {"precision": "fp16", "train_subset": 16, "test_subset": 4, "epochs": 2},
        {"augmentation": "none", "momentum": 0.0, "nesterov": False},
        {"holdout": 0.25, "schedule": "multistep", "augmentation": "crop"},
        {"train_subset": 31},
        {"optimizer": "lars", "lr": 0.001, "weight_decay_on": "no_bn", "clip_grad_norm": 0.5},
        {"optimizer": "lars", "lr": 0.001, "precision": "fp16", "train_subset": 16, "test_subset": 4, "epochs": 2},
        {"optimizer": "adamw", "lr": 0.001, "weight_decay_on": "matrices"},
        {"optimizer": "muon", "lr": 0.001},
        {"weight_decay_on": "no_bn", "warmup_epochs": 1, "label_smoothing": 0.1, "ghost_batch_size": 4},
        {"cutout_size": 2, "mixup_alpha": 0.4, "ghost_batch_size": 4},
        {"precision": "pure_fp16", "train_subset": 16, "test_subset": 4, "epochs": 2},
    ],
    ids=str,
)
def test_figures_are_those_of_the_plain_loop(
    make_training: MakeTraining, tiny_config: TrainConfig, changes: dict[str, object]
) -> None:
    config = dataclasses.replace(tiny_config, **{"batch_size": 8, **changes})  # type: ignore[arg-type]
    plain, static = make_training(config), with_static_epoch(make_training(config))
    assert figures(static) == figures(plain)
    for tensor, other in zip(static._model_state().values(), plain._model_state().values(), strict=True):
        assert torch.equal(tensor, other)


@pytest.mark.parametrize(
    "changes",
    [{"precision": "fp32"}, {"precision": "fp16"}, {"optimizer": "adamw"}, {"cutout_size": 2, "mixup_alpha": 0.4}],
    ids=str,
)
def test_resumed_at_any_epoch_is_as_uninterrupted(
    make_training: MakeTraining, short_config: TrainConfig, changes: dict[str, Any]
) -> None:
    config = dataclasses.replace(short_config, epochs=3, **changes)
    whole = with_static_epoch(make_training(config))
    states = [whole.state()]
    records = []
    while not whole.finished:
        records.append(dataclasses.replace(whole.run_epoch(1).record, train_seconds=0, eval_seconds=0))
        states.append(whole.state())
    for epoch, state in enumerate(states[:-1]):
        resumed = with_static_epoch(make_training(config))
        resumed.load_state(state)
        again = [dataclasses.replace(record, train_seconds=0, eval_seconds=0) for record in figures(resumed)]
        expected = [dataclasses.replace(record, images_per_second=0.0) for record in records[epoch:]]
        assert again == expected
        assert resumed.state() == states[-1]


def test_a_step_that_cannot_be_recorded_falls_back_and_changes_nothing(
    make_training: MakeTraining, tiny_config: TrainConfig
) -> None:
    def refuse(step: Step, restore: Step) -> Step:
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    training = make_training(tiny_config)
    before = training.state()
    with pytest.warns(
        RuntimeWarning, match="without a CUDA graph: operation not permitted when stream is capturing$"
    ):
        static = static_epoch_or_none(training.learner, training.data, 16, augmented=True, record=refuse)
    assert static is None
    assert training.state() == before


def out_of_memory(step: Step, restore: Step) -> Step:
    raise torch.OutOfMemoryError("CUDA out of memory")


def out_of_memory_in_a_capture(step: Step, restore: Step) -> Step:
    """What `torch.cuda.graph` does: it ends the capture, which fails too."""
    try:
        return out_of_memory(step, restore)
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize("record", [out_of_memory, out_of_memory_in_a_capture])
def test_too_little_memory_is_no_reason_to_train_without_a_graph(
    make_training: MakeTraining, tiny_config: TrainConfig, record: Callable[[Step, Step], Step]
) -> None:
    training = make_training(tiny_config)
    before = training.state()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        static_epoch_or_none(training.learner, training.data, 16, augmented=True, record=record)
    assert training.state() == before


def test_a_graph_is_captured_on_the_stream_of_its_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    current = [SimpleNamespace(wait_stream=lambda other: None)]

    @contextlib.contextmanager
    def stream(chosen: SimpleNamespace) -> Iterator[None]:
        current.append(chosen)
        yield
        current.pop()

    def graph(recorded: object, stream: SimpleNamespace | None = None) -> contextlib.AbstractContextManager[None]:
        return torch.cuda.stream(stream or SimpleNamespace())  # type: ignore[arg-type]

    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(wait_stream=lambda other: None))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", graph)
    used: list[list[int]] = [[], []]
    for streams in used:
        record_graph(lambda streams=streams: streams.append(id(current[-1])), lambda: None)  # type: ignore[misc]
        assert len(streams) == WARM_UP_STEPS + 1
        assert len(set(streams)) == 1
        assert streams[0] != id(current[0])


def test_steps_are_reported(make_training: MakeTraining, short_config: TrainConfig) -> None:
    told: list[int] = []
    with_static_epoch(make_training(short_config)).run_epoch(1, told.append)
    assert told == [1, 2]


def test_a_processor_neither_records_nor_compiles(make_training: MakeTraining, short_config: TrainConfig) -> None:
    assert str(make_training(short_config).execution) == "eager"
    assert str(Execution(compile=True).on("cpu")) == "eager"
    assert str(Execution(compile=True).on("cuda")) == "compiled graph"
    assert str(Execution(graph=False).on("cuda")) == "eager"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine that cannot record a graph")
def test_the_execution_says_that_nothing_was_recorded(
    make_training: MakeTraining, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Execution, "on", lambda execution, device_type: execution)
    with pytest.warns(RuntimeWarning, match="training without a CUDA graph"):
        training = make_training(tiny_config)
    assert str(training.execution) == "eager"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "fp32"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"optimizer": "lars", "lr": 0.001, "precision": "fp16"},
        {"optimizer": "adamw", "lr": 0.001, "weight_decay_on": "no_bn", "clip_grad_norm": 1.0},
        {"optimizer": "muon", "lr": 0.001},
        {"cutout_size": 2, "mixup_alpha": 0.4, "ghost_batch_size": 8, "label_smoothing": 0.1, "precision": "fp16"},
        {"optimizer": "muon", "lr": 0.001, "precision": "fp16", "clip_grad_norm": 1.0, "warmup_epochs": 0.5},
        {"optimizer": "lars", "lr": 0.001, "precision": "pure_fp16", "schedule": "linear"},
    ],
    ids=str,
)
def test_graph_against_eager_on_a_gpu(
    tiny_data: ImageData, tiny_config: TrainConfig, changes: dict[str, Any]
) -> None:
    device = prepare_device(1, use_gpu=True)
    config = dataclasses.replace(tiny_config, **changes)
    data = prepare(tiny_data, config, device)
    graph = Training(config, data, device, Execution(graph=True))
    eager = Training(config, data, device, Execution(graph=False))
    assert str(graph.execution) == "graph"
    assert figures(graph) == figures(eager)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_outlives_another_one(tiny_data: ImageData, tiny_config: TrainConfig) -> None:
    device = prepare_device(1, use_gpu=True)
    data = prepare(tiny_data, tiny_config, device)
    first, second, alone = (Training(tiny_config, data, device, Execution(graph=True)) for _ in range(3))
    assert str(second.execution) == "graph"
    first.run_epoch(1)
    second.run_epoch(1)
    del first
    release_memory(device)
    filler = torch.full((2**28,), float("nan"), device=device)  # takes the freed memory
    alone.run_epoch(1)
    assert figures(second) == figures(alone)
    del filler
