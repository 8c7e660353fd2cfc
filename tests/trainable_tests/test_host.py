"""The process that trains the trials of a GPU beside each other, called without Ray, on the CPU."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch

from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.execution import Share
from trainable.host import TrialHost
from trainable.ledger.reading import read_trial
from trainable.records import Progress, Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import TrialData, prepare
from trainable.trial_worker import Assignment, Node, TrialSetup
from trainable.tune_adapter import SHARE, TRIAL_KEY, HostDiedError, HostedTrial, TrainingTrainable

HERE = Node("abc", "127.0.0.1", lambda key, beat: None)
CPU = torch.device("cpu")
SHARED = Share(1.0, 0.25, streams=True)


@pytest.fixture
def sweep(short_config: TrainConfig, tmp_path: Path) -> TrialSetup:
    configs = {"a": short_config, "b": dataclasses.replace(short_config, lr=0.01)}
    configs["own"] = dataclasses.replace(short_config, noise_scale=True)
    return TrialSetup(configs, tmp_path, RunInfo("run", num_threads=1, code="code"), provenance.source_hash())


@pytest.fixture
def host(sweep: TrialSetup, tiny_data: ImageData, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrialHost]:
    monkeypatch.setattr("trainable.host.LOOK_SECONDS", 0.01)
    made = TrialHost("", sweep, tiny_data, lambda run_id: HERE)
    yield made
    made.close()


def begin(host: TrialHost, key: str, pid: int | None = None) -> None:
    host.begin(Assignment(key, host._sweep.configs[key], (), SHARED), pid or os.getpid())


def epochs(host: TrialHost, key: str, count: int) -> list[Progress]:
    return [host.step(key) for _ in range(count)]


def test_trials_take_turns_in_one_process_and_share_the_images(host: TrialHost, tmp_path: Path) -> None:
    begin(host, "a")
    begin(host, "b")
    done = [host.step(key).status for _ in range(4) for key in ("a", "b")]
    assert done == [Status.INCOMPLETE] * 6 + [Status.COMPLETE] * 2
    cuts: list[TrialData] = [*host._cuts.values()]
    assert len(cuts) == 1
    assert [guest.worker._prepared for guest in host._guests.values()] == cuts * 2
    workers = [guest.worker for guest in host._guests.values()]
    for key in ("a", "b"):
        host.end(key)
    host.end("a")  # nothing happens
    begin(host, "a")
    assert host._guests["a"].worker in workers  # with its stream: there are few
    assert [attempt.gpus for attempt in read_trial(tmp_path / "b").attempts] == [0.25]


def test_a_trial_that_comes_again_is_replayed_from_its_beginning(host: TrialHost) -> None:
    begin(host, "a")
    first = epochs(host, "a", 2)
    begin(host, "a")  # its process was retried, while this one kept it
    again = epochs(host, "a", 3)
    assert [step.record for step in again[:2]] == [step.record for step in first]
    assert [step.replayed for step in again] == [True, True, False]


def test_a_trial_whose_own_process_has_gone_is_free_for_others(host: TrialHost) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    begin(host, "b")
    host.step("b")
    begin(host, "a", process.pid)
    deadline = time.monotonic() + 30
    while "a" in host._guests:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(host._guests) == ["b"]
    assert host.step("b").record is not None


def test_the_shares_of_its_trials_limit_its_memory(host: TrialHost, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    monkeypatch.setattr("trainable.host.limit_memory", limits.append)
    begin(host, "a")
    assert limits == []  # no GPU
    host._device = torch.device("cuda", 0)
    host._limit_memory()
    host._guests["b"] = host._guests["a"]
    host._limit_memory()
    del host._guests["b"]
    host._device = torch.device("cpu")
    assert limits == [0.25, 0.5]


def test_who_trains_a_trial(sweep: TrialSetup, tiny_data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host, if its share says so and nothing in it needs a process; a reused actor may do both."""
    trainable = object.__new__(TrainingTrainable)
    shares = [dataclasses.replace(SHARED, gpus=0.0, streams=streams) for streams in (True, False)]
    keys = [("a", shares[0]), ("own", shares[0]), ("b", shares[1]), ("b", shares[0])]
    carried = [{TRIAL_KEY: key, SHARE: dataclasses.asdict(share)} for key, share in keys]
    trainable.setup(carried[0], sweep, tiny_data, hosts=object())
    found = [type(trainable._trial)]
    for config in carried[1:]:
        trainable.reset_config(config)
        found.append(type(trainable._trial))
    own = type(trainable._own)
    assert found == [HostedTrial, own, own, HostedTrial]


def test_the_death_of_a_host_is_told_in_words_that_tell_it_from_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(answer: object) -> object:
        raise ray.exceptions.ActorDiedError

    trial = HostedTrial(None, Assignment("a", TrainConfig(), (), SHARED))
    trial._host = type("Host", (), {name: type("", (), {"remote": lambda *_: None}) for name in ("step", "end")})
    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(HostDiedError, match="worker process has died"):
        trial.step()
    trial.cleanup()


def test_the_gpu_is_that_of_the_trials(
    sweep: TrialSetup, tiny_data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as Ray leaves it for an actor without a GPU
    seen: list[tuple[str, bool]] = []

    def prepare_device(num_threads: int, *, use_gpu: bool) -> torch.device:
        seen.append((os.environ["CUDA_VISIBLE_DEVICES"], use_gpu))
        return torch.device("cpu")

    monkeypatch.setattr("trainable.host.prepare_device", prepare_device)
    for gpu in ("3", ""):
        TrialHost(gpu, sweep, tiny_data, lambda run_id: HERE)
    assert seen == [("3", True), ("3", False)]


def test_a_trial_trains_on_its_stream_and_is_freed_while_nothing_else_runs(
    host: TrialHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    current: list[str] = ["none"]
    told: list[tuple[str, str, bool]] = []

    @contextlib.contextmanager
    def on_stream() -> Iterator[None]:
        current.append("own")
        yield
        current.pop()

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            told.append((name, current[-1], host._turns._is_alone))
            return function(*given, **named)

        return call

    device = SimpleNamespace(type="cuda")  # as far as the worker itself asks
    monkeypatch.setattr("trainable.trial_worker.own_stream", lambda device: on_stream)
    monkeypatch.setattr("trainable.trial_worker.prepare", noted("prepare", lambda d, c, _: prepare(d, c, CPU)))
    monkeypatch.setattr("trainable.trial_worker.release_memory", noted("release", lambda device: None))
    monkeypatch.setattr(torch.cuda, "synchronize", noted("synchronize", lambda device: None))
    monkeypatch.setattr(torch, "set_num_threads", noted("threads", torch.set_num_threads))
    monkeypatch.setattr(TrialSession, "next_epoch", noted("epoch", lambda session: session._replay()))
    begin(host, "a")
    host._guests["a"].worker._device = device  # type: ignore[assignment]
    host.step("a")
    host.end("a")
    assert told == [
        ("threads", "none", False),
        ("prepare", "own", True),
        ("synchronize", "own", True),
        ("epoch", "own", False),
        ("release", "none", True),
    ]
