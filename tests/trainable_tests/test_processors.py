"""The processors that this process may use, under each way to allot them."""

import os
from pathlib import Path

import pytest

from trainable import processors
from trainable.processors import idle_processors, usable_processors


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 processors without limits; gives the root of its control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "CGROUP_OF_PROCESS", tmp_path / "of_process")
    monkeypatch.delenv(processors.SLURM_CPUS, raising=False)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({}, 16),
        ({"of_process": "0::/\n", "cpu.max": "max 100000\n"}, 16),
        ({"of_process": "0::/\n", "cpu.max": "250000 100000\n"}, 2),
        ({"of_process": "0::/\n", "cpu.max": "50000 100000\n"}, 1),
        ({"of_process": "0::/a/b\n", "a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ({"of_process": "0::/docker/abc\n", "cpu.max": "400000 100000\n"}, 4),
        (
            {
                "of_process": "4:memory:/a\n3:cpuacct,cpu:/a\n0::/\n",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "cpu/a/cpu.cfs_quota_us": "500000\n",
                "cpu/a/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        ({"of_process": "0::/\n", "cpu.max": ""}, 16),
    ],
)
def test_quotas_of_control_groups(machine: Path, files: dict[str, str], usable: int) -> None:
    write(machine, files)
    assert usable_processors() == usable


def test_the_least_limit_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(machine, {"of_process": "0::/\n", "cpu.max": "600000 100000\n"})
    monkeypatch.setenv(processors.SLURM_CPUS, "8")
    assert usable_processors() == 6
    monkeypatch.setenv(processors.SLURM_CPUS, "4")
    assert usable_processors() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7})
    assert usable_processors() == 1


@pytest.mark.parametrize(("load", "idle"), [(0.0, 16), (4.1, 12), (15.9, 1), (99.0, 1)])
def test_busy_processors_are_left_alone(
    machine: Path, monkeypatch: pytest.MonkeyPatch, load: float, idle: int
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert idle_processors() == idle
