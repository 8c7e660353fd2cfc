"""One driver a sweep where there are no file locks: a lease, a small file that its holder keeps writing anew.

A lease that has not been renewed for a minute is anybody's. Its age is told by the server's clock alone: by the
times of the lease and of a file that is written now. Where the holder was a process of this machine that has
died, nobody needs to wait.
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
    """In seconds."""

    renew: float = 15.0
    stale: float = 60.0
    """Without a renewal for so long, the lease is free."""
    settle: float = 1.0
    """Between writing it and looking whether somebody else did at the same time."""
    lost: float = 300.0
    """Without an answer for so long, a run is stopped: what it trains cannot be recorded."""


TIMING = Timing()


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """What a lease says of its holder."""

    run_id: str
    host: str
    machine: str
    """Identity of the running kernel and of its process name space; empty where unknown."""
    process: str
    """Process number and start time: unlike the number alone, never given twice."""
    heartbeat: str
    """UTC by the holder's clock, for people."""


class Lease:
    """Of one sweep, by one run."""

    def __init__(self, uri: str, sweep: str, run_id: str = "", timing: Timing | None = None) -> None:
        self._uri = uri
        self._remote = Remote(uri)
        self._sweep = sweep
        self._name = f"{sweep}/{LEASE}"
        self._run_id = run_id
        self._timing = timing or TIMING
        self._over = threading.Event()
        self._trouble: str | None = None
        self._seen: tuple[Stamp, Holder, float] | None = None

    def living_holder(self) -> Holder | None:
        """Whoever drives the sweep now. A lease that was alive is read again, and its age asked for, once it has
        changed."""
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
        """Inside, this run alone drives the sweep; where it has come to lose that, it is stopped as by SIGTERM.

        Raises:
            LedgerBusyError: another run drives it.
            UserError: at the end, where this run was stopped.
        """
        self._acquire()
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._over.set()
            keeper.join()
            if self._trouble is None:
                self._release()
            else:
                raise UserError(self._trouble)

    def _acquire(self) -> None:
        """Of two at once the later to write wins, if both look after that; else the earlier finds out and stops."""
        if self.living_holder() is not None:
            raise LedgerBusyError(self._name)
        self._write(self._remote)
        time.sleep(self._timing.settle)
        found = self._read(self._remote)
        if found is None or found.run_id != self._run_id:
            raise LedgerBusyError(self._name)

    def _keep(self) -> None:
        """Renew, in a thread of its own, until the run is over or has to be stopped."""
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
                    self._stop(f"{error}: the same command goes on when it is back")
                    return

    def _stop(self, trouble: str) -> None:
        self._trouble = trouble
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _release(self) -> None:
        """A lease that stays behind is free in a minute."""
        remote = Remote(self._uri, patience_seconds=0.0)
        with contextlib.suppress(RemoteError):
            found = self._read(remote)
            if found is not None and found.run_id == self._run_id:
                remote.delete(self._name)

    def _read(self, remote: Remote) -> Holder | None:
        """None where there is no lease, or only a damaged one."""
        try:
            return Holder(**json.loads(remote.read(self._name) or b""))
        except (ValueError, TypeError):
            return None

    def _write(self, remote: Remote) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(self._run_id, platform.node(), _machine(), _process(os.getpid()), now)
        remote.write(self._name, json.dumps(dataclasses.asdict(holder)).encode() + b"\n")

    def _server_time_ns(self) -> int:
        """By a file that is written now; by this machine's clock where we may only read."""
        name = f"{self._sweep}/.clock-{uuid.uuid4().hex}"
        try:
            self._remote.write(name, b"\n")
            stamp = self._remote.stamp(name)
            self._remote.delete(name)
        except RemoteError:
            stamp = None
        return stamp.mtime_ns if stamp else time.time_ns()


def _machine() -> str:
    """Empty on systems without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process(pid: int) -> str:
    """Empty where no such process lives."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, start_time = fields[0], fields[19]
    return "" if state in "ZX" else f"{pid} {start_time}"


def _is_dead(holder: Holder) -> bool:
    """True only where it can be told: the holder was a process of this machine, and has gone."""
    pid = holder.process.partition(" ")[0]
    if not holder.machine or holder.machine != _machine() or not pid.isdecimal():
        return False
    return _process(int(pid)) != holder.process
