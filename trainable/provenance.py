"""The origin of a result: source code, library versions and machine. Does not import torch."""

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
"""Packages whose source decides what a training computes."""
SOURCE_FILES = ("*.py", "*.cpp")
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
"""Folder in which NVIDIA's driver for Linux describes each GPU."""
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
"""Environment variable with the GPUs that CUDA may use: numbers or UUIDs, separated by commas."""


@functools.cache
def source_hash() -> str:
    """Return the first 12 hex digits of the SHA-256 of the training source; driver and workers must agree on it."""
    digest = hashlib.sha256()
    for package in TRAINING_SOURCES:
        for path in sorted(path for pattern in SOURCE_FILES for path in (ROOT / package).rglob(pattern)):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@functools.cache
def git_commit() -> str:
    """Return the 12 digits of the current commit, with '-dirty' if tracked files differ; '' outside git."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def code_identity() -> str:
    """Return `commit/source hash`, the identity of the code in the results."""
    return f"{git_commit()}/{source_hash()}"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of PACKAGES by name; '' if a package is missing."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found


@functools.cache
def processor_name() -> str:
    """Return the name of the processor, from the kernel."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus_are_hidden() -> bool:
    """Return whether CUDA_VISIBLE_DEVICES hides all GPUs of this machine."""
    return os.environ.get(VISIBLE_GPUS, "0").split(",")[0].strip() in ("", "-1", "NoDevFiles")


def gpu_names() -> list[str]:
    """Return the names of the NVIDIA GPUs that this process may use, as torch writes them.

    As in CUDA, the first entry of CUDA_VISIBLE_DEVICES that names no GPU ends the list.
    """
    if gpus_are_hidden():
        return []
    found: dict[str, str] = {}
    for path in sorted(NVIDIA_GPUS.glob("*/information")):
        with contextlib.suppress(OSError):
            fields = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
            found[fields.get("GPU UUID", str(path)).strip()] = fields.get("Model", "").strip()
    if VISIBLE_GPUS not in os.environ:
        return list(found.values())
    names = []
    for entry in os.environ[VISIBLE_GPUS].split(","):
        chosen = entry.strip()
        if chosen.isdecimal():
            matching = list(found.values())[int(chosen) :]
        else:  # a UUID, or the beginning of one; a part of a GPU (MIG) has a UUID that the driver does not list
            matching = [name for uuid, name in found.items() if uuid.startswith(chosen) or chosen.startswith("MIG-")]
        if not matching:
            break
        names.append(matching[0])
    return names
