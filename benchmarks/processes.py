"""The processes of a sweep on this machine, found through `ps`: the driver, Ray's own, the trials' workers."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

WORKER = "Trainable"
"""Stands in the title of every process that runs a trial."""


def family(pid: int) -> dict[int, str]:
    """Process id -> title, of a living process and all below it."""
    listing = subprocess.run(
        ["ps", "-ww", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    parents, titles = {}, {}
    for line in listing.splitlines():
        one, parent, *title = line.split(maxsplit=2)
        parents[int(one)], titles[int(one)] = int(parent), " ".join(title)
    found = {pid} & titles.keys()
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: titles[one] for one in sorted(found)}


def trial_workers(driver: int) -> list[int]:
    """Processes below a driver that run trials."""
    return [pid for pid, title in family(driver).items() if WORKER in title]


def holder(driver: int, path: Path) -> int | None:
    """The process below a driver, itself apart, that has this file open; None where none has."""
    for pid in family(driver).keys() - {driver}:
        with contextlib.suppress(OSError):
            if any(link.resolve() == path for link in Path(f"/proc/{pid}/fd").iterdir()):
                return pid
    return None


def kill(pids: list[int]) -> None:
    """SIGKILL, all at once; those that are gone already do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
