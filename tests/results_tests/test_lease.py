"""One driver a sweep where there are no file locks."""

import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.store.holder import Holder
from results.store.lease import LEASE, Lease, Timing
from tests.refusals import loses_sweep
from tests.s3_server import S3Server
from trainable.errors import SweepLostError, UserError
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import Remote, RemoteError

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


class Clock:
    """The clock of all leases of a test, which stands still."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("results.store.lease._now", lambda: clock.now)
    return clock


def wait_until_stopped(lease: Lease, seconds: float = 5.0) -> None:
    """Wait until the run under this lease has been told to stop; it then raises."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        lease.raise_problem()
        time.sleep(0.02)
    pytest.fail("it is not told to stop")


def found_in(uri: str) -> dict[str, Any]:
    """The lease, as it lies in the store."""
    values: dict[str, Any] = json.loads(Remote(uri).read(NAME) or b"")
    return values


def of_another_machine(uri: str) -> None:
    """Whoever holds the lease now is a process that we know nothing about."""
    Remote(uri).write(NAME, json.dumps(found_in(uri) | {"machine": "another", "run_id": "theirs"}).encode())


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


def test_it_is_free_after_the_run_and_the_next_token_is_larger(make_lease: MakeLease, uri: str) -> None:
    with pytest.raises(RuntimeError, match="broke"), make_lease("one").held():
        raise RuntimeError("broke")
    assert make_lease("").living_holder() is None
    assert Remote(uri).stamps("").keys() == {NAME}
    for token in (2, 3):
        lease = make_lease("two")
        with lease.held():
            assert found_in(uri)["token"] == lease.token == token
            assert found_in(uri)["released"] == ""
        assert found_in(uri)["released"].endswith(" UTC")
    assert not found_in(uri)["after_takeover"]


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
    theirs = make_lease("theirs", dataclasses.replace(QUICK, renew=60.0))
    with loses_sweep(), theirs.held():
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


def test_a_store_that_may_only_be_read_tells_who_holds_the_lease(
    make_lease: MakeLease, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age of the lease is then told by this machine's clock."""

    def refuse(remote: Remote, name: str, content: bytes) -> None:
        raise RemoteError(uri, "access denied")

    Remote(uri).write(NAME, json.dumps(dataclasses.asdict(Holder("theirs", "host", "another", "", ""))).encode())
    monkeypatch.setattr(Remote, "write", refuse)
    assert make_lease("").living_holder() is not None
    later = time.time_ns() + int(1e9 * QUICK.stale)
    monkeypatch.setattr("results.store.lease.time.time_ns", lambda: later)
    assert make_lease("").living_holder() is None


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


def test_whoever_is_overtaken_while_the_lease_settles_is_refused(
    make_lease: MakeLease, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("results.store.lease.time.sleep", lambda seconds: of_another_machine(uri))
        with pytest.raises(LedgerBusyError), make_lease("ours").held():
            pytest.fail("another run has it")
    assert found_in(uri)["run_id"] == "theirs"


def test_whoever_is_frozen_while_the_lease_settles_is_refused(
    make_lease: MakeLease, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "results.store.lease.time.sleep", lambda seconds: setattr(clock, "now", clock.now + QUICK.stale)
        )
        with pytest.raises(LedgerBusyError), make_lease("ours").held():
            pytest.fail("another run may have it")


LOST = {
    "gone": (None, r"the lock of the sweep 'sweep' \(.*/sweep/lock.json\) is gone"),
    "damaged": ({}, "is gone"),
    "another's": (
        {"host": "far", "since": "yesterday"},
        "another run, on far, has taken the sweep .* over, at yesterday:",
    ),
    "another's that has ended": (
        {"since": "yesterday", "released": "today"},
        "has taken the sweep 'sweep' over, at yesterday and ended at today: this run has stopped",
    ),
    "of an earlier version": ({"token": 0}, "another run"),
    "with a text as its token": ({"token": "1"}, "is gone"),
}


@pytest.mark.parametrize("case", LOST)
def test_a_run_that_has_lost_its_lease_stops(make_lease: MakeLease, uri: str, case: str) -> None:
    """The keeper notices, whoever is about to write notices, and nothing is written to the lease."""
    change, message = LOST[case]
    for renew in (QUICK.renew, 60.0):
        lease = make_lease("ours", dataclasses.replace(QUICK, renew=renew, stale=60.0))
        with loses_sweep(message), lease.held():
            changed = (
                b"{" if change == {} else json.dumps(found_in(uri) | {"run_id": "theirs"} | (change or {})).encode()
            )
            Remote(uri).delete(NAME) if change is None else Remote(uri).write(NAME, changed)
            if renew == QUICK.renew:
                with pytest.raises(SweepLostError):
                    wait_until_stopped(lease)
            with pytest.raises(SweepLostError, match=message), lease.fenced(Remote(uri)):
                pytest.fail("it would write")
        assert Remote(uri).read(NAME) == (None if change is None else changed)
        Remote(uri).delete(NAME)


def test_a_run_that_lost_the_lease_as_it_ends_says_so(make_lease: MakeLease, uri: str) -> None:
    lease = make_lease("ours", dataclasses.replace(QUICK, renew=60.0))
    with loses_sweep("another run"), lease.held():
        of_another_machine(uri)
    assert found_in(uri)["run_id"] == "theirs"  # not ours to release


SLEEPY = dataclasses.replace(QUICK, renew=1e6, stale=60.0)
"""Whoever has this timing is frozen as far as its lease is concerned."""


def test_a_run_that_wakes_up_has_lost_what_another_took_over(make_lease: MakeLease, uri: str, clock: Clock) -> None:
    frozen, watcher = make_lease("one", SLEEPY), make_lease("two", SLEEPY)
    message = r"another run, on .*, has taken .* over, at .* UTC and ended at .* UTC"
    with loses_sweep(message), frozen.held():
        assert watcher.living_holder() is not None
        clock.now += SLEEPY.stale
        with watcher.held():
            assert (watcher.token, watcher.after_takeover) == (2, True)
        frozen.check(Remote(uri))
        pytest.fail("another run has had it")
    later = make_lease("three", SLEEPY)
    with later.held():
        assert (later.token, later.after_takeover) == (3, True)  # the first may still wake up


def test_a_run_that_wakes_up_alone_acquires_its_lease_again(make_lease: MakeLease, uri: str, clock: Clock) -> None:
    lease = make_lease("one", SLEEPY)
    with lease.held():
        clock.now += SLEEPY.stale
        lease.check(Remote(uri))
        assert found_in(uri)["token"] == lease.token == 2
        written = Remote(uri).stamp(NAME)
        lease.check(Remote(uri))
        assert (lease.token, Remote(uri).stamp(NAME)) == (2, written)  # whoever is in time need not write


def test_of_two_that_take_a_late_lease_one_wins(
    make_lease: MakeLease, uri: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = make_lease("one", SLEEPY)
    with loses_sweep("another run"), lease.held():
        clock.now += SLEEPY.stale
        with monkeypatch.context() as patch:
            patch.setattr("results.store.lease.time.sleep", lambda seconds: of_another_machine(uri))
            lease.check(Remote(uri))
        pytest.fail("another run has it")


def test_a_run_that_freezes_while_it_renews_does_not_cost_its_successor_the_lease(
    make_lease: MakeLease, uri: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, successor = make_lease("one", SLEEPY), make_lease("two", SLEEPY)
    read = Lease._read

    def freeze_after_reading(lease: Lease, remote: Remote) -> Holder | None:
        found = read(lease, remote)
        if lease is frozen and clock.now == 1000.0:
            clock.now += SLEEPY.stale
            entered.enter_context(successor.held())
        return found

    with contextlib.ExitStack() as entered:
        with loses_sweep("another run may have taken the sweep"), frozen.held():
            assert successor.living_holder() is not None
            monkeypatch.setattr(Lease, "_read", freeze_after_reading)
            frozen._confirm(Remote(uri), renew=True)
            pytest.fail("it may have overwritten another's lease")
        assert found_in(uri)["run_id"] == "one"
        successor.check(Remote(uri))
        assert found_in(uri)["run_id"] == "two"


def test_a_write_that_takes_long_is_checked_afterwards(make_lease: MakeLease, uri: str, clock: Clock) -> None:
    lease = make_lease("one", SLEEPY)
    with loses_sweep("another run"), lease.held():
        with lease.fenced(Remote(uri)):
            of_another_machine(uri)
            clock.now += SLEEPY.stale
        pytest.fail("another run may have written, too")


def test_a_write_is_checked_afterwards_by_the_age_of_the_lease(make_lease: MakeLease, uri: str, clock: Clock) -> None:
    lease = make_lease("one", SLEEPY)
    with loses_sweep("another run"), lease.held():
        clock.now += 0.9 * SLEEPY.stale  # nothing was renewed
        with lease.fenced(Remote(uri)):
            of_another_machine(uri)
            clock.now += 0.1 * SLEEPY.stale
        pytest.fail("the successor may not have seen what was written")


def test_a_run_whose_store_stays_away_stops(make_lease_in_bucket: MakeLease, s3: S3Server) -> None:
    lease = make_lease_in_bucket("ours")
    try:
        with pytest.raises(UserError, match="run the same command when it is back"), lease.held():
            s3.down()
            wait_until_stopped(lease, 15.0)
    finally:
        s3.up()


def test_a_hiccup_does_not_cost_the_lease(make_lease_in_bucket: MakeLease, s3: S3Server) -> None:
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
        lease.raise_problem()
