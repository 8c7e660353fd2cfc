"""Which trainings are started to measure how a GPU is shared, and what is printed; Ray and the GPU are made up."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from search_spaces.resources import case_of
from sweep.driver import gpu_shares
from sweep.driver.capacity import Node
from tests.results_tests.result_samples import make_config
from trainable.config import PlannedTrial, TrainConfig
from trainable.execution import Share
from trainable.gpu_share import Needs, Sharing
from trainable.probe import StreamsProbe

GPU_BYTES = 80 * 2**30
RATE = 100.0


class MadeUpProbe:
    """A process of trainings of which each is as fast as if it were alone, up to `most` at a time."""

    def __init__(self, kind: type, count: int, has_cuda: bool, failing: str = "") -> None:
        self._rate = RATE * (min(count, 4) if kind is StreamsProbe else 1 / count + 0.2)
        self._has_cuda, self._failing = has_cuda, failing

    def __getattr__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *given: (self, name))

    def answer(self, name: str) -> object:
        if name == self._failing:
            raise ray.exceptions.RayActorError
        return {"prepare": Needs(2**30, GPU_BYTES), "means": (self._has_cuda, True), "measure": self._rate}.get(name)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sharing]:
    """`measure(config, has_cuda=..., failing=..., compiled=...)`: how its trainings share a GPU."""
    asked: dict[str, Any] = {}

    def remote(kind: type) -> SimpleNamespace:
        def options(num_gpus: float, **_: object) -> SimpleNamespace:
            def start(*given: Any) -> MadeUpProbe:  # noqa: ANN401
                count = given[0] if kind is StreamsProbe else round(1 / num_gpus)
                return MadeUpProbe(kind, count, asked["has_cuda"], asked["failing"] * (kind is StreamsProbe))

            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def get(given: Any) -> object:  # noqa: ANN401
        return [get(each) for each in given] if isinstance(given, list) else given[0].answer(given[1])

    fake = SimpleNamespace(remote=remote, get=get, kill=lambda probe: None, exceptions=ray.exceptions)
    monkeypatch.setattr(gpu_shares, "ray", fake)
    for name in ("placement_group", "remove_placement_group", "PlacementGroupSchedulingStrategy"):
        monkeypatch.setattr(gpu_shares, name, lambda *given, **named: None)

    def run(
        config: TrainConfig, *, has_cuda: bool = True, failing: str = "", cpus: float = 16.0, compiled: bool = False
    ) -> Sharing:
        asked.update(has_cuda=has_cuda, failing=failing)
        given = [(PlannedTrial(config, 0, {}), Share(1.0, 1.0))]
        found = gpu_shares.measured_shares(given, [Node(cpus, 1.0)], 32, compiled=compiled)
        return found[case_of(config)]

    return run


def test_streams_are_measured_beside_processes_and_told(
    measure: Callable[..., Sharing], capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(make_config()) == Sharing(0.25, streams=True, rate=400.0)
    assert "auto: gpus 0.25 on streams of one process, 400 images/s a GPU\n" in capsys.readouterr().out
    assert measure(make_config(), cpus=2.0) == Sharing(0.5, streams=True, rate=200.0)


@pytest.mark.parametrize("failing", ["prepare", "prepare_others", "measure"])
def test_streams_that_fail_are_not_chosen(
    measure: Callable[..., Sharing], capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    found = measure(make_config(), failing=failing)
    assert (found.gpus, found.streams) == (0.125, False)
    assert "gpus 0.125 in processes (MPS), 260 images/s a GPU\n" in capsys.readouterr().out


def test_where_streams_cannot_be_they_are_not_measured(measure: Callable[..., Sharing]) -> None:
    assert not measure(make_config(), has_cuda=False).streams
    assert not measure(make_config(), compiled=True).streams
    assert not measure(dataclasses.replace(make_config(), noise_scale=True)).streams
