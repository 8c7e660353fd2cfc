"""A lease: the lock of a sweep in a remote store, where there are no file locks.

The lease is a small file that its holder keeps renewing. A lease that has not been renewed for a minute is free. Its
age is measured by the server's clock alone: by the times of the lease and of a file that is written now. A process of
this machine that has died holds no lease.

A holder may be frozen (a closed lid, SIGSTOP) and wake up after another run has taken the lease over. So each holder
has a number, the fencing token, larger than those of all holders before it; a released lease stays in the store and
keeps the token. A holder reads the lease before each write (`fenced`). If the lease is missing or another's, the
holder has lost the sweep. If it is the holder's own but was not renewed in time, it is acquired again before anything
is written.

pyarrow has no conditional PUT, so a holder that freezes between reading the lease and writing still writes one file
when it wakes up. Logs are safe from that (`results.store.remote_journal`); other files are whole and are written
again by the next run.
"""

import contextlib
import dataclasses
import threading
import time
import uuid
from collections.abc import Iterator

from results.store.holder import (
    RECORD,
    RENEW_SECONDS,
    STALE_SECONDS,
    Holder,
    holder_from_json,
    holder_to_json,
    is_alive,
    this_process,
    utc,
)
from trainable.errors import SweepLostError, UserError
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import Remote, RemoteError, Stamp

LEASE = RECORD

SERVER_TICK = 1.0
"""Servers tell the time of a file in whole seconds, so a lease may seem to be older by so much."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """The intervals of a lease, in seconds."""

    renew: float = RENEW_SECONDS
    """Time between two renewals."""
    stale: float = STALE_SECONDS
    """Time without a renewal after which the lease is free."""
    settle: float = 1.0
    """Time between writing the lease and checking whether another run has written it, too."""
    lost: float = 300.0
    """Time without an answer after which a run is stopped, because what it trains cannot be recorded."""


TIMING = Timing()


class Lease:
    """The lease of one sweep, as one run or one observer sees it."""

    def __init__(self, uri: str, sweep: str, run_id: str = "", timing: Timing | None = None) -> None:
        self.token = 0
        """Fencing token of this holder."""
        self.after_takeover = False
        """Whether a run that lost the lease, to this holder or one before it, may still wake up."""
        self.read_only = False
        """Whether nothing may be written in order to look; the time is then that of this machine's clock."""
        self._uri = uri
        self._remote = Remote(uri)
        self._sweep = sweep
        self._name = f"{sweep}/{LEASE}"
        self._run_id = run_id
        self._timing = timing or TIMING
        self._since = ""
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._renewed_at = 0.0
        self._problem: UserError | None = None
        self._seen: tuple[Stamp, Holder, float] | None = None

    def living_holder(self) -> Holder | None:
        """Return the holder of the lease, if the lease is not free.

        A lease is read, and its age measured, only when it has changed since the last call.
        """
        stamp = self._remote.stamp(self._name)
        if stamp is None:
            return None
        if self._seen is None or self._seen[0] != stamp:
            holder = self._read(self._remote)
            if holder is None:
                return None
            age_seconds = 0.0 if holder.released else (self._server_time_ns() - stamp.mtime_ns) / 1e9
            self._seen = stamp, holder, _now() - age_seconds
        _, holder, written_at = self._seen
        is_stale = _now() - written_at >= self._timing.stale
        return None if holder.released or is_stale or is_alive(holder) is False else holder

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease in a context. The run in it has to ask, with `raise_problem`, whether it must stop.

        Raises:
            LedgerBusyError: another run drives the sweep.
            UserError: as `raise_problem`; raised when the context ends.
        """
        self._acquire()
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            was_retired = self._over.is_set()
            self._over.set()
            keeper.join()
            if not was_retired:
                self._release()

    def raise_problem(self) -> None:
        """
        Raises:
            SweepLostError: the lease is known to be lost.
            UserError: the store has not answered for too long.
        """
        if self._problem is not None:
            raise self._problem

    def check(self, remote: Remote) -> None:
        """Read the lease, and acquire it again if it was not renewed in time.

        Raises:
            SweepLostError: the lease is missing, damaged or another's.
            RemoteError: the store does not answer.
        """
        with self._lock:
            self.raise_problem()
            self._confirm(remote, renew=False)

    @contextlib.contextmanager
    def fenced(self, remote: Remote) -> Iterator[None]:
        """Check the lease, then let the context write one file; the errors are those of `check`.

        If so much time has passed since the last renewal that the lease may be lost, it is checked again afterwards:
        nothing counts as written that a successor may not have seen.
        """
        self.check(remote)
        renewed_at = self._renewed_at
        yield
        if _now() - renewed_at >= self._timing.stale - SERVER_TICK:
            self.check(remote)

    def retire(self) -> None:
        """Stop renewing the lease, which is about to be deleted with its sweep."""
        with self._lock:
            self._over.set()

    def _acquire(self) -> None:
        """Write the lease, and check that it is still ours.

        If two runs do so at once, the later one wins. A run that checked too early finds out when it renews.
        """
        if self.living_holder() is not None:
            raise LedgerBusyError(self._name)
        began_at = _now()
        found = self._read(self._remote)
        if found is not None:
            is_abandoned = not found.released and is_alive(found) is not False
            self.token, self.after_takeover = found.token, found.after_takeover or is_abandoned
        self.token += 1
        self._since = utc()
        self._write(self._remote)
        time.sleep(self._timing.settle)
        if not self._is_ours(self._read(self._remote)) or _now() - began_at >= self._timing.stale:
            raise LedgerBusyError(self._name)
        self._renewed_at = began_at

    def _keep(self) -> None:
        """Renew the lease until the run is over or has to be stopped; runs in a thread of its own."""
        remote = Remote(self._uri, patience_seconds=0.0)
        answered_at = time.monotonic()
        while not self._over.wait(self._timing.renew):
            try:
                with self._lock:
                    if self._over.is_set() or self._problem is not None:
                        return
                    self._confirm(remote, renew=True)
                answered_at = time.monotonic()
            except SweepLostError:
                return
            except RemoteError as error:
                if time.monotonic() - answered_at > self._timing.lost:
                    self._problem = UserError(f"{error}: run the same command when it is back")
                    return

    def _confirm(self, remote: Remote, *, renew: bool) -> None:
        """Check that the lease is ours, and write it if it is to be renewed or was not renewed in time."""
        began_at = _now()
        is_late = began_at - self._renewed_at >= self._timing.stale
        found = self._read(remote)
        is_ours = self._is_ours(found)
        # A smaller token was written by a run that had lost the lease and froze while it renewed it.
        if not is_ours and not (found is not None and 0 < found.token < self.token):
            raise self._lost(found)
        if is_ours and not renew and not is_late:
            return
        self.token += is_late
        self._write(remote)
        if is_late:  # another run may have begun to take it over
            time.sleep(self._timing.settle)
            found = self._read(remote)
            if not self._is_ours(found):
                raise self._lost(found)
        if _now() - began_at >= self._timing.stale:  # and we may have overwritten its lease
            raise self._lost(found)
        self._renewed_at = began_at

    def _is_ours(self, found: Holder | None) -> bool:
        return found is not None and found.run_id == self._run_id

    def _lost(self, found: Holder | None) -> SweepLostError:
        """Note that the lease is lost, and return the error that says to whom."""
        if found is None:
            reason = f"the lock of the sweep {self._sweep!r} ({self._remote.shown}/{self._name}) is gone"
        elif self._is_ours(found):
            reason = f"another run may have taken the sweep {self._sweep!r} over while this one stood still"
        else:
            began = f", at {found.since}" if found.since else ""
            ended = f" and ended at {found.released}" if found.released else ""
            reason = f"another run, on {found.host}, has taken the sweep {self._sweep!r} over{began}{ended}"
        self._problem = SweepLostError(f"{reason}: this run has stopped, and wrote nothing more")
        return self._problem

    def _release(self) -> None:
        """Mark the lease as released. If that fails, it is free after a minute."""
        remote = Remote(self._uri, patience_seconds=0.0)
        with contextlib.suppress(RemoteError):
            self.check(remote)
            self._write(remote, released=utc())

    def _read(self, remote: Remote) -> Holder | None:
        """Return the holder; None if there is no lease, or it is damaged."""
        return holder_from_json(remote.read(self._name) or b"")

    def _write(self, remote: Remote, released: str = "") -> None:
        holder = this_process(
            self._run_id,
            since=self._since,
            token=self.token,
            after_takeover=self.after_takeover,
            released=released,
        )
        remote.write(self._name, holder_to_json(holder))

    def _server_time_ns(self) -> int:
        """Return the time of a file that is written now, or of this machine's clock if the store is read-only."""
        if self.read_only:
            return time.time_ns()
        name = f"{self._sweep}/.clock-{uuid.uuid4().hex}"
        try:
            self._remote.write(name, b"\n")
            stamp = self._remote.stamp(name)
            self._remote.delete(name)
        except RemoteError:
            stamp = None
        return stamp.mtime_ns if stamp else time.time_ns()


def _now() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps, if the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
