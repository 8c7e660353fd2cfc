"""The memory that this process may still use."""

import os
from pathlib import Path

from trainable.errors import UserError
from trainable.wording import counted

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def check_fits(where: str, size: tuple[int, int], num_images: int, needed: int) -> None:
    """Check that decoded images fit into memory, before it is allocated.

    Args:
        where: the file, and the row, of one of the largest images.
        size: its width and height.
        needed: the bytes that all images need.

    Raises:
        UserError: they do not fit.
    """
    free = available_bytes()
    if needed > free:
        raise UserError(
            f"{where}: images of {size[0]}x{size[1]} pixels; all {counted(num_images, 'image')} need "
            f"{needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free"
        )


def available_bytes() -> int:
    """Return the bytes that can be allocated without swapping, within the limit of a container."""
    return min(_machine_bytes(), _container_bytes())


def _machine_bytes() -> int:
    try:
        lines = MEMINFO.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container_bytes() -> int:
    """Return what the control group's limit leaves; page cache that can be dropped is not counted as used."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no limit ("max"), or no control groups of version 2
        return 2**62
