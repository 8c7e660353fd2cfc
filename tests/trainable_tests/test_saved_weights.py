"""The weights of a completed trial: a file that the real safetensors package reads, whole or not there."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.ledger.files import RESULT, WEIGHTS
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial, trial_status
from trainable.ledger.remote import Remote
from trainable.ledger.remote_ledger import RemoteFolder
from trainable.ledger.safetensors import StoredWeights, parse_weights, weights_content
from trainable.records import Status
from trainable.saved_weights import _stored, loaded_tensors
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare
from trainable.training import Training

CPU = torch.device("cpu")
RUN = RunInfo("run-1", num_threads=1, code="code", keep_weights=True)
TENSORS = {
    "matrix": torch.arange(6.0).reshape(2, 3).t(),
    "not finite": torch.tensor([float("nan"), float("inf"), -0.0]),
    "a number": torch.tensor(7),
    "flags": torch.tensor([True, False, True]),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "empty": torch.zeros(0, 3),
    "ünicode": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
}


class Tied(nn.Module):
    """Two names for one weight, a frozen one, and buffers that are saved and not."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.again = nn.Linear(3, 3)
        self.again.weight = self.head.weight
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("scratch", torch.zeros(9), persistent=False)


@pytest.fixture
def config(short_config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(short_config, epochs=1, precision="bf16")


@pytest.fixture
def make(tiny_data: ImageData, tmp_path: Path) -> Callable[..., TrialSession]:
    def session(config: TrainConfig, run: RunInfo = RUN, folder: Path | RemoteFolder | None = None) -> TrialSession:
        return TrialSession(config, prepare(tiny_data, config, CPU), folder or tmp_path / "trial", CPU, run)

    return session


def train(session: TrialSession) -> Training:
    while not session.next_epoch().ended:
        pass
    session.close()
    assert session._training is not None
    return session._training


def encoded(tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> bytes:
    stored = {name: _stored(tensor) for name, tensor in tensors.items()}
    return weights_content(StoredWeights(stored, metadata or {}), "key")


def test_the_real_package_reads_what_is_written(tmp_path: Path) -> None:
    content = encoded(TENSORS, {"format": "pt", "quoted": 'a "b" ü\n'})
    read = safetensors.torch.load(content)
    for found in (read, loaded_tensors(parse_weights(content, "key"))):
        assert found.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name].nan_to_num(9.0), tensor.nan_to_num(9.0)), name
    (tmp_path / "file").write_bytes(content)
    with safetensors.safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata()["quoted"] == 'a "b" ü\n'
    assert int.from_bytes(content[:8], "little") % 8 == 0


def test_other_floats_become_fp32_and_shared_tensors_are_written_twice() -> None:
    model = Tied().to(torch.float64)
    read = safetensors.torch.load(encoded(dict(model.state_dict())))
    assert read["count"].dtype == torch.int64
    assert {tensor.dtype for name, tensor in read.items() if name != "count"} == {torch.float32}
    Tied().load_state_dict(read)
    assert torch.equal(read["head.weight"], read["again.weight"])


def test_every_changed_byte_and_a_foreign_key_are_found() -> None:
    content = encoded({"a": torch.ones(2)}, {"format": "pt"})
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        with pytest.raises(ValueError, match="checksum"):
            parse_weights(bytes(changed), "key")
    for wrong, key in ((content, "other"), (content[:-1], "key"), (b"", "key"), (content + b"\0", "key")):
        with pytest.raises(ValueError, match="checksum"):
            parse_weights(wrong, key)


def test_a_completed_trial_has_its_fp32_weights(
    make: Callable[..., TrialSession], config: TrainConfig, tiny_data: ImageData, tmp_path: Path
) -> None:
    training = train(make(config))
    path = tmp_path / "trial" / WEIGHTS
    read = safetensors.torch.load_file(path)
    assert {tensor.dtype for tensor in read.values()} == {torch.float32}
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in read.values())
    again = Training(config, training.data, CPU)
    again.load_weights(loaded_tensors(parse_weights(path.read_bytes(), config.trial_key)))
    assert all(torch.equal(tensor, read[name]) for name, tensor in again.weights().items())
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert TrainConfig.from_dict(json.loads(metadata["config"])) == config
    assert metadata["trial_key"] == config.trial_key
    assert (metadata["precision"], json.loads(metadata["image_size"])) == ("bf16", [32, 32])
    assert np.array_equal(np.float32(json.loads(metadata["mean"])), training.data.mean.numpy())
    assert json.loads(metadata["test_error_percent"]) == read_trial(path.parent).epochs[-1].test_error_percent


@pytest.mark.parametrize("precision", ["fp32", "pure_fp16"])
def test_weights_of_shared_parameters_have_both_names(
    make_training: Callable[[TrainConfig], Training], config: TrainConfig, precision: str
) -> None:
    training = make_training(dataclasses.replace(config, precision=precision))
    head, again = training.learner.model.get_submodule("head"), nn.Linear(1, 1)
    assert isinstance(head, nn.Linear)
    again.weight = head.weight
    training.learner.model.add_module("again", again)
    weights = training.weights()
    assert weights["again.weight"].data_ptr() == weights["head.weight"].data_ptr()


def test_a_trial_killed_before_its_result_writes_the_same_weights_again(
    make: Callable[..., TrialSession], config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    session, path = make(config), tmp_path / "trial" / WEIGHTS
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Ledger, "finish", killed)
        session.next_epoch()
    session.close()
    content = path.read_bytes()
    assert not (tmp_path / "trial" / RESULT).exists()
    parse_weights(content, config.trial_key)
    train(make(config))
    assert path.read_bytes() == content
    assert trial_status(read_trial(path.parent)) is Status.COMPLETE


def test_no_weights_where_none_are_kept_and_of_a_trial_that_diverged(
    make: Callable[..., TrialSession], config: TrainConfig, tmp_path: Path
) -> None:
    train(make(config, dataclasses.replace(RUN, keep_weights=False)))
    assert not (tmp_path / "trial" / WEIGHTS).exists()
    diverging = dataclasses.replace(config, lr=1e30)
    train(make(diverging, RUN, tmp_path / "diverged"))
    assert trial_status(read_trial(tmp_path / "diverged")) is Status.DIVERGED
    assert not (tmp_path / "diverged" / WEIGHTS).exists()


def test_repair_removes_damaged_weights(
    make: Callable[..., TrialSession], config: TrainConfig, tmp_path: Path
) -> None:
    train(make(config))
    path = tmp_path / "trial" / WEIGHTS
    with Ledger(path.parent, config.to_dict()) as ledger:
        assert ledger.repair() == []
        path.write_bytes(path.read_bytes()[:-1])
        assert ledger.repair() == [WEIGHTS]
    assert not path.exists()


def test_weights_in_a_bucket_come_before_the_result(
    make: Callable[..., TrialSession], config: TrainConfig, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = Remote.write

    def noted(remote: Remote, name: str, content: bytes) -> None:
        written.append(name.rpartition("/")[2])
        write(remote, name, content)

    monkeypatch.setattr(Remote, "write", noted)
    folder = RemoteFolder(f"s3://{s3.new_bucket()}/store", "trials") / config.trial_key
    train(make(config, RUN, folder))
    assert written.index(WEIGHTS) < written.index(RESULT)
    content = Remote(folder.uri).read(f"{folder.name}/{WEIGHTS}")
    assert content is not None
    assert parse_weights(content, config.trial_key).tensors
    assert not (folder.local / WEIGHTS).exists()
