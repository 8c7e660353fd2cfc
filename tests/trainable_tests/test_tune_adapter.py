"""The trainable's own logic, without starting Ray; whole sweeps are in integration_tests."""

import dataclasses
import errno
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.execution import Share
from trainable.ledger.files import EPOCHS
from trainable.ledger.filesystems import LASTING
from trainable.ledger.identity import make_identity
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial
from trainable.records import Progress, Status
from trainable.session import RunInfo
from trainable.training import Training
from trainable.trial_worker import TrialSetup
from trainable.tune_adapter import SHARE, TRIAL_KEY, TrainingTrainable, from_report, placement, report


@pytest.fixture
def setup(short_config: TrainConfig, tmp_path: Path) -> TrialSetup:
    configs = {"a": short_config, "b": dataclasses.replace(short_config, lr=0.01)}
    run = RunInfo("run", num_threads=1, code="code")
    return TrialSetup(configs, tmp_path, run, provenance.source_hash())


Make = Callable[..., TrainingTrainable]
TWO_CPUS = Share(2.0)
NEXT = {TRIAL_KEY: "b", SHARE: dataclasses.asdict(TWO_CPUS)}


@pytest.fixture
def make_trainable(setup: TrialSetup, tiny_data: ImageData) -> Iterator[Make]:
    """The trainable as an actor makes it, less Tune's own bookkeeping: `make_trainable("a")`."""
    made: list[TrainingTrainable] = []

    def make(key: str = "a", sweep: TrialSetup = setup, share: Share = TWO_CPUS) -> TrainingTrainable:
        made.append(object.__new__(TrainingTrainable))
        made[-1].setup({TRIAL_KEY: key, SHARE: dataclasses.asdict(share)}, sweep=sweep, data=tiny_data)
        return made[-1]

    yield make
    for trainable in made:
        trainable.cleanup()


@pytest.mark.parametrize(
    ("operation", "number"),
    [*(("begin", number) for number in LASTING), ("append", errno.ENOSPC), ("save_checkpoint", errno.ENOSPC)],
)
def test_a_full_file_system_is_reported_and_fails_no_trial(
    make_trainable: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, operation: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    trainable = make_trainable(share=Share(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, operation, fail)
        patch.setattr("trainable.session.FIRST_CHECKPOINT_SECONDS", 0.0)
        progress = from_report(trainable.step())
    assert progress.status is Status.FAILED
    assert progress.store_trouble is not None
    assert progress.store_trouble.startswith(f"{os.strerror(number)} (the file system /")
    files = read_trial(tmp_path / "a")
    assert files.end is None
    assert len(files.attempts) <= 1


def test_setup_has_no_side_effects(make_trainable: Make, tmp_path: Path) -> None:
    make_trainable()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_on_other_code_refuses(setup: TrialSetup, make_trainable: Make) -> None:
    with pytest.raises(RuntimeError, match="runs other code"):
        make_trainable(sweep=dataclasses.replace(setup, source_hash="another"))


def test_a_node_that_does_not_see_the_store_refuses(setup: TrialSetup, make_trainable: Make, tmp_path: Path) -> None:
    marker = tmp_path / ".driver-sweep"
    seeing = dataclasses.replace(setup, marker=marker)
    for content in (None, "another run"):
        if content is not None:
            marker.write_text(content)
        with pytest.raises(RuntimeError, match=f"does not see the store's {tmp_path}"):
            make_trainable(sweep=seeing)
    marker.write_text(setup.run.run_id)
    make_trainable(sweep=seeing)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_torch_does_not_find_is_said(make_trainable: Make) -> None:
    with pytest.raises(RuntimeError, match=r"gave this trial 0\.5 GPU, and its torch .* finds none"):
        make_trainable(share=Share(1.0, 0.5))


def test_what_a_trial_is_given_is_reserved_and_on_record(make_trainable: Make, tmp_path: Path) -> None:
    make_trainable("a").step()
    [attempt] = read_trial(tmp_path / "a").attempts
    assert (attempt.num_threads, attempt.gpus) == (2, 0.0)
    assert attempt.node
    assert placement({SHARE: {"cpus": 2.0, "gpus": 0.0}}).bundles == [{"CPU": 2.0}]
    assert placement({SHARE: {"cpus": 0.5, "gpus": 0.25}}).bundles == [{"CPU": 0.5, "GPU": 0.25}]


def test_an_actor_takes_one_trial_after_the_other(make_trainable: Make, tmp_path: Path) -> None:
    trainable = make_trainable()
    trainable.step()
    assert trainable.reset_config(NEXT)  # in the middle of the first one
    results = [trainable.step() for _ in range(4)]
    assert [result["done"] for result in results] == [False, False, False, True]
    assert len(read_trial(tmp_path / "b").epochs) == 4
    assert len(read_trial(tmp_path / "a").epochs) == 1
    make_trainable("a").step()  # the first trial is free for others


def test_an_actor_frees_a_training_before_the_next_one(make_trainable: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[object] = []
    training: list[weakref.ref[Training]] = []
    monkeypatch.setattr("trainable.device.torch.cuda.empty_cache", lambda: alive.append(training[0]()))
    trainable = make_trainable()
    trainable.step()
    worker = trainable._own
    assert worker is not None
    assert worker._session is not None
    assert worker._session._training is not None
    training.append(weakref.ref(worker._session._training))
    worker._session._training.cycle = worker._session._training  # type: ignore[attr-defined]
    worker._device = torch.device("cuda", 0)
    assert trainable.reset_config(NEXT)
    worker._device = torch.device("cpu")
    assert alive == [None]


def test_a_known_trial_is_replayed_through_step(make_trainable: Make) -> None:
    first = make_trainable()
    trained = [from_report(first.step()) for _ in range(4)]
    again = make_trainable()
    replayed = [from_report(again.step()) for _ in range(4)]
    assert [step.record for step in replayed] == [step.record for step in trained]
    assert [step.status for step in replayed] == [step.status for step in trained]
    assert [step.replayed for step in trained + replayed] == [False] * 4 + [True] * 4


def test_a_trial_that_cannot_be_opened_has_failed_and_the_next_is_trained(
    make_trainable: Make, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / EPOCHS).symlink_to(tmp_path / "elsewhere")
    trainable = make_trainable("a")
    result = trainable.step()
    progress = from_report(result)
    assert (progress.record, progress.status, result["done"]) == (None, Status.FAILED, True)
    assert progress.error is not None
    assert progress.error.startswith("OSError: [Errno 40]")
    assert trainable.reset_config(NEXT)
    assert from_report(trainable.step()).record is not None


def test_a_place_without_the_store_is_refused_in_one_line_and_not_made(
    setup: TrialSetup, make_trainable: Make, tmp_path: Path
) -> None:
    (tmp_path / "store" / "trials").mkdir(parents=True)
    run = dataclasses.replace(setup.run, store_id=make_identity(tmp_path / "store"))
    sweep = dataclasses.replace(setup, trials_folder=tmp_path / "store" / "trials", run=run)
    assert from_report(make_trainable("a", sweep).step()).record is not None
    (tmp_path / "store").rename(tmp_path / "moved")
    result = make_trainable("b", sweep).step()
    progress = from_report(result)
    assert (progress.record, progress.status, result["done"]) == (None, Status.FAILED, True)
    gone = "the store has gone: it was moved, unmounted or deleted"
    assert progress.error == f"OSError: [Errno 116] {gone}: '{tmp_path / 'store'}'"
    assert not (tmp_path / "store").exists()


def test_a_report_survives_what_tune_adds() -> None:
    failed = Progress(None, Status.FAILED, replayed=True, error="out of memory")
    assert from_report(report(failed) | {"training_iteration": 3}) == failed
