"""A trial that continues from another's last state: the same bits, whatever was lost in between."""

import contextlib
import dataclasses
import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import trainable.training
from tests.older_records import without_checksums
from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.descent import open_session
from trainable.ledger.files import FINAL_STATE
from trainable.ledger.reading import read_trial
from trainable.ledger.remote import Remote
from trainable.ledger.remote_ledger import RemoteFolder, read_final_state
from trainable.randomness import EpochPlan, plan_epoch
from trainable.records import EpochRecord, Progress, Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare
from trainable.training import ANOTHER_SHAPE, Training

CPU = torch.device("cpu")
KEPT = RunInfo("run-1", num_threads=1, code="code", keep_final_state=True)
AGAIN = dataclasses.replace(KEPT, run_id="run-2")
Open = Callable[..., TrialSession]
MakeTraining = Callable[[TrainConfig], Training]


@pytest.fixture
def chain(short_config: TrainConfig) -> list[TrainConfig]:
    """Three generations of two epochs each."""
    first = dataclasses.replace(short_config, epochs=2, schedule="constant", holdout=0.25)
    second = dataclasses.replace(first, seed=1, lr=0.02, parent=first.trial_key)
    return [first, second, dataclasses.replace(second, seed=2, momentum=0.8, parent=second.trial_key)]


@pytest.fixture
def opened(chain: list[TrainConfig], tiny_data: ImageData, tmp_path: Path) -> Open:
    """`opened(2)`: the session of the third generation."""

    def make(number: int, run: RunInfo = KEPT, share: float = 0.0) -> TrialSession:
        config = chain[number]
        data = prepare(tiny_data, config, CPU)
        run = dataclasses.replace(run, checkpoint_share=share)
        return open_session(config, chain[:number], data, tmp_path / config.trial_key, CPU, run)

    return make


def run(session: TrialSession) -> list[Progress]:
    with contextlib.closing(session):
        done = [session.next_epoch()]
        while not done[-1].ended:
            done.append(session.next_epoch())
    return done


def figures(records: Sequence[EpochRecord]) -> list[EpochRecord]:
    """The records without times and attempt numbers."""
    return [
        dataclasses.replace(record, train_seconds=0.0, eval_seconds=0.0, images_per_second=0.0, attempt=0)
        for record in records
    ]


def rows(folder: Path, chain: list[TrainConfig]) -> list[list[EpochRecord]]:
    return [figures(read_trial(folder / config.trial_key).epochs) for config in chain]


def notes(done: list[Progress]) -> list[str]:
    return [progress.note for progress in done if progress.note]


def tensors(state: bytes, part: str) -> dict[str, Any]:
    values: dict[str, Any] = torch.load(io.BytesIO(state), weights_only=True)[part]
    return values


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def expected(opened: Open, chain: list[TrainConfig], tmp_path: Path) -> list[list[EpochRecord]]:
    for number in range(3):
        assert notes(run(opened(number))) == []
    return rows(tmp_path, chain)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_begins_with_the_parents_weights_and_momentum_bit_for_bit(
    make_training: MakeTraining, chain: list[TrainConfig], precision: str
) -> None:
    parent, child = (make_training(dataclasses.replace(config, precision=precision)) for config in chain[:2])
    while not parent.finished:
        parent.run_epoch(1)
    assert not equal(tensors(child.state(), "model"), tensors(parent.state(), "model"))
    child.begin_from(parent.state())
    for part in ("model", "momentum"):
        assert equal(tensors(child.state(), part), tensors(parent.state(), part))
    assert (child.epochs_done, child.finished) == (0, False)


def test_two_generations_are_one_training_when_they_see_the_images_in_its_order(
    make_training: MakeTraining, chain: list[TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, running statistics and momentum are all handed on."""
    first = chain[0]
    second = dataclasses.replace(first, seed=1, parent=first.trial_key)

    def second_half(num_images: int, augmentation: str, seed: int, epoch: int) -> EpochPlan:
        return plan_epoch(num_images, augmentation, *((0, epoch + 2) if seed == 1 else (seed, epoch)))

    joint = make_training(dataclasses.replace(first, epochs=4))
    one, other = make_training(first), make_training(second)
    whole = [joint.run_epoch(1).record for _ in range(4)]
    halves = [one.run_epoch(1).record for _ in range(2)]
    other.begin_from(one.state())
    apart = Training(second, other.data, CPU)
    apart.begin_from(one.state())
    apart.run_epoch(1)
    monkeypatch.setattr(trainable.training, "plan_epoch", second_half)
    halves += [other.run_epoch(1).record for _ in range(2)]
    assert [record.test_loss for record in halves] == [record.test_loss for record in whole]
    for part in ("model", "momentum"):
        assert equal(tensors(other.state(), part), tensors(joint.state(), part))
    assert apart.run_epoch(1).record.test_loss != whole[3].test_loss  # its own order, without the patch


@pytest.mark.parametrize(("ours", "theirs"), [(0.0, 0.9), (0.9, 0.0)])
def test_momentum_begins_as_new_where_only_one_has_it(
    make_training: MakeTraining, chain: list[TrainConfig], ours: float, theirs: float
) -> None:
    parent = make_training(dataclasses.replace(chain[0], momentum=theirs))
    parent.run_epoch(1)
    child = make_training(dataclasses.replace(chain[1], momentum=ours))
    child.begin_from(parent.state())
    assert equal(tensors(child.state(), "model"), tensors(parent.state(), "model"))
    assert all(not tensor.any() for tensor in tensors(child.state(), "momentum").values())


def test_the_last_state_is_kept_only_where_others_may_continue_it(
    opened: Open, chain: list[TrainConfig], tmp_path: Path
) -> None:
    folder = tmp_path / chain[0].trial_key
    run(opened(0, dataclasses.replace(KEPT, keep_final_state=False)))
    assert not (folder / FINAL_STATE).exists()
    shutil.rmtree(folder)
    run(opened(0))
    assert read_final_state(folder, chain[0].trial_key, 2) is not None
    assert read_final_state(folder, chain[0].trial_key, 3) is None
    assert sorted(path.name for path in folder.glob("checkpoint*")) == []


def test_an_interrupted_trial_resumes_from_its_own_checkpoint(
    opened: Open, chain: list[TrainConfig], expected: list[list[EpochRecord]], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / chain[1].trial_key)
    with contextlib.closing(opened(1, share=float("inf"))) as session:
        session.next_epoch()
    (tmp_path / chain[0].trial_key / FINAL_STATE).unlink()
    done = run(opened(1, AGAIN))
    assert [progress.replayed for progress in done] == [True, False]
    assert rows(tmp_path, chain) == expected
    assert not (tmp_path / chain[0].trial_key / FINAL_STATE).exists()  # nobody asked for it


@pytest.mark.parametrize("loss", ["missing", "damaged", "of too few epochs"])
def test_a_lost_state_is_trained_again_and_reported(
    opened: Open, chain: list[TrainConfig], expected: list[list[EpochRecord]], tmp_path: Path, loss: str
) -> None:
    """The lost states are those of a parent and of its parent."""
    for config in chain[:2]:
        path = tmp_path / config.trial_key / FINAL_STATE
        content = path.read_bytes()
        assert b'"epochs_done":2' in content
        path.write_bytes(
            content[:-1] if loss == "damaged" else content.replace(b'"epochs_done":2', b'"epochs_done":1')
        )
        if loss == "missing":
            path.unlink()
    shutil.rmtree(tmp_path / chain[2].trial_key)
    done = run(opened(2, AGAIN))
    told = f"the final state of its parent {chain[1].trial_key} was missing or damaged: trained again"
    assert notes(done) == [told]
    assert rows(tmp_path, chain) == expected
    assert [len(read_trial(tmp_path / config.trial_key).attempts) for config in chain] == [1, 1, 1]


def test_a_parent_that_is_gone_altogether_is_trained_again(
    opened: Open, chain: list[TrainConfig], expected: list[list[EpochRecord]], tmp_path: Path
) -> None:
    for config in chain:
        shutil.rmtree(tmp_path / config.trial_key)
    assert len(notes(run(opened(2, AGAIN)))) == 1
    assert rows(tmp_path, chain) == expected


def test_other_figures_than_those_recorded_are_reported(
    opened: Open, chain: list[TrainConfig], expected: list[list[EpochRecord]], tmp_path: Path
) -> None:
    parent = tmp_path / chain[0].trial_key
    (parent / FINAL_STATE).unlink()
    epochs = parent / "epochs.jsonl"
    loss = f'"test_loss":{expected[0][1].test_loss}'
    assert loss in epochs.read_text()
    epochs.write_bytes(without_checksums(epochs.read_bytes()).replace(loss.encode(), b'"test_loss":1.25'))
    result = parent / "result.json"
    result.write_bytes(without_checksums(result.read_bytes()))
    shutil.rmtree(tmp_path / chain[1].trial_key)
    (note,) = notes(run(opened(1, AGAIN)))
    assert note.endswith("trained again, with other results than those on record")


def test_a_state_of_another_model_fails_in_one_line(
    opened: Open, chain: list[TrainConfig], tiny_data: ImageData, tmp_path: Path
) -> None:
    run(opened(0))
    config = dataclasses.replace(chain[1], model="resnet_8")
    data = prepare(tiny_data, config, CPU)
    with pytest.raises(RuntimeError, match="a population cannot change the shape of the model"):
        run(open_session(config, chain[:1], data, tmp_path / config.trial_key, CPU, KEPT))
    end = read_trial(tmp_path / config.trial_key).end
    assert end is not None
    assert (end.status, end.error) == (Status.FAILED, f"RuntimeError: {ANOTHER_SHAPE}")


def test_a_trial_with_a_parent_is_not_trained_without_it(
    make_session: Callable[..., TrialSession], chain: list[TrainConfig]
) -> None:
    with pytest.raises(RuntimeError, match=f"it continues from trial {chain[0].trial_key}: only its search"):
        make_session(chain[1]).next_epoch()


def test_in_a_remote_store(
    s3: S3Server, chain: list[TrainConfig], tiny_data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine left there is enough; what is damaged there is trained again."""
    trials = RemoteFolder(f"s3://{s3.new_bucket()}/store", "trials")
    data = prepare(tiny_data, chain[0], CPU)
    parent = trials / chain[0].trial_key
    run(open_session(chain[0], [], data, parent, CPU, KEPT))
    state = read_final_state(parent, chain[0].trial_key, 2)
    assert state is not None
    monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "another machine"))
    child = trials / chain[1].trial_key
    assert notes(run(open_session(chain[1], chain[:1], data, child, CPU, KEPT))) == []
    Remote(parent.uri).write(f"{parent.name}/{FINAL_STATE}", b"damaged")
    third = dataclasses.replace(chain[1], lr=0.03)
    assert len(notes(run(open_session(third, chain[:1], data, trials / third.trial_key, CPU, AGAIN)))) == 1
    again = read_final_state(parent, chain[0].trial_key, 2)
    assert again is not None
    for part in ("model", "momentum"):
        assert equal(tensors(again, part), tensors(state, part))
