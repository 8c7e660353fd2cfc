"""The record of who drives a sweep: of a driver that holds a lease, or the lock of a sweep in a folder.

A driver of this machine lives if its process does. Of one elsewhere (another machine, or a container of this one)
only the age of its record tells: it is renewed as long as the driver lives.
"""

import dataclasses
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from trainable.ledger.checksums import parse_json

RECORD = "lock.json"
RENEW_SECONDS = 15.0
"""Time between two renewals of a record."""
STALE_SECONDS = 60.0
"""Time without a renewal after which a driver that cannot be asked counts as dead."""


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """The driver of a sweep, as its record names it."""

    run_id: str
    """Identifier of the holder's run."""
    host: str
    """Host name of the holder's machine, for messages."""
    machine: str
    """Identity of the running kernel and of its process name space; empty if unknown."""
    process: str
    """Process number and start time, which together are never used twice."""
    heartbeat: str
    """Time at which the record was written, in UTC, by the holder's clock, for people."""
    token: int = 0
    """Fencing token of a lease; 0 in a folder, and in leases of earlier versions."""
    since: str = ""
    """Time at which the holder began to drive, in UTC, by the holder's clock."""
    after_takeover: bool = False
    """Whether this holder, or one before it, took the lease over from a run that may still wake up."""
    released: str = ""
    """Time at which the lease was released; empty while it is held."""


def this_process(
    run_id: str, *, since: str, token: int = 0, after_takeover: bool = False, released: str = ""
) -> Holder:
    """Return this process as a holder."""
    heartbeat = datetime.now(UTC).isoformat(timespec="seconds")
    process = _process(os.getpid())
    return Holder(run_id, platform.node(), _machine(), process, heartbeat, token, since, after_takeover, released)


def holder_to_json(holder: Holder) -> bytes:
    """Return the content of a record."""
    return json.dumps(dataclasses.asdict(holder)).encode() + b"\n"


def holder_from_json(content: bytes) -> Holder | None:
    """Return the holder that a record names; None if the record is missing or damaged."""
    try:
        holder = Holder(**parse_json(content))
    except (ValueError, TypeError):
        return None
    is_valid = all(type(getattr(holder, field.name)) is field.type for field in dataclasses.fields(holder))
    return holder if is_valid else None


def is_alive(holder: Holder) -> bool | None:
    """Return whether the process of a holder lives; None if that cannot be told from here."""
    pid = holder.process.partition(" ")[0]
    if not holder.machine or holder.machine != _machine() or not pid.isdecimal():
        return None
    if _process(int(pid)) == holder.process:
        return True
    return None if _is_hidden(int(pid)) else False


def utc() -> str:
    """Return the present time for people."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


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


def _is_hidden(pid: int) -> bool:
    """Return whether another user's process lives that /proc does not show (its mount option `hidepid`)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not os.access(f"/proc/{pid}/stat", os.R_OK)
    except (OSError, OverflowError):
        return False
    return False
