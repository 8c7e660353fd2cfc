"""A process's work on a trial: replay, go on, record; interrupted is as uninterrupted."""

import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.older_records import without_checksums
from trainable.config import TrainConfig
from trainable.ledger.files import ATTEMPTS, CHECKPOINTS
from trainable.ledger.ledger import Ledger
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.reading import read_trial, trial_status
from trainable.records import EpochRecord, Progress, Status
from trainable.session import RunInfo, TrialSession, record_failure

MakeSession = Callable[..., TrialSession]


def figures(record: EpochRecord | None) -> EpochRecord:
    """The record without what a clock or the number of attempts says."""
    assert record is not None
    return dataclasses.replace(record, train_seconds=0.0, eval_seconds=0.0, images_per_second=0.0, attempt=0)


def run(session: TrialSession, num_epochs: int = 99) -> list[Progress]:
    """Up to `num_epochs` epochs; then the process is gone."""
    done: list[Progress] = []
    while len(done) < num_epochs and not (done and done[-1].ended):
        done.append(session.next_epoch())
    session.close()
    return done


def fail(_: int) -> None:
    raise RuntimeError("the step broke\nsecond line")


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    return tmp_path / "trial"


@pytest.fixture
def expected(make_session: MakeSession, short_config: TrainConfig, trial: Path) -> list[EpochRecord]:
    """The rows of the uninterrupted trial, in a folder of its own."""
    done = run(make_session(short_config))
    trial.rename(trial.with_name("uninterrupted"))
    return [figures(progress.record) for progress in done]


def test_a_trial_runs_to_its_end(make_session: MakeSession, short_config: TrainConfig, trial: Path) -> None:
    done = run(make_session(short_config))
    assert [progress.status for progress in done] == [Status.INCOMPLETE] * 3 + [Status.COMPLETE]
    assert not any(progress.replayed for progress in done)
    files = read_trial(trial)
    assert files.epochs == [progress.record for progress in done]
    assert files.config == short_config.to_dict()
    assert files.end is not None
    assert (files.end.status, files.end.epochs_done, files.end.run_id) == (Status.COMPLETE, 4, "run-1")
    assert files.end.test_correct_bits is not None
    assert len(files.end.test_correct_bits) == 2
    assert files.end.peak_memory_bytes is not None


def test_attempt_says_where_the_numbers_come_from(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    run(make_session(short_config), 1)
    (attempt,) = read_trial(trial).attempts
    assert (attempt.attempt, attempt.run_id, attempt.num_threads, attempt.code) == (1, "run-1", 1, "code")
    assert attempt.precision_resolved == "fp32"
    assert attempt.versions["torch"]
    assert attempt.host
    assert attempt.device


@pytest.mark.parametrize("interrupted_after", [1, 2, 3])
def test_interrupted_is_as_uninterrupted(
    make_session: MakeSession,
    short_config: TrainConfig,
    trial: Path,
    expected: list[EpochRecord],
    interrupted_after: int,
) -> None:
    first = run(make_session(short_config), interrupted_after)
    second = run(make_session(short_config, "run-2"))
    assert [progress.replayed for progress in second] == [True] * interrupted_after + [False] * (
        4 - interrupted_after
    )
    assert [progress.record for progress in second[:interrupted_after]] == [progress.record for progress in first]
    files = read_trial(trial)
    assert [figures(record) for record in files.epochs] == expected
    assert [record.attempt for record in files.epochs] == [1] * interrupted_after + [2] * (4 - interrupted_after)
    assert [attempt.run_id for attempt in files.attempts] == ["run-1", "run-2"]
    assert files.end is not None
    assert files.end.run_id == "run-2"


def test_epochs_after_the_last_checkpoint_are_trained_again(
    make_session: MakeSession, short_config: TrainConfig, trial: Path, expected: list[EpochRecord]
) -> None:
    session = make_session(short_config, checkpoint_share=0.0)
    session.next_epoch()
    session.save_checkpoint()
    run(session, 2)
    assert len(read_trial(trial).epochs) == 3
    second = run(make_session(short_config, "run-2"))
    assert [progress.replayed for progress in second] == [True, False, False, False]
    assert [figures(record) for record in read_trial(trial).epochs] == expected


def test_without_a_checkpoint_it_begins_again(
    make_session: MakeSession, short_config: TrainConfig, trial: Path, expected: list[EpochRecord]
) -> None:
    run(make_session(short_config, checkpoint_share=0.0), 3)
    second = run(make_session(short_config, "run-2"))
    assert [figures(progress.record) for progress in second] == expected
    assert [record.attempt for record in read_trial(trial).epochs] == [2] * 4


def test_a_finished_trial_is_replayed_and_not_trained(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    first = run(make_session(short_config))
    second = run(make_session(short_config, "run-2"))
    assert [progress.record for progress in second] == [progress.record for progress in first]
    assert all(progress.replayed for progress in second)
    assert [progress.status for progress in second] == [progress.status for progress in first]
    assert len(read_trial(trial).attempts) == 1


def test_a_failure_is_recorded_on_one_line_and_raised(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    session = make_session(short_config)
    session.next_epoch()
    with pytest.raises(RuntimeError, match="the step broke"):
        session.next_epoch(fail)
    files = read_trial(trial)
    assert trial_status(files) is Status.FAILED
    assert files.end is not None
    assert (files.end.error, files.end.epochs_done) == ("RuntimeError: the step broke", 1)


def test_a_failure_is_replayed_in_the_same_run(make_session: MakeSession, short_config: TrainConfig) -> None:
    session = make_session(short_config)
    session.next_epoch()
    with pytest.raises(RuntimeError):
        session.next_epoch(fail)
    session.close()
    done = run(make_session(short_config, "run-1"))
    assert [(progress.status, progress.replayed) for progress in done] == [(Status.FAILED, True)]
    assert done[0].error == "RuntimeError: the step broke"
    assert done[0].record is not None


def test_a_failure_before_the_first_epoch_has_no_record(make_session: MakeSession, short_config: TrainConfig) -> None:
    session = make_session(short_config)
    with pytest.raises(RuntimeError):
        session.next_epoch(fail)
    session.close()
    (progress,) = run(make_session(short_config, "run-1"))
    assert progress.record is None
    assert progress.ended


def test_a_failure_is_tried_again_in_the_next_run(
    make_session: MakeSession, short_config: TrainConfig, trial: Path, expected: list[EpochRecord]
) -> None:
    session = make_session(short_config)
    session.next_epoch()
    with pytest.raises(RuntimeError):
        session.next_epoch(fail)
    session.close()
    done = run(make_session(short_config, "run-2"))
    assert [progress.replayed for progress in done] == [True, False, False, False]
    files = read_trial(trial)
    assert trial_status(files) is Status.COMPLETE
    assert [figures(record) for record in files.epochs] == expected
    assert files.end is not None
    assert files.end.error is None


def test_an_interrupt_is_no_failure(make_session: MakeSession, short_config: TrainConfig, trial: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    session = make_session(short_config)
    session.next_epoch()
    with pytest.raises(KeyboardInterrupt):
        session.next_epoch(interrupt)
    assert trial_status(read_trial(trial)) is Status.INCOMPLETE


def test_divergence_ends_the_trial_for_good(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    config = dataclasses.replace(short_config, lr=1e35)
    (progress,) = run(make_session(config))
    assert progress.status is Status.DIVERGED
    assert progress.record is not None
    assert progress.record.train_loss is None
    (again,) = run(make_session(config, "run-2"))
    assert (again.status, again.replayed, again.record) == (Status.DIVERGED, True, progress.record)
    assert len(read_trial(trial).attempts) == 1


def test_a_trial_at_work_is_refused_to_others(make_session: MakeSession, short_config: TrainConfig) -> None:
    make_session(short_config)
    with pytest.raises(LedgerBusyError):
        make_session(short_config)


RUN = RunInfo("run-1", 1, "code")


def test_the_driver_records_a_death(make_session: MakeSession, short_config: TrainConfig, trial: Path) -> None:
    run(make_session(short_config), 2)
    record_failure(trial, short_config, RUN, "the worker died")
    files = read_trial(trial)
    assert files.end is not None
    assert (files.end.status, files.end.error) == (Status.FAILED, "the worker died")
    assert len(files.attempts) == 1
    assert [record.epoch for record in files.epochs] == [1, 2]


def test_the_driver_records_a_death_before_anything_was_written(short_config: TrainConfig, trial: Path) -> None:
    record_failure(trial, short_config, RUN, "the worker died")
    files = read_trial(trial)
    assert trial_status(files) is Status.FAILED
    assert [attempt.run_id for attempt in files.attempts] == ["run-1"]


def test_the_driver_does_not_overwrite_an_end(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    run(make_session(short_config))
    record_failure(trial, short_config, RUN, "the worker died")
    assert trial_status(read_trial(trial)) is Status.COMPLETE


def test_the_driver_leaves_a_living_process_alone(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    session = make_session(short_config)
    record_failure(trial, short_config, RUN, "the worker died")
    assert [progress.status for progress in run(session)][-1] is Status.COMPLETE


def test_a_checkpoint_that_this_code_cannot_load_gives_way(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    """The checksum is right but the content unusable: the checkpoint before it is used, and the rows are the same."""
    whole = make_session(short_config)
    losses = []
    while not (progress := whole.next_epoch()).ended:
        losses.append(progress.record and progress.record.train_loss)
    whole.close()
    shutil.rmtree(trial)
    session = make_session(short_config)
    for _ in range(3):
        session.next_epoch()
    session.close()
    max((trial / name for name in CHECKPOINTS), key=lambda path: path.stat().st_mtime_ns).unlink()
    with Ledger(trial, short_config.to_dict()) as ledger:
        ledger.save_checkpoint(b"of a later version")
    again = make_session(short_config, "run-2")
    while not again.next_epoch().ended:
        pass
    again.close()
    files = read_trial(trial)
    assert [record.epoch for record in files.epochs] == [1, 2, 3, 4]
    assert [record.train_loss for record in files.epochs[:3]] == losses
    assert "this code cannot load it" in (files.attempts[-1].damage or "")
    assert files.end is not None
    assert files.end.status is Status.COMPLETE


def test_a_half_loaded_state_leaves_no_trace(
    make_session: MakeSession, short_config: TrainConfig, trial: Path, expected: list[EpochRecord]
) -> None:
    """The weights fit but the momentum does not: the trial begins again from its own first weights."""
    session = make_session(short_config)
    session.next_epoch()
    assert session._training is not None
    state = torch.load(io.BytesIO(session._training.state()), weights_only=True)
    session.close()
    buffer = io.BytesIO()
    torch.save({**state, "momentum": {}}, buffer)
    for name in CHECKPOINTS:
        (trial / name).unlink(missing_ok=True)
    with Ledger(trial, short_config.to_dict()) as ledger:
        ledger.save_checkpoint(buffer.getvalue())
    assert [figures(progress.record) for progress in run(make_session(short_config, "run-2"))][1:] == expected


def test_a_checkpoint_of_another_epoch_than_it_says_is_not_used(
    make_session: MakeSession, short_config: TrainConfig, trial: Path, expected: list[EpochRecord]
) -> None:
    run(make_session(short_config), 2)
    for name in CHECKPOINTS:
        header, newline, state = without_checksums((trial / name).read_bytes()).partition(b"\n")
        changed = json.loads(header) | {"epochs_done": 1}
        (trial / name).write_bytes(json.dumps(changed).encode() + newline + state)
    run(make_session(short_config, "run-2"))
    assert [figures(record) for record in read_trial(trial).epochs] == expected


def test_damage_and_changes_are_reported_once(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    run(make_session(short_config), 3)
    newest = max((trial / name for name in CHECKPOINTS), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"")
    attempt = json.loads(without_checksums((trial / ATTEMPTS).read_bytes()))
    (trial / ATTEMPTS).write_text(json.dumps(attempt | {"code": "older"}) + "\n")
    notes = [progress.note for progress in run(make_session(short_config, "run-2"))]
    damage = f"damaged: {newest.name}; resumed after epoch 2"
    assert notes == [damage, None, "resumes with other code than its first epochs", None]
    assert read_trial(trial).attempts[-1].damage == damage


def test_an_end_is_never_before_its_beginning(
    make_session: MakeSession, short_config: TrainConfig, trial: Path
) -> None:
    run(make_session(short_config), 2)
    attempt = json.loads(without_checksums((trial / ATTEMPTS).read_bytes()))
    later = "2999-01-01T00:00:00.000000+00:00"
    (trial / ATTEMPTS).write_text(json.dumps(attempt | {"start_time": later}) + "\n")
    run(make_session(short_config, "run-2"))
    end = read_trial(trial).end
    assert end is not None
    assert end.end_time == later


def test_a_failure_that_cannot_be_recorded_is_raised_as_it_was(
    make_session: MakeSession, short_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    session = make_session(short_config)
    session.next_epoch()
    monkeypatch.setattr(Ledger, "finish", full)
    with pytest.raises(RuntimeError, match="the step broke"):
        session.next_epoch(fail)
    record_failure(session._ledger.folder, short_config, RUN, "the worker died")
