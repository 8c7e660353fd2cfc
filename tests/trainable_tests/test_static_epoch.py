"""The steps that CUDA graphs record, replayed here by calling them; on a GPU they are recorded for real."""

import contextlib
import copy
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainable import engine, static_epoch
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import prepare_device, release_memory
from trainable.engine import predict
from trainable.execution import Execution
from trainable.heartbeat import PULSE
from trainable.randomness import plan_epoch
from trainable.records import EpochRecord
from trainable.splits import prepare
from trainable.static_epoch import WARM_UPS, StaticEpoch, images_per_graph, record_graphs, static_epoch_or_none
from trainable.training import Training

MakeTraining = Callable[[TrainConfig], Training]
Step = Callable[[], None]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five steps in a graph, so that 12 steps are two graphs of 5 and two of 1; and evaluation in batches of 12."""
    monkeypatch.setattr(static_epoch, "STEPS_PER_GRAPH", 5)
    for module in (engine, static_epoch):
        monkeypatch.setattr(module, "EVAL_BATCH_SIZE", 12)


def replay_by_calling(parts: Sequence[Step], restore: Step) -> Sequence[Step]:
    """What `record_graphs` does, without a GPU: warm up, undo, and give the parts back."""
    for part in parts:
        part()
        restore()
    parts[0]()  # a recording leaves half-changed state behind as well
    return parts


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


def test_steps_whose_gradients_overflow_are_skipped_alike(
    make_training: MakeTraining, tiny_config: TrainConfig
) -> None:
    changes = {"precision": "fp16", "batch_size": 2, "epochs": 1, "train_subset": 12, "test_subset": 1}
    config = dataclasses.replace(tiny_config, **changes)  # type: ignore[arg-type]
    plain, static = make_training(config), make_training(config)
    for training in (plain, static):
        training.learner.scaler.load_state_dict({**training.learner.scaler.state_dict(), "scale": 2.0**20})
    with_static_epoch(static)
    assert figures(static) == figures(plain)
    assert static.state() == plain.state()
    assert 2.0**14 < static.learner.scaler.get_scale() < 2.0**20  # some of the 6 steps were skipped, but not all


def test_an_epoch_that_was_broken_off_leaves_no_trace_in_the_next(
    make_training: MakeTraining, short_config: TrainConfig
) -> None:
    config = dataclasses.replace(short_config, epochs=1, train_subset=56)  # groups of 5, 1 and 1
    whole, broken = with_static_epoch(make_training(config)), with_static_epoch(make_training(config))
    start = broken.state()

    def stop(step: int) -> None:
        raise InterruptedError(step)

    with pytest.raises(InterruptedError, match="5"):
        broken.run_epoch(1, stop)
    broken.load_state(start)
    assert figures(broken) == figures(whole)


def test_a_step_that_cannot_be_recorded_falls_back_and_changes_nothing(
    make_training: MakeTraining, tiny_config: TrainConfig
) -> None:
    def refuse(parts: Sequence[Step], restore: Step) -> Sequence[Step]:
        parts[0]()
        training.learner.weights.master.detach().add_(1.0)
        training.learner.weights.round()
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    training = make_training(dataclasses.replace(tiny_config, precision="bf16"))
    before, rounded = training.state(), copy.deepcopy(training.learner.model.state_dict())
    with pytest.warns(
        RuntimeWarning, match="without a CUDA graph: operation not permitted when stream is capturing$"
    ):
        static = static_epoch_or_none(training.learner, training.data, 16, augmented=True, record=refuse)
    assert static is None
    assert training.state() == before
    assert all(torch.equal(value, rounded[name]) for name, value in training.learner.model.state_dict().items())


def out_of_memory(parts: Sequence[Step], restore: Step) -> Sequence[Step]:
    raise torch.OutOfMemoryError("CUDA out of memory")


def out_of_memory_in_a_capture(parts: Sequence[Step], restore: Step) -> Sequence[Step]:
    """What `torch.cuda.graph` does: it ends the capture, which fails too."""
    try:
        return out_of_memory(parts, restore)
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize("record", [out_of_memory, out_of_memory_in_a_capture])
def test_too_little_memory_is_no_reason_to_train_without_a_graph(
    make_training: MakeTraining, tiny_config: TrainConfig, record: static_epoch.Recorder
) -> None:
    training = make_training(tiny_config)
    before = training.state()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        static_epoch_or_none(training.learner, training.data, 16, augmented=True, record=record)
    assert training.state() == before


class FakeCuda:
    """Stands for the streams and graphs of `torch.cuda`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waited: list[object] = []
        """The streams for which the first one has waited."""
        self.current = [SimpleNamespace(wait_stream=self.waited.append)]
        self.pools: list[object] = []
        self.numbers: Iterator[Any] = itertools.count()
        monkeypatch.setattr(
            static_epoch, "_capture_stream", functools.cache(static_epoch._capture_stream.__wrapped__)
        )
        monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(wait_stream=lambda other: None))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.current[-1])
        monkeypatch.setattr(torch.cuda, "default_stream", lambda: self.current[0])
        monkeypatch.setattr(torch.cuda, "stream", self.stream)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=next(self.numbers)))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
        monkeypatch.setattr(torch.cuda, "graph", self.graph)

    @contextlib.contextmanager
    def stream(self, chosen: SimpleNamespace) -> Iterator[None]:
        depth = len(self.current)
        self.current.append(chosen)
        try:
            yield
        finally:
            del self.current[depth:]

    @contextlib.contextmanager
    def graph(self, recorded: object, pool: object = None, stream: SimpleNamespace | None = None) -> Iterator[None]:
        self.pools.append(pool)
        self.current.append(stream or SimpleNamespace())
        yield  # torch, too, stays on the stream if the capture fails
        self.current.pop()


def test_graphs_are_captured_on_the_stream_of_their_warm_up_and_share_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    done: list[tuple[str, int]] = []

    def note(name: str) -> None:
        done.append((name, id(cuda.current[-1])))

    streams = []
    for start in (0, 2):
        done.clear()
        parts = [functools.partial(note, name) for name in ("group", "step")]
        replays: list[Any] = [*record_graphs(parts, functools.partial(note, "restore"))]
        assert replays == [start, start + 1]
        warm_up = ["group", "restore", "step", "restore"] * WARM_UPS
        assert [name for name, _ in done] == [*warm_up, "group", "step"]
        assert {place for _, place in done} == {id(cuda.waited[-1])}
        assert cuda.waited[-1] is not cuda.current[0]
        streams.append(cuda.waited[-1])
    assert streams[0] is streams[1]  # for each stream cuBLAS would keep memory for ever
    assert cuda.pools[0] is cuda.pools[1] is not None
    assert cuda.pools[2] is cuda.pools[3] is not cuda.pools[0]
    own = SimpleNamespace(wait_stream=lambda other: None)
    done.clear()
    with cuda.stream(own):  # a training that has one records on it
        record_graphs([functools.partial(note, "step")], lambda: None)
    assert {place for _, place in done} == {id(own)}


@pytest.mark.parametrize("failing_call", [0, WARM_UPS])
def test_a_failed_recording_leaves_its_stream_behind(monkeypatch: pytest.MonkeyPatch, failing_call: int) -> None:
    cuda = FakeCuda(monkeypatch)
    calls = itertools.count()

    def part() -> None:
        if next(calls) == failing_call:
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        record_graphs([part], lambda: None)
    assert len(cuda.current) == len(cuda.waited) == 1
    record_graphs([lambda: None], lambda: None)
    assert cuda.waited[1] is not cuda.waited[0]  # on which the capture may still be going on


def test_steps_are_reported_when_they_are_launched(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    told: list[int] = []
    moves = PULSE.pulse.moves
    with_static_epoch(make_training(dataclasses.replace(tiny_config, batch_size=8))).run_epoch(1, told.append)
    assert told == [5, 10, 11, 12]
    assert PULSE.pulse.moves - moves == len(told) + 3  # and three batches of the evaluation


def replayed(make_training: MakeTraining, config: TrainConfig) -> list[int]:
    """The numbers of steps that an epoch replays at a time."""
    called: list[int] = []

    def record(parts: Sequence[Any], restore: Step) -> Sequence[Step]:
        counts = [part.args[0] for part in parts[:-1]]
        assert len(counts) == len(set(counts))  # nothing is recorded twice
        return [*(functools.partial(called.append, count) for count in counts), parts[-1]]

    training = make_training(config)
    StaticEpoch(training.learner, training.data, config.batch_size, augmented=True, record=record).run(
        plan_epoch(config.train_subset or 96, "none", 0, 0), [0.1] * training.steps_per_epoch
    )
    return called


def test_a_graph_holds_fewer_steps_of_large_batches_and_of_models_with_many_kernels(
    make_training: MakeTraining, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(tiny_config, batch_size=8)
    assert replayed(make_training, config) == [5, 5, 1, 1]
    assert replayed(make_training, dataclasses.replace(config, train_subset=24)) == [3]
    num_weights = len(make_training(config).learner.weights.parameters)
    monkeypatch.setattr(static_epoch, "WEIGHTS_PER_GRAPH", 4 * num_weights)
    assert replayed(make_training, config) == [4] * 3
    assert replayed(make_training, dataclasses.replace(config, ghost_batch_size=4)) == [2] * 6
    monkeypatch.setattr(static_epoch, "WEIGHTS_PER_GRAPH", 0)
    assert replayed(make_training, config) == [1] * 12
    monkeypatch.setattr(static_epoch, "STEPS_PER_GRAPH", 8)
    monkeypatch.setattr(static_epoch, "CHUNK_BYTES", 48 * 2**20)
    cifar, sizes = 3 * 32 * 32, (8, 512, 1024, 2048, 4096, 8192)
    assert [images_per_graph(size, cifar) // size for size in sizes] == [8, 8, 4, 2, 1, 1]
    assert [images_per_graph(size, 3 * 9 * 9) // size for size in (1, 8, 16)] == [1, 1, 8]  # by the alignment


def test_whole_evaluation_batches_are_replayed(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = make_training(tiny_config)
    plain = training.evaluate(training.data.test)
    static = with_static_epoch(training)._static
    assert static is not None
    calls: list[str] = []
    replay = static._replay_evaluation
    static._replay_evaluation = lambda: calls.append("evaluation") or replay()  # type: ignore[func-returns-value]
    found = training.evaluate(training.data.test)
    assert len(calls) == 2  # 12, 12 and 8 of 32 images
    assert (found.loss, found.error_percent) == (plain.loss, plain.error_percent)
    assert torch.equal(found.correct, plain.correct)
    images, _ = training.data.test.take(slice(12))
    expected, _ = next(predict(training.learner, training.data, training.data.test))
    training.learner.model.train()  # whatever was recorded before: an evaluation leaves the running means alone
    assert torch.equal(static.logits(images), expected)


def test_a_processor_neither_records_nor_compiles(make_training: MakeTraining, short_config: TrainConfig) -> None:
    assert str(make_training(short_config).execution) == "eager"
    assert str(Execution(compile=True).on("cpu")) == "eager"
    assert str(Execution(compile=True).on("cuda")) == "compiled graph"
    everything = Execution(graph=False, compile=True, fused=True, streams=True)
    assert Execution.parse(f"{everything} autocast (graph)") == everything
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
