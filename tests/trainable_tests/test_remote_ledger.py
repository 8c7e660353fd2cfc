"""A trial's ledger in a remote store: what lies there at any moment is enough to go on on another machine."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.s3_server import S3Server
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.ledger.files import CHECKPOINTS, EPOCHS, RESULT
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.reading import read_trial, trial_status
from trainable.ledger.remote import Remote, RemoteError
from trainable.ledger.remote_ledger import RemoteFolder, RemoteLedger, TakenOverError, open_ledger
from trainable.records import Attempt, EpochRecord, Status, TrialEnd
from trainable.session import RunInfo, TrialSession, record_failure
from trainable.splits import prepare

CPU = torch.device("cpu")
CONFIG = {"lr": 0.1}
MakeRecord = Callable[[int], EpochRecord]
MakeAttempt = Callable[[int], Attempt]


@pytest.fixture
def folder(s3: S3Server) -> RemoteFolder:
    return RemoteFolder(f"s3://{s3.new_bucket()}/store", "trials") / "key"


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which nothing is known here of what earlier processes did."""
    return lambda: monkeypatch.setenv("BATCHSCAPE_CACHE", str(tmp_path / "another"))


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is written to the store, and with a minus of what is deleted there, in order."""
    names: list[str] = []
    write, delete = Remote.write, Remote.delete

    def noted_write(place: Remote, name: str, content: bytes) -> None:
        names.append(name.removeprefix("trials/key/"))
        write(place, name, content)

    def noted_delete(place: Remote, name: str) -> None:
        names.append("-" + name.removeprefix("trials/key/"))
        delete(place, name)

    monkeypatch.setattr(Remote, "write", noted_write)
    monkeypatch.setattr(Remote, "delete", noted_delete)
    return names


def end(status: Status, epochs_done: int) -> TrialEnd:
    return TrialEnd(status, epochs_done, end_time="2026-01-01T00:00:00+00:00", run_id="run")


def train(ledger: Ledger, make_record: MakeRecord, epochs: range, checkpoint: bytes | None = None) -> None:
    for epoch in epochs:
        ledger.append(make_record(epoch))
    if checkpoint is not None:
        ledger.save_checkpoint(checkpoint)


def test_a_path_is_a_local_ledger(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "trial", CONFIG) as ledger:
        assert type(ledger) is Ledger


def test_a_folder_says_where_it_lies_without_options() -> None:
    folder = RemoteFolder("s3://b/x?region=here", "trials") / "key"
    assert str(folder) == "s3://b/x/trials/key"
    assert folder.with_name("parent") == RemoteFolder(folder.uri, "trials/parent")


def test_another_machine_resumes_from_the_last_checkpoint(
    folder: RemoteFolder, make_record: MakeRecord, make_attempt: MakeAttempt, another_machine: Callable[[], None]
) -> None:
    first = RemoteLedger(folder, CONFIG)  # not closed before the end: its process is killed
    first.begin(make_attempt(1))
    amended = dataclasses.replace(make_attempt(1), execution="graph")
    first.amend(amended)
    train(first, make_record, range(1, 3), b"at 2")
    train(first, make_record, range(3, 5), b"at 4")
    train(first, make_record, range(5, 7))
    another_machine()
    with open_ledger(folder, CONFIG) as second:
        second.rewind()
        assert [record.epoch for record in second.epochs] == [1, 2, 3, 4]
        assert second.checkpoint is not None
        assert second.checkpoint.state == b"at 4"
        assert second.attempts == [amended]
    first.close()


def test_a_process_that_was_cut_off_and_comes_back_writes_nothing_more(
    folder: RemoteFolder,
    make_record: MakeRecord,
    make_attempt: MakeAttempt,
    another_machine: Callable[[], None],
    writes: list[str],
) -> None:
    cut_off = RemoteLedger(folder, CONFIG)
    cut_off.begin(make_attempt(1))
    train(cut_off, make_record, range(1, 3), b"at 2")
    another_machine()
    with open_ledger(folder, CONFIG) as second:
        second.rewind()
        second.begin(make_attempt(2))
        train(second, make_record, range(3, 5))
        second.finish(end(Status.COMPLETE, 4))
    writes.clear()
    cut_off.append(make_record(3))
    for write in (
        lambda: cut_off.save_checkpoint(b"at 3"),
        lambda: cut_off.save_final_state(b"at 3"),
        lambda: cut_off.finish(end(Status.FAILED, 3)),
    ):
        with pytest.raises(TakenOverError, match="another process has taken the trial over"):
            write()
    cut_off.close()
    assert writes == []


def test_with_a_damaged_checkpoint_the_one_before_serves(
    folder: RemoteFolder,
    make_record: MakeRecord,
    make_attempt: MakeAttempt,
    another_machine: Callable[[], None],
    s3: S3Server,
) -> None:
    first = RemoteLedger(folder, CONFIG)
    first.begin(make_attempt(1))
    train(first, make_record, range(1, 3), b"at 2")
    train(first, make_record, range(3, 5), b"at 4")
    Remote(folder.uri).write(f"{folder.name}/{CHECKPOINTS[1]}", b"damaged")
    another_machine()
    with open_ledger(folder, CONFIG) as second:
        second.rewind()
        assert second.checkpoint is not None
        assert second.checkpoint.state == b"at 2"
        train(second, make_record, range(3, 4), b"at 3")
    files = s3.files(f"{folder.uri.removeprefix('s3://')}/{folder.name}")
    assert b"at 2" in files[CHECKPOINTS[0]]
    assert b"at 3" in files[CHECKPOINTS[1]]
    assert files[EPOCHS].count(b"\n") == 3
    first.close()


def test_order_of_what_is_pushed(
    folder: RemoteFolder, make_record: MakeRecord, make_attempt: MakeAttempt, writes: list[str]
) -> None:
    with open_ledger(folder, CONFIG) as ledger:
        ledger.begin(make_attempt(1))
        train(ledger, make_record, range(1, 4), b"first")
        train(ledger, make_record, range(4, 5), b"second")
        train(ledger, make_record, range(5, 6), b"third")
        ledger.finish(end(Status.COMPLETE, 5))
    assert writes == [
        "config.json",
        "attempts.jsonl",
        *("epochs.jsonl", "checkpoint-0"),
        *("epochs.jsonl", "checkpoint-1"),
        *("epochs.jsonl", "checkpoint-0"),
        "epochs.jsonl",
        "result.json",
        "-checkpoint-0",
        "-checkpoint-1",
    ]


def test_epochs_are_pushed_every_few_seconds(
    folder: RemoteFolder,
    make_record: MakeRecord,
    make_attempt: MakeAttempt,
    writes: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_ledger(folder, CONFIG) as ledger:
        ledger.begin(make_attempt(1))
        train(ledger, make_record, range(1, 4))
        assert EPOCHS not in writes
        monkeypatch.setattr("trainable.ledger.remote_ledger.PUSH_SECONDS", 0.0)
        train(ledger, make_record, range(4, 5))
    assert writes.count(EPOCHS) == 1
    assert (Remote(folder.uri).read(f"{folder.name}/{EPOCHS}") or b"").count(b"\n") == 4


def test_an_ended_trial_leaves_its_rows_and_no_checkpoint(
    folder: RemoteFolder, make_record: MakeRecord, make_attempt: MakeAttempt, s3: S3Server
) -> None:
    with open_ledger(folder, CONFIG) as ledger:
        ledger.begin(make_attempt(1))
        train(ledger, make_record, range(1, 3), b"state")
        (ledger.folder / "tensorboard").mkdir()
        (ledger.folder / "tensorboard" / "events").write_bytes(b"curve")
        ledger.finish(end(Status.COMPLETE, 2))
    files = s3.files(f"{folder.uri.removeprefix('s3://')}/{folder.name}")
    assert files.keys() == {"config.json", "attempts.jsonl", "epochs.jsonl", "result.json", "tensorboard/events"}
    with open_ledger(folder, CONFIG) as ledger:
        assert trial_status(read_trial(ledger.folder)) is Status.COMPLETE


def test_a_failure_is_forgotten_when_the_trial_is_begun_again(
    folder: RemoteFolder, make_record: MakeRecord, make_attempt: MakeAttempt
) -> None:
    with open_ledger(folder, CONFIG) as ledger:
        ledger.begin(make_attempt(1))
        train(ledger, make_record, range(1, 2))
        ledger.finish(end(Status.FAILED, 1))
    place = Remote(folder.uri)
    assert place.read(f"{folder.name}/{RESULT}") is not None
    with open_ledger(folder, CONFIG) as ledger:
        ledger.rewind()
        ledger.begin(make_attempt(2))
        assert place.read(f"{folder.name}/{RESULT}") is None
        ledger.finish(end(Status.FAILED, 0))
    assert place.read(f"{folder.name}/{EPOCHS}") == b""  # not the rows of before


def test_what_the_store_does_not_know_is_dropped_here(
    folder: RemoteFolder, make_record: MakeRecord, make_attempt: MakeAttempt, s3: S3Server
) -> None:
    """A store that was deleted, or a run that could not push: the remote is the truth."""
    with open_ledger(folder, CONFIG) as ledger:
        ledger.begin(make_attempt(1))
        train(ledger, make_record, range(1, 3), b"state")
        ledger.finish(end(Status.COMPLETE, 2))
    s3.filesystem().delete_dir_contents(folder.uri.removeprefix("s3://"))
    with open_ledger(folder, CONFIG) as ledger:
        assert (ledger.epochs, ledger.attempts, ledger.end) == ([], [], None)


def test_two_processes_of_a_machine_do_not_meet(folder: RemoteFolder, make_attempt: MakeAttempt) -> None:
    with open_ledger(folder, CONFIG) as ledger:
        ledger.begin(make_attempt(1))
        with pytest.raises(LedgerBusyError):
            open_ledger(folder, CONFIG)
        assert len(read_trial(ledger.folder).attempts) == 1


def test_what_cannot_be_pushed_is_an_error_and_costs_no_more_than_the_last_epochs(
    folder: RemoteFolder,
    make_record: MakeRecord,
    make_attempt: MakeAttempt,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainable.ledger.remote.PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("trainable.ledger.remote.FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr("trainable.ledger.remote.ATTEMPTS", 1)
    ledger = open_ledger(folder, CONFIG)
    ledger.begin(make_attempt(1))
    train(ledger, make_record, range(1, 3), b"at 2")
    s3.down()
    try:
        with pytest.raises(RemoteError, match="no answer"):
            train(ledger, make_record, range(3, 5), b"at 4")
        with pytest.raises(RemoteError, match="no answer"):
            ledger.finish(end(Status.FAILED, 4))
        ledger.close()
    finally:
        s3.up()
    with open_ledger(folder, CONFIG) as again:
        again.rewind()
        assert (again.end, len(again.epochs)) == (None, 2)


def test_a_training_whose_store_stays_away_fails_clearly_and_resumes_in_the_next_run(
    folder: RemoteFolder,
    short_config: TrainConfig,
    tiny_data: ImageData,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def session(run_id: str) -> TrialSession:
        run = RunInfo(run_id, num_threads=1, code="code", checkpoint_share=float("inf"))
        data = prepare(tiny_data, short_config, CPU)
        return TrialSession(short_config, data, folder, CPU, run)

    monkeypatch.setattr("trainable.ledger.remote.PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("trainable.ledger.remote.FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr("trainable.ledger.remote.ATTEMPTS", 1)
    first = session("run-1")
    first.next_epoch()
    first.next_epoch()
    s3.down()
    try:
        with pytest.raises(RemoteError, match=r"^s3://.*/store: no answer: check the network"):
            first.next_epoch()
        assert trial_status(read_trial(folder.local)) is Status.FAILED
        first.close()
        with pytest.raises(RemoteError):
            session("run-1")
        record_failure(folder, short_config, RunInfo("run-1", 1, "code"), "the driver cannot record it either")
    finally:
        s3.up()
    second = session("run-2")
    replayed = []
    while True:
        progress = second.next_epoch()
        replayed.append(progress.replayed)
        if progress.ended:
            break
    second.close()
    assert (replayed, progress.status) == ([True, True, False, False], Status.COMPLETE)
