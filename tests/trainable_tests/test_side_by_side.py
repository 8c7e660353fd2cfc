"""Trainings beside each other in one process. On the CPU each has a thread; on a GPU it has a stream as well."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.engine import OnStep
from trainable.execution import Execution
from trainable.ledger.reading import read_trial
from trainable.records import EpochRecord, Progress, Status
from trainable.session import RunInfo, TrialSession
from trainable.side_by_side import Turns, can_share_process, is_lost, own_stream, run_side_by_side
from trainable.splits import prepare
from trainable.training import Training

CPU = torch.device("cpu")
RUN = RunInfo("run", num_threads=1, code="code", execution=Execution(streams=True), keep_output=True)


@pytest.fixture
def configs(short_config: TrainConfig) -> list[TrainConfig]:
    changes: tuple[dict[str, object], ...] = ({}, {"seed": 1, "batch_size": 4}, {"precision": "bf16", "epochs": 2})
    return [dataclasses.replace(short_config, **change) for change in changes]  # type: ignore[arg-type]


def trained(session: TrialSession) -> list[Progress]:
    """Train to the end; a failure ends the list."""
    steps: list[Progress] = []
    with contextlib.closing(session), contextlib.suppress(RuntimeError):
        while not steps or not steps[-1].ended:
            steps.append(session.next_epoch())
    return steps


def figures(steps: list[Progress]) -> list[EpochRecord]:
    records = [step.record for step in steps if step.record]
    return [dataclasses.replace(r, train_seconds=0.0, eval_seconds=0.0, images_per_second=0.0) for r in records]


def test_each_of_three_gives_what_it_gives_alone(
    configs: list[TrainConfig], tiny_data: ImageData, tmp_path: Path
) -> None:
    turns, data = Turns(), prepare(tiny_data, configs[0], CPU)

    def sessions(name: str, turns: Turns | None) -> list[TrialSession]:
        folder = tmp_path / name
        return [TrialSession(c, data, folder / c.trial_key, CPU, RUN, turns=turns) for c in configs]

    alone = [trained(session) for session in sessions("alone", None)]
    works = [lambda session=session: trained(session) for session in sessions("beside", turns)]
    beside = run_side_by_side(works, [own_stream(CPU)] * 3)
    assert [figures(steps) for steps in beside] == [figures(steps) for steps in alone]
    assert [steps[-1].status for steps in beside] == [Status.COMPLETE] * 3
    ends = [read_trial(tmp_path / name / c.trial_key).end for c in configs for name in ("alone", "beside")]
    bits = [end.test_correct_bits for end in ends if end]
    assert bits[::2] == bits[1::2]
    assert [end.peak_memory_bytes for end in ends if end] == [None] * 6  # that of all of them says nothing
    [attempt] = read_trial(tmp_path / "beside" / configs[0].trial_key).attempts
    assert attempt.execution == "eager streams"


def test_one_that_fails_harms_no_other(
    configs: list[TrainConfig], tiny_data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(step: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    turns, data = Turns(), prepare(tiny_data, configs[0], CPU)
    first, second = (TrialSession(c, data, tmp_path / c.trial_key, CPU, RUN, turns=turns) for c in configs[:2])
    monkeypatch.setattr("trainable.session.end_process", lambda pid: pytest.fail("nothing is lost"))
    works = [lambda: first.next_epoch(fail), lambda: trained(second)[-1]]
    with pytest.raises(torch.OutOfMemoryError):
        run_side_by_side(works, [own_stream(CPU)] * 2)
    first.close()
    ends = [read_trial(tmp_path / c.trial_key).end for c in configs[:2]]
    assert [end.status for end in ends if end] == [Status.FAILED, Status.COMPLETE]


def test_where_the_gpu_is_lost_the_process_ends_before_any_trial_is_blamed(
    configs: list[TrainConfig], tiny_data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(pid: int) -> None:
        raise KeyboardInterrupt

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    session = TrialSession(configs[0], prepare(tiny_data, configs[0], CPU), tmp_path / "trial", CPU, RUN)
    monkeypatch.setattr("trainable.session.end_process", end)
    monkeypatch.setattr("trainable.session.is_lost", lambda device, turns: True)
    with contextlib.closing(session), pytest.raises(KeyboardInterrupt):
        session.next_epoch(fail)
    assert read_trial(tmp_path / "trial").end is None
    assert not is_lost(CPU, Turns())
    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    assert is_lost(torch.device("cuda", 0), Turns())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    assert not is_lost(torch.device("cuda", 0), Turns())


def test_a_training_is_prepared_while_no_other_computes() -> None:
    """It waits for a step of the others, not for their epoch, and none begins before it."""
    turns, told = Turns(), []
    in_step, is_waiting = threading.Event(), threading.Event()

    def epoch() -> None:
        with turns.together():
            give_way = turns.giving_way(lambda step: told.append(f"step {step}"))
            in_step.set()
            is_waiting.wait(10)
            while not turns._num_waiting:
                pass
            give_way(1)
            give_way(2)

    def preparation() -> None:
        in_step.wait(10)
        is_waiting.set()
        with turns.alone():
            told.append("prepared")

    run_side_by_side([epoch, preparation], [own_stream(CPU)] * 2)
    assert told == ["prepared", "step 1", "step 2"]


def test_a_session_prepares_alone_and_trains_together(
    configs: list[TrainConfig], tiny_data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []

    class Noted(Turns):
        @contextlib.contextmanager
        def alone(self) -> Iterator[None]:
            with super().alone():
                entered.append("alone")
                yield

        def giving_way(self, on_step: OnStep | None) -> OnStep:
            give_way = super().giving_way(on_step)
            return lambda step: gave_way.append(step) or give_way(step)  # type: ignore[func-returns-value]

    turns, gave_way = Noted(), list[int]()
    monkeypatch.setattr("trainable.session.TrialLog.start", lambda log: pytest.fail("the output is that of all"))
    begin = TrialSession._begin

    def noted_begin(session: TrialSession) -> Training:
        assert turns._is_alone
        return begin(session)

    monkeypatch.setattr(TrialSession, "_begin", noted_begin)
    seen: list[int] = []
    session = TrialSession(configs[0], prepare(tiny_data, configs[0], CPU), tmp_path / "trial", CPU, RUN, turns=turns)
    with contextlib.closing(session):
        for _ in range(2):
            session.next_epoch(lambda step: seen.append(turns._num_together))
    assert (entered, set(seen)) == (["alone"], {1})
    assert gave_way == [1, 2] * 2


def test_a_thread_is_put_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always on the same one, since torch's streams are those of a small pool."""
    current: list[object] = [None]
    made: list[object] = []

    @contextlib.contextmanager
    def on(stream: object) -> Iterator[None]:
        current.append(stream)
        yield
        current.pop()

    def new(device: torch.device) -> object:
        made.append(object())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "Stream", new)
    monkeypatch.setattr(torch.cuda, "stream", on)
    streams = [own_stream(torch.device("cuda", 0)) for _ in range(2)]
    for stream in streams:
        assert [run_side_by_side([lambda: current[-1]], [stream]) for _ in range(2)] == [
            [made[streams.index(stream)]]
        ] * 2
    assert len(made) == 2


@pytest.mark.parametrize(
    ("change", "execution", "fits"),
    [
        ({}, Execution(), True),
        ({}, Execution(compile=True), False),
        ({"noise_scale": True}, Execution(), False),
        ({"precision": "tf32"}, Execution(), False),
        ({"parent": "0123456789abcdef"}, Execution(), False),
        ({"loss": "loss.py:focal"}, Execution(), False),
        ({"model": "net.py:Net"}, Execution(), False),
    ],
    ids=str,
)
def test_what_depends_on_its_process_has_its_own(
    tiny_config: TrainConfig, change: dict[str, object], execution: Execution, fits: bool
) -> None:
    config = tiny_config.__class__.__new__(TrainConfig)  # no check: the file of an own model does not exist
    for name, value in (dataclasses.asdict(tiny_config) | change).items():
        object.__setattr__(config, name, value)
    assert can_share_process(config, execution) is fits
