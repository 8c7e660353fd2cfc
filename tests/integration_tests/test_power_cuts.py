"""A power cut, a kill or a failing disk at any file operation: nothing false, and nothing lost that was promised.

The trainings are made up, and all else is real: the session, the ledger, the store and the log of a search.
"""

import contextlib
import copy
import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from results.store.journal import LocalJournal
from results.store.local_store import LocalStore
from results.store.search_log import SEARCH_LOG, Event, ReportEvent, SearchLog, parse_log, read_log
from sweep.runs import RunStart, append_run, damaged_runs_text
from tests.integration_tests.fault_table import record
from tests.power_cuts import Killed, Recorder, recording, write_tree
from tests.results_tests.result_samples import START, make_config, make_epoch, make_manifest
from tests.sweep_tests.driven_searches import SPACE, drive, open_search, settings
from trainable import session as session_module
from trainable.config import TrainConfig
from trainable.ledger.checkpoints import remove_checkpoints
from trainable.ledger.files import ATTEMPTS, CONFIG, EPOCHS, LOCK, RESULT, WEIGHTS
from trainable.ledger.ledger import Ledger
from trainable.ledger.reading import read_summary, read_trial
from trainable.ledger.safetensors import StoredTensor, StoredWeights, parse_weights
from trainable.ledger.trial_log import logs_in
from trainable.records import EpochRecord, Status, TrialEnd
from trainable.session import RunInfo, TrialSession, record_failure
from trainable.training import EpochOutcome

NUM_EPOCHS = 5
SAVED_AFTER = (2, 4)
"""Epochs after which a checkpoint is written."""
A, B = make_config(epochs=NUM_EPOCHS), make_config(epochs=NUM_EPOCHS, lr=0.2)
SWEEP = make_manifest([A, B])
Promise = Callable[[object], None]
MADE_UP_WEIGHTS = StoredWeights({"bias": StoredTensor("F32", (2,), bytes(8))}, {})
SAVE, FINISH = Ledger.save_checkpoint, Ledger.finish


class MadeUpTraining:
    """A training whose state is its number of epochs."""

    def __init__(self, *_: object) -> None:
        self.epochs_done = 0
        self.precision = SimpleNamespace(name="fp32")
        self.execution = "eager"

    @property
    def finished(self) -> bool:
        return self.epochs_done == NUM_EPOCHS

    def run_epoch(self, attempt: int, _: object = None) -> EpochOutcome:
        self.epochs_done += 1
        return EpochOutcome(record_of(self.epochs_done, attempt), diverged=False, test_correct_bits=None)

    def state(self) -> bytes:
        return b"%d" % self.epochs_done

    def load_state(self, state: bytes) -> None:
        self.epochs_done = int(state)


def record_of(epoch: int, attempt: int) -> EpochRecord:
    return make_epoch(epoch, 50.0 / epoch, attempt=attempt)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No training, no TensorBoard files, no waiting for the disk."""
    monkeypatch.setattr(session_module, "Training", MadeUpTraining)
    monkeypatch.setattr(session_module, "TrialEvents", Mock())
    monkeypatch.setattr(session_module, "saved_weights", lambda *_: MADE_UP_WEIGHTS)
    monkeypatch.setattr("os.fsync", int)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory where there is a file system in memory."""
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as name:
        yield Path(name)


def run_info(run_id: str) -> RunInfo:
    return RunInfo(run_id, num_threads=1, code="code", checkpoint_share=0.0, keep_weights=True)


def work(
    trial: Path, run_id: str, promise: Promise = lambda _: None, config: TrainConfig = A
) -> tuple[int, list[str]]:
    """Train a trial to its end; return the number of epochs that were on record, and the notes for the user."""
    num_replayed, notes = 0, []
    session = TrialSession(config, None, trial, torch.device("cpu"), run_info(run_id))  # type: ignore[arg-type]
    try:
        while True:
            progress = session.next_epoch()
            num_replayed += progress.replayed
            notes += [progress.note] if progress.note else []
            if progress.ended:
                promise(NUM_EPOCHS)
                return num_replayed, notes
            if progress.record and progress.record.epoch in SAVED_AFTER and not progress.replayed:
                session.save_checkpoint()
                promise(progress.record.epoch)
    finally:
        session.close()


def check_records(trial: Path, num_promised: int) -> Status:
    """Check that what is on record is true, and that nothing is missing of what was promised."""
    files = read_trial(trial)
    assert files.damage == []
    assert files.epochs == [record_of(number, epoch.attempt) for number, epoch in enumerate(files.epochs, start=1)]
    status = files.end.status if files.end else Status.INCOMPLETE
    assert status in (Status.INCOMPLETE, Status.FAILED, Status.COMPLETE)
    assert status is Status.COMPLETE or num_promised < NUM_EPOCHS
    assert len(files.epochs) >= (NUM_EPOCHS if status is Status.COMPLETE else num_promised)
    if status is Status.COMPLETE or (trial / WEIGHTS).exists():
        assert parse_weights((trial / WEIGHTS).read_bytes(), TrainConfig.from_dict(files.config).trial_key).tensors
    summary = read_summary(trial)
    assert (summary.epochs_done, summary.end) == (files.epochs_done, files.end)
    return status


def check_whole(trial: Path) -> None:
    """Check that a trial is complete, and that nothing else is left of it."""
    assert check_records(trial, NUM_EPOCHS) is Status.COMPLETE
    files = read_trial(trial)
    assert [attempt.attempt for attempt in files.attempts] == list(range(1, len(files.attempts) + 1))
    assert {epoch.attempt for epoch in files.epochs} <= {attempt.attempt for attempt in files.attempts}
    assert {path.name for path in trial.iterdir() if path not in logs_in(trial).values()} == {
        CONFIG,
        ATTEMPTS,
        EPOCHS,
        RESULT,
        WEIGHTS,
        LOCK,
    }


def check_resumes(trial: Path, num_promised: int) -> None:
    """Check that the next run keeps what was promised, tells of no damage, and completes the trial."""
    num_replayed, notes = work(trial, "last")
    assert num_replayed >= num_promised
    assert notes == []
    check_whole(trial)


def check_trial(trials: Path, num_promised: int) -> None:
    check_records(trials / A.trial_key, num_promised)
    check_resumes(trials / A.trial_key, num_promised)


def check_cuts(
    recorder: Recorder, check: Callable[[Path, Any], None], promised_first: object, num_lost: int = 1
) -> int:
    """Cut the power after every operation, and check what is left; return the number of states."""
    states = list(recorder.states(promised_first, num_lost))
    for what, tree, promised in states:
        with TemporaryDirectory(dir=recorder.root.parent) as folder:
            write_tree(Path(folder), tree)
            try:
                check(Path(folder), promised)
            except BaseException as error:
                raise AssertionError(f"{what}: {error}") from error
    return len(states)


def test_the_power_is_cut_after_any_operation(folder: Path) -> None:
    with recording(folder / "trials") as recorder:
        work(recorder.root / A.trial_key, "first", recorder.promise)
    assert check_cuts(recorder, check_trial, 0) > 60


@pytest.mark.parametrize(
    ("number", "is_lasting"),
    [
        (errno.EIO, False),
        pytest.param(errno.EIO, True, marks=pytest.mark.faults),
        pytest.param(errno.ENOSPC, False, marks=pytest.mark.faults),
        pytest.param(errno.ENOSPC, True, marks=pytest.mark.faults),
    ],
)
def test_a_disk_fails_at_any_operation(number: int, is_lasting: bool, folder: Path) -> None:
    for fail_after in itertools.count():
        trial = folder / str(fail_after) / A.trial_key
        raised = None
        with recording(trial.parent) as recorder:
            recorder.error, recorder.fail_after = OSError(number, os.strerror(number)), fail_after
            recorder.is_lasting = is_lasting
            try:
                work(trial, "first", recorder.promise)
            except OSError as error:
                raised = error
                record_failure(trial, A, run_info("first"), str(error))
        if not recorder.failed:
            break
        status = check_records(trial, recorder.promised(0))
        assert raised is not None or status is Status.COMPLETE, recorder.failed
        if recorder.failed.startswith("unlink checkpoint"):
            assert raised is None
            data = "the row says COMPLETE; the next run deletes it"
            record("a checkpoint of a finished trial cannot be deleted", [], None, data)
        check_resumes(trial, recorder.promised(0))


# The long form.


def _unsynced(_: Ledger) -> None:
    """Sync nothing before a checkpoint or a result."""


def _save_first(ledger: Ledger, state: bytes) -> str:
    """Sync the epochs after the checkpoint that names them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_sync_records", _unsynced)
        name = SAVE(ledger, state)
    ledger._sync_records()
    return name


def _delete_first(ledger: Ledger, end: TrialEnd) -> None:
    """Delete the checkpoints before the result is written."""
    remove_checkpoints(ledger.folder)
    FINISH(ledger, end)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "wrong"), [("_sync_records", _unsynced), ("save_checkpoint", _save_first), ("finish", _delete_first)]
)
def test_a_wrong_order_is_noticed(name: str, wrong: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr(Ledger, name, wrong)
    with recording(folder / "trials") as recorder:
        work(recorder.root / A.trial_key, "first", recorder.promise)
    with pytest.raises(AssertionError, match=r"after \d+ operations"):
        check_cuts(recorder, check_trial, 0)


@pytest.mark.faults
def test_the_power_is_cut_while_a_killed_trial_is_resumed(folder: Path) -> None:
    for fail_after in itertools.count():
        with recording(folder / f"trials-{fail_after}") as recorder:
            recorder.error, recorder.fail_after = Killed(), fail_after
            with contextlib.suppress(Killed):
                work(recorder.root / A.trial_key, "first", recorder.promise)
            recorder.error = None
            work(recorder.root / A.trial_key, "second", recorder.promise)
        check_cuts(recorder, check_trial, 0, num_lost=2)
        if not recorder.failed:
            break


def run_sweep(folder: Path, run_id: str, promise: Promise = lambda _: None, *, again: bool = False) -> None:
    """Train a sweep as its driver and workers do, without Ray.

    What is promised is the number of epochs of each training, by the key of the trial.
    """
    store = LocalStore(folder / "store")
    promised = {key: [NUM_EPOCHS] * again + [0] for key in SWEEP.keys}
    with store.driving(SWEEP, run_id):
        append_run(store, SWEEP.name, RunStart(run_id, START))
        if again:
            assert store.supersede(SWEEP) == len(SWEEP.trials)
            promise(copy.deepcopy(promised))
        for config in (A, B):

            def promise_epochs(num_epochs: object, config: TrainConfig = config) -> None:
                promised[config.trial_key][-1] = int(str(num_epochs))
                promise(copy.deepcopy(promised))

            work(store.ledgers / config.trial_key, run_id, promise_epochs, config)


def check_sweep(folder: Path, promised: dict[str, list[int]]) -> None:
    """Check that what the sweep has is true and what was promised, and that the next run completes it."""
    store = LocalStore(folder / "store")
    assert store.find_manifest(SWEEP.name) in ([SWEEP] if promised else [SWEEP, None])
    for key, trainings in promised.items():
        found = list(store.trainings([key])[key].values())
        assert len(found) >= len(trainings)
        for number, trial in enumerate(found):
            check_records(trial, trainings[number] if number < len(trainings) else 0)
    run_sweep(folder, "last")
    assert store.find_manifest(SWEEP.name) == SWEEP
    assert damaged_runs_text(store, SWEEP.name) is None
    for key in SWEEP.keys:
        for trial in store.trainings([key])[key].values():
            check_whole(trial)


@pytest.mark.faults
def test_the_power_is_cut_while_a_sweep_is_trained_again(folder: Path) -> None:
    with recording(folder / "recorded") as recorder:
        run_sweep(recorder.root, "first", recorder.promise)
        run_sweep(recorder.root, "second", recorder.promise, again=True)
    assert check_cuts(recorder, check_sweep, {}, num_lost=2) > 300
    data = "nothing is lost but epochs after a checkpoint; the sweep resumes to the rows of an uninterrupted run"
    record("the power is cut", [], None, data)


@pytest.mark.faults
def test_the_power_is_cut_during_a_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, write = settings("random", SPACE, 8), SearchLog.append
    with recording(folder / "recorded") as recorder:

        def append(log: SearchLog, events: Sequence[Event]) -> None:
            write(log, events)
            if not all(isinstance(event, ReportEvent) for event in events):
                recorder.promise((recorder.root / SEARCH_LOG).read_bytes())

        monkeypatch.setattr(SearchLog, "append", append)
        search = open_search(recorder.root, wanted)
        drive(search)
    whole = (recorder.root / SEARCH_LOG).read_bytes()

    def check(folder: Path, promised: bytes) -> None:
        log = folder / SEARCH_LOG
        left = log.read_bytes() if log.exists() else b""
        _, _, num_bytes = parse_log(LocalJournal(log))
        assert whole.startswith(left[:num_bytes])
        assert left.startswith(promised)
        again = open_search(folder, wanted)
        drive(again)
        assert read_log(LocalJournal(log)) == again.record == search.record

    assert check_cuts(recorder, check, b"") > 100
