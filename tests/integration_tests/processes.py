"""The processes of a sweep on this machine, found through `ps`: the driver, Ray's own, the trials' workers."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

WORKER = "Trainable"
"""Part of the title of every process that runs a trial."""


def family(pid: int) -> dict[int, str]:
    """Return the titles of a living process and of all its descendants, by process id."""
    listing = subprocess.run(
        ["ps", "-ww", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    parents, titles = {}, {}
    for line in listing.splitlines():
        child, parent, *title = line.split(maxsplit=2)
        parents[int(child)], titles[int(child)] = int(parent), " ".join(title)
    found = {pid} & titles.keys()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {member: titles[member] for member in sorted(found)}


def trial_workers(driver: int) -> list[int]:
    """List the descendants of a driver that run trials."""
    return [pid for pid, title in family(driver).items() if WORKER in title]


def holder(driver: int, path: Path) -> int | None:
    """Return the descendant of a driver that has this file open, or None."""
    for pid in family(driver).keys() - {driver}:
        with contextlib.suppress(OSError):
            if any(link.resolve() == path for link in Path(f"/proc/{pid}/fd").iterdir()):
                return pid
    return None


def kill(pids: list[int]) -> None:
    """Send SIGKILL to all at once; processes that have ended already do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
