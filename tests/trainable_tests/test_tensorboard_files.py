"""TensorBoard's event files, read back record by record."""

import contextlib
import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2

from trainable.config import TrainConfig
from trainable.ledger.files import TENSORBOARD
from trainable.ledger.reading import read_trial
from trainable.records import EpochRecord
from trainable.session import TrialSession
from trainable.tensorboard import UNPLOTTED, TrialEvents

HPARAMS_TAG = "_hparams_/session_start_info"


def read_events(folder: Path) -> list[Any]:
    """Events of all files (length, its checksum, content, its checksum), in order."""
    events = []
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        content, position = path.read_bytes(), 0
        while position < len(content):
            (length,) = struct.unpack_from("<Q", content, position)
            events.append(event_pb2.Event.FromString(content[position + 12 : position + 12 + length]))
            position += 16 + length
    return events


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [
        (event.step, value.simple_value)
        for event in read_events(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


def test_scalars_of_a_trial_can_be_read_back(
    make_session: Callable[..., TrialSession], short_config: TrainConfig, tmp_path: Path
) -> None:
    session = make_session(short_config)
    while not session.next_epoch().ended:
        pass
    session.close()
    epochs = read_trial(tmp_path / "trial").epochs
    for name in ("train_loss", "test_error_percent", "lr", "images_per_second"):
        written = scalars(tmp_path / "trial" / TENSORBOARD, name)
        assert [step for step, _ in written] == [1, 2, 3, 4]
        assert [value for _, value in written] == pytest.approx([getattr(record, name) for record in epochs])
    final = scalars(tmp_path / "trial" / TENSORBOARD, "final/test_error_percent")
    assert [step for step, _ in final] == [4]
    assert final[0][1] == pytest.approx(epochs[-1].test_error_percent)


def test_every_figure_of_a_record_is_plotted(tmp_path: Path, make_record: Callable[[int], EpochRecord]) -> None:
    with contextlib.closing(TrialEvents(tmp_path, 0, 1)) as events:
        events.add_epoch(make_record(1))
    tags = {value.tag for event in read_events(tmp_path) for value in event.summary.value}
    finite = {name for name, value in dataclasses.asdict(make_record(1)).items() if value is not None}
    assert tags == finite - set(UNPLOTTED)


def test_hyper_parameters_are_there(tmp_path: Path, make_record: Callable[[int], EpochRecord]) -> None:
    config = TrainConfig(schedule="multistep", lr=0.25, seed=3)
    with contextlib.closing(TrialEvents(tmp_path, 0, 1)) as events:
        events.add_hparams(config, make_record(1))
    (start,) = [
        value.metadata.plugin_data
        for event in read_events(tmp_path)
        for value in event.summary.value
        if value.tag == HPARAMS_TAG
    ]
    assert start.plugin_name == "hparams"
    for expected in (b"lr", b"seed", b"multistep", b"[0.5, 0.75]", b"resnet_preact_20"):
        assert expected in start.content


def test_going_on_purges_what_comes_after(tmp_path: Path, make_record: Callable[[int], EpochRecord]) -> None:
    with contextlib.closing(TrialEvents(tmp_path, epochs_done=2, attempt=1)) as events:
        events.add_epoch(make_record(3))
    assert purges(tmp_path) == [3]


def purges(folder: Path) -> list[int]:
    """Steps from which on TensorBoard forgets what earlier files say."""
    return [
        event.step for event in read_events(folder) if event.HasField("session_log") and event.session_log.status == 1
    ]


def test_beginning_again_purges_everything(tmp_path: Path, make_record: Callable[[int], EpochRecord]) -> None:
    with contextlib.closing(TrialEvents(tmp_path, epochs_done=0, attempt=1)) as events:
        events.add_epoch(make_record(1))
    with contextlib.closing(TrialEvents(tmp_path, epochs_done=0, attempt=2)) as events:
        events.add_epoch(make_record(1))
    assert purges(tmp_path)[-1:] == [1]


def test_an_attempt_in_the_same_second_keeps_the_file_of_the_one_before(
    tmp_path: Path, make_record: Callable[[int], EpochRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    with contextlib.closing(TrialEvents(tmp_path, epochs_done=0, attempt=1)) as events:
        events.add_epoch(make_record(1))
    with contextlib.closing(TrialEvents(tmp_path, epochs_done=1, attempt=2)) as events:
        events.add_epoch(make_record(2))
    assert sorted(step for step, _ in scalars(tmp_path, "lr")) == [1, 2]
