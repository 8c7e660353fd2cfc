"""CUDA's Multi-Process Service for the time of a measurement; no setting of the GPU is changed.

Processes under the service run kernels at the same time instead of taking turns
(https://docs.nvidia.com/deploy/mps/). Its sockets and logs lie in a temporary folder.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

CONTROL = "nvidia-cuda-mps-control"
WAIT_SECONDS = 6.0


class MpsUnavailableError(Exception):
    """The service cannot be used; the message says why."""


@contextlib.contextmanager
def running_mps(use_gpu: bool) -> Iterator[None]:
    """Run the service for processes started inside the block; raise MpsUnavailableError where it does not start."""
    if not use_gpu:
        raise MpsUnavailableError("the device is not a GPU")
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        paths = {f"CUDA_MPS_{kind}_DIRECTORY": str(Path(folder) / kind.lower()) for kind in ("PIPE", "LOG")}
        for path in paths.values():
            Path(path).mkdir()
        with mock.patch.dict(os.environ, paths):
            try:
                _control("-d")
                yield
            finally:
                with contextlib.suppress(MpsUnavailableError):
                    _control(request="quit -t 2\n")  # does not wait for clients that hang


def check_clients() -> None:
    """Raise MpsUnavailableError unless the processes using the GPU now do so through the running service."""
    if not _control(request="get_server_list\n"):
        raise MpsUnavailableError("the processes did not reach the service")


def _control(*options: str, request: str = "") -> str:
    """Run the control program and return what it prints; raise MpsUnavailableError where it fails."""
    with tempfile.TemporaryFile("w+") as output:  # not a pipe: the daemon would keep it open
        try:
            process = subprocess.Popen(
                [CONTROL, *options], stdin=subprocess.PIPE, stdout=output, stderr=output, text=True
            )
            process.communicate(request, timeout=WAIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MpsUnavailableError(f"{CONTROL}: {type(error).__name__}") from None
        output.seek(0)
        text = output.read().strip()
    if process.returncode:
        raise MpsUnavailableError(f"{CONTROL} failed with exit status {process.returncode}: {text}")
    return text
