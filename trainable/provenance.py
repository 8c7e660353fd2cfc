"""Where a number comes from: the source, the libraries, the machine. Free of torch at import."""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "torchvision", "ray", "numpy")
TRAINING_SOURCES = ("models", "trainable")
"""The packages whose source decides what a training computes."""
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver for Linux describes what it found, a folder a GPU."""


@functools.cache
def source_hash() -> str:
    """First 12 hex digits of the SHA-256 over the training source: equal on driver and worker, or refused."""
    digest = hashlib.sha256()
    for package in TRAINING_SOURCES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@functools.cache
def git_commit() -> str:
    """The commit checked out, 12 digits, with '-dirty' where tracked files differ; '' outside git."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def code_identity() -> str:
    """`commit/source hash`: what the rows say about the code that made them."""
    return f"{git_commit()}/{source_hash()}"


def host_name() -> str:
    return platform.node()


@functools.cache
def versions() -> dict[str, str]:
    """Package -> version of what a training rests on, Python included; '' where a package is missing."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found


@functools.cache
def processor_name() -> str:
    """The processor as the kernel names it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_names() -> list[str]:
    """The NVIDIA GPUs of this machine as their driver, and torch, name them; none where they are hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return []
    names = []
    for path in sorted(NVIDIA_GPUS.glob("*/information")):
        with contextlib.suppress(OSError):
            fields = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
            names.append(fields.get("Model", "").strip())
    return names
