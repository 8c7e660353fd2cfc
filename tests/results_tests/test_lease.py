"""One driver a sweep where there are no file locks."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from results.store.lease import LEASE, Lease, Timing
from tests.s3_server import S3Server
from trainable.errors import UserError
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import Remote

QUICK = Timing(renew=0.1, stale=1.0, settle=0.1, lost=0.5)
NAME = f"sweep/{LEASE}"
MakeLease = Callable[..., Lease]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A folder, since that is quicker and tells times exactly; some tests ask for a bucket."""
    return tmp_path.as_uri()


@pytest.fixture
def make_lease_in_bucket(s3: S3Server) -> MakeLease:
    """A server's times are whole seconds."""
    uri, slower = f"s3://{s3.new_bucket()}/store", dataclasses.replace(QUICK, stale=4.0)
    return lambda run_id, timing=slower: Lease(uri, "sweep", run_id, timing)


@pytest.fixture
def make_lease(uri: str) -> MakeLease:
    return lambda run_id, timing=QUICK: Lease(uri, "sweep", run_id, timing)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set where the run would have been sent SIGTERM."""
    event = threading.Event()
    monkeypatch.setattr("results.store.lease.signal.pthread_kill", lambda thread, number: event.set())
    return event


def of_another_machine(uri: str) -> None:
    """Whoever holds the lease now is a process that we know nothing about."""
    values = json.loads(Remote(uri).read(NAME) or b"")
    Remote(uri).write(NAME, json.dumps(values | {"machine": "another", "run_id": "theirs"}).encode())


def test_a_second_run_is_refused_while_the_first_renews(make_lease_in_bucket: MakeLease) -> None:
    with make_lease_in_bucket("one").held():
        until = time.monotonic() + 5.0
        while time.monotonic() < until:
            with pytest.raises(LedgerBusyError), make_lease_in_bucket("two").held():
                pytest.fail("two drivers at a time")
            time.sleep(0.1)
        holder = make_lease_in_bucket("").living_holder()
        assert holder is not None
        assert holder.run_id == "one"


def test_it_is_free_after_the_run_and_nothing_stays(make_lease: MakeLease, uri: str) -> None:
    with pytest.raises(RuntimeError, match="broke"), make_lease("one").held():
        raise RuntimeError("broke")
    assert make_lease("").living_holder() is None
    assert Remote(uri).stamps("") == {}
    with make_lease("two").held():
        pass


def test_of_two_at_once_one_wins(make_lease: MakeLease) -> None:
    start, end = threading.Barrier(3), threading.Barrier(3)
    outcomes: list[str] = []

    def drive(run_id: str) -> None:
        start.wait()
        try:
            with make_lease(run_id, dataclasses.replace(QUICK, settle=0.5)).held():
                outcomes.append("won")
                end.wait(30)
        except LedgerBusyError:
            outcomes.append("refused")
            end.wait(30)

    threads = [threading.Thread(target=drive, args=(run_id,)) for run_id in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "won"]


def test_a_lease_that_nobody_renews_is_taken_over(make_lease: MakeLease, uri: str) -> None:
    with make_lease("theirs", dataclasses.replace(QUICK, renew=60.0)).held():
        of_another_machine(uri)
        with pytest.raises(LedgerBusyError), make_lease("ours").held():
            pytest.fail("it is not stale yet")
        time.sleep(QUICK.stale + 0.1)
        with make_lease("ours").held():
            assert make_lease("").living_holder() is not None


def test_whoever_looks_again_asks_once_and_sees_it_grow_stale(
    make_lease: MakeLease, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = make_lease("")
    with make_lease("theirs", dataclasses.replace(QUICK, renew=60.0)).held():
        of_another_machine(uri)
        assert watcher.living_holder() is not None
        with monkeypatch.context() as patch:
            patch.setattr(Remote, "read", lambda place, name: pytest.fail("it has not changed"))
            patch.setattr(Remote, "write", lambda place, name, content: pytest.fail("its age is known"))
            assert watcher.living_holder() is not None
            time.sleep(QUICK.stale + 0.1)
            assert watcher.living_holder() is None
        of_another_machine(uri)  # renewed
        holder = watcher.living_holder()
        assert holder is not None
        assert holder.run_id == "theirs"
    Remote(uri).delete(NAME)
    assert watcher.living_holder() is None


def test_a_dead_process_of_this_machine_is_no_obstacle(make_lease: MakeLease, uri: str) -> None:
    code = (
        "import os, signal\n"
        "from results.store.lease import Lease\n"
        f"with Lease({uri!r}, 'sweep', 'theirs').held():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        process.wait(60)
        assert Remote(uri).read(NAME) is not None
        with make_lease("ours", Timing(settle=0.3)).held():
            pass


def test_a_damaged_lease_is_no_obstacle(make_lease: MakeLease, uri: str) -> None:
    for content in (b"", b"{", b"[]", b'{"run_id": 1}'):
        Remote(uri).write(NAME, content)
        assert make_lease("").living_holder() is None
    with make_lease("ours").held():
        pass


def test_clocks_of_machines_do_not_matter(make_lease_in_bucket: MakeLease, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_lease_in_bucket("one").held():
        monkeypatch.setattr("results.store.lease.time.time_ns", lambda: 0)
        assert make_lease_in_bucket("").living_holder() is not None
        monkeypatch.setattr("results.store.lease.time.time_ns", lambda: 2**62)
        assert make_lease_in_bucket("").living_holder() is not None


def test_a_run_whose_lease_was_taken_over_stops(make_lease: MakeLease, uri: str, stopped: threading.Event) -> None:
    with pytest.raises(UserError, match=r"another run.*has taken the sweep 'sweep' over"), make_lease("ours").held():
        of_another_machine(uri)
        assert stopped.wait(5)
    assert b"theirs" in (Remote(uri).read(NAME) or b"")  # not ours to remove


def test_a_run_whose_store_stays_away_stops(
    make_lease_in_bucket: MakeLease, s3: S3Server, stopped: threading.Event
) -> None:
    message = "run the same command when it is back"
    try:
        with pytest.raises(UserError, match=message), make_lease_in_bucket("ours").held():
            s3.down()
            assert stopped.wait(15)
    finally:
        s3.up()


def test_a_hiccup_does_not_cost_the_lease(
    make_lease_in_bucket: MakeLease, s3: S3Server, stopped: threading.Event
) -> None:
    lease = make_lease_in_bucket("ours", dataclasses.replace(QUICK, stale=60.0, lost=60.0))
    with lease.held():
        before = lease.living_holder()
        assert before is not None
        s3.down()
        time.sleep(0.5)
        s3.up()
        until = time.monotonic() + 30
        while (after := lease.living_holder()) == before and time.monotonic() < until:
            time.sleep(0.2)
        assert after is not None
        assert after.run_id == "ours"
        assert after.heartbeat > before.heartbeat  # it is renewed again
    assert not stopped.is_set()
