"""The processors that this process may use. Does not import torch."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_OF_PROCESS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
SLURM_CPUS = "SLURM_CPUS_PER_TASK"


def usable_processors() -> int:
    """Return the number of processors that this process may use, at least 1.

    It is the least of its affinity (`taskset`, a cpuset), the quota of its control groups (a container), rounded
    down, and the processors that Slurm gives to its task.
    """
    slurm = os.environ.get(SLURM_CPUS, "")
    allotted = [int(slurm)] if slurm.isdecimal() else []
    return max(1, int(min([len(os.sched_getaffinity(0)), *_quotas(), *allotted])))


def idle_processors() -> int:
    """Return how many of the usable processors the load of the last minute leaves idle, at least 1."""
    busy = min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    return max(1, round(usable_processors() * (1 - busy)))


def _quotas() -> Iterator[float]:
    """Yield the limits, in processors, of this process's control groups and of all groups above them."""
    with contextlib.suppress(OSError):  # no control groups
        for line in CGROUP_OF_PROCESS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:  # version 2 has one hierarchy for all
                root, files = CGROUPS, ["cpu.max"]
            elif "cpu" in controllers.split(","):
                root, files = CGROUPS / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
            else:
                continue
            group = root / path.strip("/")  # inside a container perhaps the machine's path, which is not seen there
            for folder in (parent for parent in (group, *group.parents) if parent.is_relative_to(root)):
                with contextlib.suppress(OSError, ValueError):  # ValueError: `max`
                    limits = " ".join((folder / file).read_text() for file in files)
                    quota, period = map(int, limits.split())
                    if quota > 0:  # -1: no limit
                        yield quota / period
