"""How far a trial has come is the same whether it is counted or read."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.older_records import without_checksums
from trainable.ledger import reading
from trainable.ledger.files import CONFIG, EPOCHS, RESULT
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import TAIL_BYTES, read_summary, read_trial
from trainable.records import EpochRecord, Status, TrialEnd, TrialSummary

CONFIGURATION = {"lr": 0.1}
NUM_EPOCHS = 40
MakeRecord = Callable[[int], EpochRecord]
Change = Callable[[Path], object]


def fill(folder: Path, make_record: MakeRecord, status: Status | None, num_epochs: int = NUM_EPOCHS) -> Path:
    with Ledger(folder, CONFIGURATION) as trial:
        for epoch in range(1, num_epochs + 1):
            trial.append(make_record(epoch))
        if status is not None:
            trial.finish(TrialEnd(status, num_epochs, "2024-01-01T00:00:00+00:00", "run-1"))
    return folder


def as_read(folder: Path) -> TrialSummary:
    files = read_trial(folder)
    error = files.epochs[-1].test_error_percent if files.epochs else None
    return TrialSummary(files.config, len(files.epochs), files.end, files.attempts, error, files.damage)


def cut(file: str, keep: Callable[[bytes], bytes]) -> Change:
    return lambda folder: (folder / file).write_bytes(keep((folder / file).read_bytes()))


def without_last_line(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:-1])


CHANGES: dict[str, Change] = {
    "nothing": lambda folder: None,
    "last byte gone": cut(EPOCHS, lambda content: content[:-1]),
    "last line gone": cut(EPOCHS, without_last_line),
    "all lines gone": cut(EPOCHS, lambda content: b""),
    "torn line more": cut(EPOCHS, lambda content: content + b'{"epoch": 41'),
    "damaged line more": cut(EPOCHS, lambda content: content + b'{"epoch": 41}\n'),
    "empty line more": cut(EPOCHS, lambda content: content + b"\n"),
    "last line twice": cut(EPOCHS, lambda content: content + content.splitlines(keepends=True)[-1]),
    "zeros at the end": cut(EPOCHS, lambda content: content[:-9] + bytes(9)),
    "no epochs": lambda folder: (folder / EPOCHS).unlink(),
    "no result": lambda folder: (folder / RESULT).unlink(),
    "damaged result": cut(RESULT, lambda content: content[:-9]),
    "no configuration": lambda folder: (folder / CONFIG).unlink(),
    "damaged configuration": cut(CONFIG, lambda content: b"{"),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_counted_equals_read(tmp_path: Path, make_record: MakeRecord, status: Status, change: Change) -> None:
    folder = fill(tmp_path / "key", make_record, status)
    change(folder)
    counted = read_summary(folder)
    is_ended = counted.end is not None and counted.end.status.is_final  # then earlier epochs are not looked at
    assert (
        dataclasses.replace(as_read(folder), damage=counted.damage if is_ended else as_read(folder).damage) == counted
    )


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.FAILED])
def test_a_trial_without_epochs(tmp_path: Path, make_record: MakeRecord, status: Status) -> None:
    folder = fill(tmp_path / "key", make_record, status, num_epochs=0)
    assert read_summary(folder) == as_read(folder)
    assert read_summary(folder).end is not None


def test_no_trial_at_all(tmp_path: Path) -> None:
    assert read_summary(tmp_path / "missing") == TrialSummary({}, 0, None, [], damage=[])


def test_a_last_line_longer_than_what_is_read(tmp_path: Path, make_record: MakeRecord) -> None:
    folder = fill(tmp_path / "key", make_record, Status.COMPLETE)
    *lines, last = without_checksums((folder / EPOCHS).read_bytes()).splitlines(keepends=True)
    (folder / EPOCHS).write_bytes(b"".join([*lines, b" " * TAIL_BYTES, last]))
    (folder / RESULT).write_bytes(without_checksums((folder / RESULT).read_bytes()))
    assert read_summary(folder) == as_read(folder)
    assert read_summary(folder).epochs_done == NUM_EPOCHS


def test_a_finished_trial_is_not_read_whole(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "key", make_record, Status.COMPLETE)
    expected = as_read(folder)

    def refuse(folder: Path) -> None:
        raise AssertionError(f"{folder} was read whole")

    monkeypatch.setattr(reading, "read_trial", refuse)
    assert read_summary(folder) == expected


@pytest.mark.parametrize("separator", ["\n", ",\n", "\n,", "\n\n", "\r\n\r\n"])
def test_lines_that_are_records_only_together_are_damage(
    tmp_path: Path, make_record: MakeRecord, separator: str
) -> None:
    """Parsing all lines at once must not accept more than parsing each line does."""
    folder = fill(tmp_path / "key", make_record, None, num_epochs=4)
    lines = without_checksums((folder / EPOCHS).read_bytes()).decode().splitlines()
    broken = lines[2].replace(",", separator, 1)
    (folder / EPOCHS).write_text("\n".join([*lines[:2], broken, lines[3]]) + "\n")
    assert [record.epoch for record in read_trial(folder).epochs] == [1, 2]


def test_a_field_too_many_or_too_few_is_damage(tmp_path: Path, make_record: MakeRecord) -> None:
    folder = fill(tmp_path / "key", make_record, None, num_epochs=3)
    lines = without_checksums((folder / EPOCHS).read_bytes()).decode().splitlines()
    for changed in ({"later": 1, **json.loads(lines[1])}, {"epoch": 2}, [2], 2, None):
        (folder / EPOCHS).write_text("\n".join([lines[0], json.dumps(changed), lines[2]]) + "\n")
        assert [record.epoch for record in read_trial(folder).epochs] == [1]
