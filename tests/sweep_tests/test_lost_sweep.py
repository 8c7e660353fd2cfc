"""A driver in a bucket that stands still, and wakes up after another has taken its sweep over: nothing is lost."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from results.store.lease import LEASE, Lease, Timing
from results.store.manifest import MANIFEST as MANIFEST_FILE
from results.store.opening import open_store
from results.store.remote_journal import COPY
from results.store.search_log import SEARCH_LOG, read_log
from results.store.store import Store
from sweep.runs import RunStart, append_run, read_runs
from sweep.search.search import Search
from tests.refusals import loses_sweep
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_manifest
from tests.s3_server import S3Server
from tests.sweep_tests.driven_searches import SPACE, active_among, drive, make_trial, settings
from trainable.errors import SweepLostError
from trainable.ledger.files import FINAL_STATE
from trainable.ledger.remote import Remote, RemoteError
from trainable.ledger.remote_ledger import open_ledger
from trainable.records import Status

STALE_SECONDS = 60.0
NAME = "wide"
MANIFEST = dataclasses.replace(make_manifest([], NAME), is_search=True)
TRAINED = make_config(seed=99)


class Clock:
    """The clock of all drivers of a test and of the server, which stands still; a new lease is from its start."""

    start = now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Make all drivers frozen as far as their leases are concerned."""
    clock = Clock()
    monkeypatch.setattr("results.store.lease._now", lambda: clock.now)
    server_time_ns = Lease._server_time_ns
    monkeypatch.setattr(
        Lease, "_server_time_ns", lambda lease: server_time_ns(lease) + int(1e9 * (clock.now - clock.start))
    )
    monkeypatch.setattr("results.store.lease.TIMING", Timing(renew=1e6, stale=STALE_SECONDS, settle=0.0))
    return clock


@pytest.fixture
def uri(s3: S3Server) -> str:
    return f"s3://{s3.new_bucket()}/store"


def search_in(store: Store, num_trials: int) -> Search:
    wanted = settings(num_trials=num_trials)
    return Search(wanted, store.search_log(NAME), make_trial, active_among(SPACE))


@contextlib.contextmanager
def driven(uri: str, num_trials: int) -> Iterator[tuple[Store, Search]]:
    store = open_store(uri)
    with store.driving(MANIFEST):
        yield store, search_in(store, num_trials)


def end_third(search: Search) -> None:
    """End the trial that is under way after ten epochs."""
    config = search.record.proposals[2].config
    assert config is not None
    search.end(config.trial_key, Status.COMPLETE)


def log_in(uri: str) -> bytes:
    return open_store(uri).search_log(NAME).read()


def stored_trials(uri: str) -> dict[str, tuple[int, int]]:
    return {name: stamp for name, stamp in open_store(uri).files().items() if name.startswith("trials/")}


def ended(uri: str) -> int:
    record = read_log(open_store(uri).search_log(NAME))
    return sum(proposal.status is Status.COMPLETE for proposal in record.proposals)


def take_over(uri: str, clock: Clock, num_trials: int = 12) -> bytes:
    """Take over a sweep that has not been heard of for a minute, end it, and return its log."""
    clock.now += STALE_SECONDS
    with driven(uri, num_trials) as (store, search):
        drive(search)
        store.write(NAME, "trials.parquet", b"theirs")
    assert ended(uri) == num_trials
    return log_in(uri)


def test_a_driver_that_wakes_up_writes_nothing(uri: str, clock: Clock) -> None:
    with (
        loses_sweep(r"another run, on .*, has taken the sweep 'wide' over, at .* and ended at"),
        driven(uri, 8) as (store, search),
    ):
        drive(search, num_steps=10)
        with open_ledger(store.ledgers / TRAINED.trial_key, TRAINED.to_dict()) as ledger:
            ledger.begin(make_attempt())
            ledger.save_final_state(b"state")
            ledger.finish(make_end(Status.COMPLETE, 0))
        theirs, trained = take_over(uri, clock), stored_trials(uri)
        writes: list[Callable[[], object]] = [
            lambda: search.next(),
            lambda: append_run(store, NAME, RunStart("ours", "2026-11-29T20:00:00+00:00")),
            lambda: store.write(NAME, "trials.parquet", b"ours"),
            lambda: store.write_manifest(make_manifest([make_config()], NAME)),
            lambda: store.delete_sweep(NAME),
            lambda: store.delete_trials([TRAINED.trial_key]),
            lambda: store.drop_files(FINAL_STATE, [TRAINED.trial_key]),
            lambda: store.supersede(make_manifest([TRAINED], NAME)),
            lambda: store.check_driver(NAME),
        ]
        for write in writes:
            with pytest.raises(SweepLostError):
                write()
    assert log_in(uri) == theirs
    assert stored_trials(uri) == trained
    assert open_store(uri).read(NAME, SEARCH_LOG) == theirs
    assert open_store(uri).read(NAME, "trials.parquet") == b"theirs"
    assert read_runs(open_store(uri), NAME) == []
    assert not open_store(uri).is_running(NAME)


def test_a_driver_that_asks_is_told(uri: str, clock: Clock) -> None:
    with loses_sweep("is gone"), driven(uri, 8) as (store, _):
        Remote(uri).delete(f"{NAME}/{LEASE}")
        store.check_driver(NAME)  # it is not known yet
        store.check_driver(NAME, ask=True)
        pytest.fail("it has no lease")


def test_a_driver_that_wakes_up_alone_goes_on(uri: str, clock: Clock) -> None:
    with driven(uri, 8) as (_, search):
        drive(search, num_steps=10)
        clock.now += 10 * STALE_SECONDS
        end_third(search)
        drive(search)
    assert ended(uri) == 8


def freeze_before(patch: pytest.MonkeyPatch, method: str, file: str, action: Callable[[], object]) -> None:
    """Do something else right before the file is written or deleted: after all checks."""
    original = getattr(Remote, method)

    def frozen(remote: Remote, name: str, *content: bytes) -> None:
        if name in (file, f"{NAME}/{file}"):
            patch.undo()
            action()
        original(remote, name, *content)

    patch.setattr(Remote, method, frozen)


@pytest.mark.parametrize("num_later", [0, 1])
def test_a_driver_that_freezes_after_all_checks_destroys_no_log(uri: str, clock: Clock, num_later: int) -> None:
    """It wakes up after its successor, or also the next driver, has ended; both are told apart by their tokens."""
    known: list[bytes] = []

    def others() -> None:
        known.append(take_over(uri, clock))
        for later in range(num_later):
            with driven(uri, 13 + later) as (_, search):
                drive(search)
            known.append(log_in(uri))

    with loses_sweep(), driven(uri, 8) as (_, search), pytest.MonkeyPatch.context() as patch:
        drive(search, num_steps=10)
        freeze_before(patch, "write", SEARCH_LOG, others)
        end_third(search)
        pytest.fail("it believes to have written the log")
    assert open_store(uri).read(NAME, SEARCH_LOG) != known[-1]  # overwritten once
    assert log_in(uri) == known[-1]
    with driven(uri, 20) as (_, search):
        drive(search)
    assert log_in(uri) == open_store(uri).read(NAME, SEARCH_LOG)
    assert log_in(uri).startswith(known[-1])
    assert ended(uri) == 20


def test_what_a_driver_writes_before_its_successor_does_is_no_obstacle(uri: str, clock: Clock) -> None:
    """It was not told that its last event is in the log, so that the event need not be there."""
    with loses_sweep("another run, on"), driven(uri, 8) as (_, search):
        drive(search, num_steps=10)
        with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

            def take_over_slowly() -> None:
                clock.now += STALE_SECONDS
                entered.append(stack.enter_context(driven(uri, 8))[1])  # it writes nothing yet

            entered: list[Search] = []
            freeze_before(patch, "write", SEARCH_LOG, take_over_slowly)
            with pytest.raises(SweepLostError):
                end_third(search)
            drive(entered[0])
    assert ended(uri) == 8


def test_a_driver_that_freezes_while_it_deletes_trials_deletes_few(
    uri: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.store.remote_store.MAX_REQUESTS", 2)
    configs = [make_config(seed=seed) for seed in range(5)]
    with loses_sweep(), driven(uri, 8) as (store, _):
        for config in configs:
            with open_ledger(store.ledgers / config.trial_key, config.to_dict()) as ledger:
                ledger.begin(make_attempt())
        with pytest.MonkeyPatch.context() as patch:
            first = f"trials/{min(config.trial_key for config in configs)}"
            freeze_before(patch, "delete_folder", first, lambda: take_over(uri, clock))
            store.delete_trials([config.trial_key for config in configs])
            pytest.fail("it believes that the sweep is still its own")
    assert len(open_store(uri).trial_names()) == 3


def test_a_driver_that_freezes_while_it_deletes_its_sweep_deletes_one_file(uri: str, clock: Clock) -> None:
    known: list[bytes] = []
    with loses_sweep(), driven(uri, 8) as (store, search), pytest.MonkeyPatch.context() as patch:
        drive(search, num_steps=10)
        freeze_before(patch, "delete", MANIFEST_FILE, lambda: known.append(take_over(uri, clock)))
        store.delete_sweep(NAME)
        pytest.fail("it believes that the sweep is still its own")
    assert log_in(uri) == known[0]


@pytest.mark.parametrize("file", [SEARCH_LOG, f"{SEARCH_LOG}{COPY}2"])
def test_a_log_that_another_has_changed_is_left_alone(uri: str, clock: Clock, file: str) -> None:
    with contextlib.ExitStack() as stack:
        if COPY in file:  # after a takeover
            stack.enter_context(loses_sweep())
            stack.enter_context(driven(uri, 8))
            clock.now += STALE_SECONDS
        stack.enter_context(loses_sweep(r"another run has changed s3://.*/wide/search.jsonl"))
        _, search = stack.enter_context(driven(uri, 8))
        drive(search, num_steps=10)
        Remote(uri).write(f"{NAME}/{file}", log_in(uri) + b"more")
        end_third(search)
    assert log_in(uri).endswith(b"more")


def test_an_answer_that_is_lost_loses_no_sweep(uri: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has written the log, but the driver does not hear of it, and writes again."""
    write = Remote.write

    def unanswered(remote: Remote, name: str, content: bytes) -> None:
        write(remote, name, content)
        if name.endswith(SEARCH_LOG):
            raise RemoteError(uri, "no answer")

    with driven(uri, 8) as (_, search):
        drive(search, num_steps=10)
        with monkeypatch.context() as patch:
            patch.setattr(Remote, "write", unanswered)
            with pytest.raises(RemoteError, match="no answer"):
                end_third(search)
        end_third(search)
        drive(search)
    assert ended(uri) == 8
