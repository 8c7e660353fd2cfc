"""A trial's folder: what is appended is read back, and damage never goes unnoticed."""

import contextlib
import dataclasses
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainable.ledger.files import ATTEMPTS, CHECKPOINTS, CONFIG, EPOCHS, RESULT
from trainable.ledger.files import write_atomically as write
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_trial, trial_status
from trainable.records import Attempt, EpochRecord, Status, TrialEnd

CONFIGURATION = {"lr": 0.1}
MakeRecord = Callable[[int], EpochRecord]


def end(status: Status, epochs_done: int) -> TrialEnd:
    return TrialEnd(status, epochs_done, "2024-01-01T00:00:00+00:00", "run-1")


def fill(folder: Path, make_record: MakeRecord, num_epochs: int, checkpoints_at: tuple[int, ...] = ()) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        for epoch in range(1, num_epochs + 1):
            ledger.append(make_record(epoch))
            if epoch in checkpoints_at:
                ledger.save_checkpoint(f"state {epoch}".encode())


def holding(folder: Path, epoch: int) -> Path:
    """The checkpoint file of this epoch."""
    return next(path for path in checkpoint_files(folder) if path.read_bytes().endswith(f"state {epoch}".encode()))


def checkpoint_files(folder: Path) -> list[Path]:
    return [folder / name for name in CHECKPOINTS if (folder / name).exists()]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = (truncate, alter, empty)
Damage = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trials" / "key"


def test_what_is_written_is_read_back(
    folder: Path, make_record: MakeRecord, make_attempt: Callable[[int], Attempt]
) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.begin(make_attempt(1))
        ledger.append(make_record(1))
        ledger.append(make_record(2))
        files = read_trial(folder)  # also while it is being written
    assert files.config == CONFIGURATION
    assert files.attempts == [make_attempt(1)]
    assert files.epochs == [make_record(1), make_record(2)]
    assert files.end is None
    assert trial_status(files) is Status.INCOMPLETE


def test_an_empty_folder_is_no_trial(tmp_path: Path) -> None:
    files = read_trial(tmp_path)
    assert (files.config, files.epochs, files.attempts, files.end) == ({}, [], [], None)


def test_end_is_read_back_and_checkpoints_go(folder: Path, make_record: MakeRecord) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.append(make_record(1))
        ledger.save_checkpoint(b"state")
        ledger.finish(end(Status.COMPLETE, 1))
    files = read_trial(folder)
    assert files.end == ledger.end == end(Status.COMPLETE, 1)
    assert trial_status(files) is Status.COMPLETE
    assert checkpoint_files(folder) == []


def test_a_failure_keeps_checkpoints_and_ends_with_the_next_attempt(
    folder: Path, make_record: MakeRecord, make_attempt: Callable[[int], Attempt]
) -> None:
    fill(folder, make_record, 3, checkpoints_at=(2,))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.finish(end(Status.FAILED, 3))
    assert len(read_trial(folder).epochs) == 3  # nothing is cut before the trial is gone on with
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.end == end(Status.FAILED, 3)
        assert ledger.checkpoint is not None
        ledger.begin(make_attempt(2))
        assert ledger.end is None
    assert trial_status(read_trial(folder)) is Status.INCOMPLETE


@pytest.mark.parametrize(
    "tail", [b'{"epoch": 3', b"garbage\n", b'{"epoch": 3}\n', b"[1]\n", b"\xff\xfe\n", b"\0\0\0"]
)
def test_a_torn_or_damaged_last_line_ends_the_list(folder: Path, make_record: MakeRecord, tail: bytes) -> None:
    fill(folder, make_record, 2, checkpoints_at=(2,))
    with (folder / EPOCHS).open("ab") as file:
        file.write(tail)
    assert [record.epoch for record in read_trial(folder).epochs] == [1, 2]
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        ledger.append(make_record(3))
    assert read_trial(folder).epochs == [make_record(1), make_record(2), make_record(3)]


@pytest.mark.parametrize("epochs", [(1, 3, 4), (1, 4, 3), (1, 1, 3)])
def test_an_epoch_in_the_wrong_place_ends_the_list(
    folder: Path, make_record: MakeRecord, epochs: tuple[int, ...]
) -> None:
    fill(folder, make_record, 4)
    lines = (folder / EPOCHS).read_bytes().splitlines(keepends=True)
    (folder / EPOCHS).write_bytes(b"".join(lines[epoch - 1] for epoch in epochs))
    files = read_trial(folder)
    assert ([record.epoch for record in files.epochs], files.damage) == ([1], [f"{EPOCHS}:2"])


def test_a_torn_attempt_does_not_swallow_the_next(
    folder: Path, make_record: MakeRecord, make_attempt: Callable[[int], Attempt]
) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.begin(make_attempt(1))
    with (folder / ATTEMPTS).open("ab") as file:
        file.write(b'{"attempt": 2, "start_')
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.begin(make_attempt(2))
        ledger.begin(make_attempt(3))
        ledger.amend(amended := dataclasses.replace(make_attempt(3), execution="graph"))
    assert read_trial(folder).attempts == [make_attempt(1), make_attempt(2), amended]


def test_newest_checkpoint_is_found_and_later_epochs_are_cut(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 7, checkpoints_at=(2, 4, 5))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.checkpoint is not None
        assert (ledger.checkpoint.epochs_done, ledger.checkpoint.state) == (5, b"state 5")
        assert [record.epoch for record in ledger.epochs] == [1, 2, 3, 4, 5]
    assert len(read_trial(folder).epochs) == 5


def test_only_two_checkpoints_are_kept(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 5, checkpoints_at=(1, 2, 3, 4, 5))
    states = sorted(path.read_bytes().partition(b"\n")[2] for path in checkpoint_files(folder))
    assert states == [b"state 4", b"state 5"]
    names = {path.name for path in folder.iterdir()}
    assert names <= {CONFIG, EPOCHS, "lock", *CHECKPOINTS}


@pytest.mark.parametrize("epoch", [3, 5])
def test_one_checkpoint_is_enough(folder: Path, make_record: MakeRecord, epoch: int) -> None:
    fill(folder, make_record, 6, checkpoints_at=(3, 5))
    holding(folder, 8 - epoch).unlink()
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.checkpoint is not None
        assert (ledger.checkpoint.epochs_done, ledger.damage) == (epoch, [])


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_checkpoint_falls_back_to_the_older(
    folder: Path, make_record: MakeRecord, damage: Damage
) -> None:
    fill(folder, make_record, 6, checkpoints_at=(3, 5))
    name = holding(folder, 5).name
    damage(holding(folder, 5))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.damage == [name]
        assert ledger.checkpoint is not None
        assert (ledger.checkpoint.epochs_done, ledger.checkpoint.state) == (3, b"state 3")
        assert [record.epoch for record in ledger.epochs] == [1, 2, 3]
        ledger.append(make_record(4))
        ledger.save_checkpoint(b"state 4")
    assert [record.epoch for record in read_trial(folder).epochs] == [1, 2, 3, 4]
    assert b"state 3" in b"".join(path.read_bytes() for path in checkpoint_files(folder))


@pytest.mark.parametrize("damage", DAMAGES)
def test_both_checkpoints_damaged_is_from_the_beginning(
    folder: Path, make_record: MakeRecord, damage: Damage
) -> None:
    fill(folder, make_record, 6, checkpoints_at=(3, 5))
    for path in checkpoint_files(folder):
        damage(path)
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.checkpoint is None
        assert ledger.epochs == []
    assert read_trial(folder).epochs == []


def test_a_checkpoint_without_its_epochs_is_not_used(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 6, checkpoints_at=(2, 5))
    lines = (folder / EPOCHS).read_bytes().splitlines(keepends=True)
    (folder / EPOCHS).write_bytes(b"".join(lines[:4]))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.checkpoint is not None
        assert ledger.checkpoint.epochs_done == 2
        assert len(ledger.epochs) == 2


def test_a_rejected_checkpoint_gives_way_to_the_older(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 6, checkpoints_at=(3, 5))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        ledger.reject_checkpoint()
        assert ledger.checkpoint is not None
        assert ledger.checkpoint.state == b"state 3"
        assert len(ledger.epochs) == 3
        ledger.reject_checkpoint()
        assert ledger.checkpoint is None
        assert sorted(ledger.damage) == [f"{name} (this code cannot load it)" for name in CHECKPOINTS]
    assert checkpoint_files(folder) == []


def test_a_damaged_config_is_written_again(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 2, checkpoints_at=(2,))
    (folder / CONFIG).write_bytes(b"{")
    assert read_trial(folder).config == {}
    with Ledger(folder, CONFIGURATION) as ledger:
        assert len(ledger.epochs) == 2
    assert read_trial(folder).config == CONFIGURATION


def test_an_altered_header_is_noticed(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 3, checkpoints_at=(3,))
    path = holding(folder, 3)
    path.write_bytes(path.read_bytes().replace(b"batchscape-checkpoint", b"something-else-entirely"))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.checkpoint is None


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.STOPPED, Status.DIVERGED])
def test_a_result_with_missing_epochs_is_not_trusted(folder: Path, make_record: MakeRecord, status: Status) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        for epoch in range(1, 4):
            ledger.append(make_record(epoch))
        ledger.finish(end(status, 3))
    truncate(folder / EPOCHS)
    assert trial_status(read_trial(folder)) is Status.INCOMPLETE
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.end is None
        assert ledger.epochs == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"status": "GOOD"}', b"\xff"])
def test_a_damaged_result_is_no_result(folder: Path, make_record: MakeRecord, content: bytes) -> None:
    fill(folder, make_record, 2, checkpoints_at=(2,))
    (folder / RESULT).write_bytes(content)
    assert read_trial(folder).end is None


def test_a_finished_trial_is_left_as_it_is(folder: Path, make_record: MakeRecord) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.append(make_record(1))
        ledger.finish(end(Status.COMPLETE, 1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with Ledger(folder, CONFIGURATION) as ledger:
        assert ledger.end == end(Status.COMPLETE, 1)
        assert ledger.epochs == [make_record(1)]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_figures_that_are_not_finite_cannot_be_written(folder: Path, make_record: MakeRecord) -> None:
    with Ledger(folder, CONFIGURATION) as ledger, pytest.raises(ValueError, match="JSON"):
        ledger.append(dataclasses.replace(make_record(1), train_loss=float("nan")))


def test_atomic_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"old")
    with path.open("rb") as reader:
        write(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


class _BrokenError(Exception):
    pass


def test_atomic_write_that_breaks_off_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write(path, b"old")

    def broken(_: int) -> Iterator[None]:
        raise _BrokenError

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(_BrokenError):
        write(path, b"new")
    assert path.read_bytes() == b"old"


def test_an_atomic_write_that_breaks_off_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "is_fault"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_need_not_sync_folders(
    folder: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch, number: int, is_fault: bool
) -> None:
    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    folder.mkdir(parents=True)
    monkeypatch.setattr("os.fsync", sync)
    with pytest.raises(OSError, match="error") if is_fault else contextlib.nullcontext():
        fill(folder, make_record, 2, checkpoints_at=(2,))
    assert len(checkpoint_files(folder)) == (not is_fault)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 2, checkpoints_at=(2,))
    before = sorted(folder.iterdir())
    (folder / ".checkpoint-1.4711").write_bytes(b"half")
    with Ledger(folder, CONFIGURATION):
        assert sorted(folder.iterdir()) == before


def test_damage_is_none_where_all_is_well(
    folder: Path, make_record: MakeRecord, make_attempt: Callable[[int], Attempt]
) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.begin(make_attempt(1))
    fill(folder, make_record, 3, checkpoints_at=(1, 2))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.damage == []


@pytest.mark.parametrize(
    ("name", "damage"), [(CONFIG, CONFIG), (ATTEMPTS, f"{ATTEMPTS}:1"), (EPOCHS, EPOCHS), (RESULT, RESULT)]
)
def test_a_damaged_record_is_named(
    folder: Path, make_record: MakeRecord, make_attempt: Callable[[int], Attempt], name: str, damage: str
) -> None:
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.begin(make_attempt(1))
        ledger.append(make_record(1))
        ledger.finish(end(Status.COMPLETE, 1))
    (folder / name).write_bytes(b"{")
    with Ledger(folder, CONFIGURATION) as ledger:
        assert ledger.damage == [damage]


def test_a_damaged_line_of_epochs_is_named_once(folder: Path, make_record: MakeRecord) -> None:
    fill(folder, make_record, 3, checkpoints_at=(3,))
    lines = (folder / EPOCHS).read_bytes().splitlines(keepends=True)
    (folder / EPOCHS).write_bytes(b"".join([lines[0], b'{"epoch":2}\n', lines[2]]))
    with Ledger(folder, CONFIGURATION) as ledger:
        ledger.rewind()
        assert ledger.damage == [f"{EPOCHS}:2"]
        assert (ledger.epochs, ledger.checkpoint) == ([], None)


@pytest.mark.parametrize("name", [EPOCHS, "lock", "tensorboard", "."])
def test_links_are_refused(tmp_path: Path, folder: Path, make_record: MakeRecord, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.parent.mkdir()
    if name != ".":
        folder.mkdir()
    (folder / name if name != "." else folder).symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        Ledger(folder, CONFIGURATION)
    assert list(outside.iterdir()) == []
