"""A lease: the lock of a sweep in a remote store, where there are no file locks.

The lease is a small file that its holder keeps renewing. A lease that has not been renewed for a minute is free. Its
age is measured by the server's clock alone: by the times of the lease and of a file that is written now. A process of
this machine that has died holds no lease.
"""

import contextlib
import dataclasses
import json
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from trainable.errors import UserError
from trainable.ledger.locks import LedgerBusyError
from trainable.ledger.remote import Remote, RemoteError, Stamp

LEASE = "lock.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """The intervals of a lease, in seconds."""

    renew: float = 15.0
    """Time between two renewals."""
    stale: float = 60.0
    """Time without a renewal after which the lease is free."""
    settle: float = 1.0
    """Time between writing the lease and checking whether another run has written it, too."""
    lost: float = 300.0
    """Time without an answer after which a run is stopped, because what it trains cannot be recorded."""


TIMING = Timing()


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lease, as the lease names it."""

    run_id: str
    """Identifier of the holder's run."""
    host: str
    """Host name of the holder's machine, for messages."""
    machine: str
    """Identity of the running kernel and of its process name space; empty if unknown."""
    process: str
    """Process number and start time, which together are never used twice."""
    heartbeat: str
    """Time of the last renewal in UTC, by the holder's clock, for people."""


class Lease:
    """The lease of one sweep, as one run or one observer sees it."""

    def __init__(self, uri: str, sweep: str, run_id: str = "", timing: Timing | None = None) -> None:
        self._uri = uri
        self._remote = Remote(uri)
        self._sweep = sweep
        self._name = f"{sweep}/{LEASE}"
        self._run_id = run_id
        self._timing = timing or TIMING
        self._over = threading.Event()
        self._problem: str | None = None
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
            age_seconds = (self._server_time_ns() - stamp.mtime_ns) / 1e9
            self._seen = stamp, holder, time.monotonic() - age_seconds
        _, holder, written_at = self._seen
        is_stale = time.monotonic() - written_at >= self._timing.stale
        return None if is_stale or _is_dead(holder) else holder

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease in a context. A run that loses it is stopped with SIGTERM.

        Raises:
            LedgerBusyError: another run drives the sweep.
            UserError: this run was stopped; raised when the context ends.
        """
        self._acquire()
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._over.set()
            keeper.join()
            if self._problem is None:
                self._release()
            else:
                raise UserError(self._problem)

    def _acquire(self) -> None:
        """Write the lease, and check that it is still ours.

        If two runs do so at once, the later one wins. A run that checked too early finds out when it renews.
        """
        if self.living_holder() is not None:
            raise LedgerBusyError(self._name)
        self._write(self._remote)
        time.sleep(self._timing.settle)
        found = self._read(self._remote)
        if found is None or found.run_id != self._run_id:
            raise LedgerBusyError(self._name)

    def _keep(self) -> None:
        """Renew the lease until the run is over or has to be stopped; runs in a thread of its own."""
        remote = Remote(self._uri, patience_seconds=0.0)
        answered_at = time.monotonic()
        while not self._over.wait(self._timing.renew):
            try:
                found = self._read(remote)
                if found is not None and found.run_id != self._run_id:
                    self._stop(f"another run, on {found.host}, has taken the sweep {self._sweep!r} over")
                    return
                self._write(remote)
                answered_at = time.monotonic()
            except RemoteError as error:
                if time.monotonic() - answered_at > self._timing.lost:
                    self._stop(f"{error}: run the same command when it is back")
                    return

    def _stop(self, problem: str) -> None:
        self._problem = problem
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _release(self) -> None:
        """Delete the lease. If that fails, it is free after a minute."""
        remote = Remote(self._uri, patience_seconds=0.0)
        with contextlib.suppress(RemoteError):
            found = self._read(remote)
            if found is not None and found.run_id == self._run_id:
                remote.delete(self._name)

    def _read(self, remote: Remote) -> Holder | None:
        """Return the holder; None if there is no lease, or it is damaged."""
        try:
            return Holder(**json.loads(remote.read(self._name) or b""))
        except (ValueError, TypeError):
            return None

    def _write(self, remote: Remote) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(self._run_id, platform.node(), _machine(), _process(os.getpid()), now)
        remote.write(self._name, json.dumps(dataclasses.asdict(holder)).encode() + b"\n")

    def _server_time_ns(self) -> int:
        """Return the time of a file that is written now, or of this machine's clock if the store is read-only."""
        name = f"{self._sweep}/.clock-{uuid.uuid4().hex}"
        try:
            self._remote.write(name, b"\n")
            stamp = self._remote.stamp(name)
            self._remote.delete(name)
        except RemoteError:
            stamp = None
        return stamp.mtime_ns if stamp else time.time_ns()


def _machine() -> str:
    """Return the identity of this machine; empty on systems without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process(pid: int) -> str:
    """Return the identity of a process; empty if it does not live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, start_time = fields[0], fields[19]
    return "" if state in "ZX" else f"{pid} {start_time}"


def _is_dead(holder: Holder) -> bool:
    """Return whether the holder is known to be dead: it was a process of this machine and no longer lives."""
    pid = holder.process.partition(" ")[0]
    if not holder.machine or holder.machine != _machine() or not pid.isdecimal():
        return False
    return _process(int(pid)) != holder.process
