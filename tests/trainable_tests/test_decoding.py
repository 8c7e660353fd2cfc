"""Values that JSON gave are what the annotations of a record promise, or a ValueError says what is wrong."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from trainable.config import TrainConfig
from trainable.decoding import decode
from trainable.records import Attempt, EpochRecord, Status, TrialEnd

END: dict[str, Any] = {
    "status": "COMPLETE",
    "epochs_done": 2,
    "end_time": "2026-01-02T03:04:05+00:00",
    "run_id": "run",
    "test_correct_bits": "f0",
}


def test_what_was_written_is_read(
    make_record: Callable[[int], EpochRecord], make_attempt: Callable[[int], Attempt]
) -> None:
    for record in (make_record(1), make_attempt(1)):
        assert decode(type(record), json.loads(json.dumps(dataclasses.asdict(record)))) == record
    assert decode(TrialEnd, END).status is Status.COMPLETE


def test_a_whole_number_stays_one_where_a_float_is_wanted(make_record: Callable[[int], EpochRecord]) -> None:
    values = dataclasses.asdict(make_record(1)) | {"train_seconds": 2}
    assert repr(decode(EpochRecord, values).train_seconds) == "2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "COMPLETF"}, "status: 'COMPLETF' is not a valid Status"),
        ({"status": []}, "status: "),
        ({"epochs_done": -1}, "epochs_done: -1 is out of range"),
        ({"epochs_done": 2**63}, "epochs_done: 9223372036854775808 is out of range"),
        ({"epochs_done": True}, "epochs_done: True is no whole number"),
        ({"epochs_done": 2.0}, "epochs_done: 2.0 is no whole number"),
        ({"end_time": "2026-01-02T03:p4:05+00:00"}, "end_time: Invalid isoformat string"),
        ({"end_time": 7}, "end_time: 7 is no text"),
        ({"test_correct_bits": "f"}, "test_correct_bits: "),
        ({"run_id": None}, "run_id: None is no str"),
        ({"errer": None}, "unknown key 'errer'"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        decode(TrialEnd, END | change)


@pytest.mark.parametrize("lr", ["0.1", None, True, float("nan"), float("inf"), -0.1, 10**400])
def test_a_float_is_a_finite_number_in_its_range(lr: object, make_record: Callable[[int], EpochRecord]) -> None:
    with pytest.raises(ValueError, match=r"^lr: "):
        decode(EpochRecord, dataclasses.asdict(make_record(1)) | {"lr": lr})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="end_time is missing"):
        decode(TrialEnd, {key: value for key, value in END.items() if key != "end_time"})


@pytest.mark.parametrize("values", [None, [], "text", 1])
def test_a_record_is_an_object(values: object) -> None:
    for kind in (TrialEnd, TrainConfig):
        with pytest.raises(ValueError, match="is no object"):
            decode(kind, values)


def test_a_configuration_checks_itself() -> None:
    assert decode(TrainConfig, {"lr": 0.2}) == TrainConfig(lr=0.2)
    with pytest.raises(ValueError, match="unknown key 'lq'"):
        decode(TrainConfig, {"lq": 0.2})
