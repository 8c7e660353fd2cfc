"""CUDA's Multi-Process Service for the time of a measurement: its own daemon, sockets and logs in a folder of ours.

https://docs.nvidia.com/deploy/mps/: processes under it run kernels at the same time instead of taking turns.
No setting of the GPU is changed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
WAIT_SECONDS = 20.0
LOG_CHARACTERS = 500


class MpsUnavailableError(Exception):
    """Why processes cannot share the GPU this way."""


@dataclass(frozen=True, slots=True)
class Mps:
    """A running control daemon."""

    binary: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For the processes that are to be its clients."""
        return {
            "CUDA_MPS_PIPE_DIRECTORY": str(self.folder / "pipe"),
            "CUDA_MPS_LOG_DIRECTORY": str(self.folder / "log"),
        }

    def ask(self, command: str) -> str:
        """The daemon's answer.

        Raises:
            MpsUnavailableError: it does not answer.
        """
        try:
            answer = subprocess.run(
                [self.binary],
                input=f"{command}\n",
                env=os.environ | self.environment,
                capture_output=True,
                text=True,
                timeout=WAIT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MpsUnavailableError(f"{CONTROL} does not answer: {type(error).__name__}") from None
        if answer.returncode:
            raise MpsUnavailableError(f"{CONTROL} {command}: {_line(answer.stdout + answer.stderr)}")
        return answer.stdout.strip()

    def check_clients(self) -> None:
        """Make sure that the processes, which have begun to use the GPU by now, do so through the service.

        Raises:
            MpsUnavailableError: none of them does.
        """
        if not self.ask("get_server_list"):
            raise MpsUnavailableError(f"the processes did not reach the service; its logs: {self.log_tail()}")

    def log_tail(self) -> str:
        texts = []
        for path in sorted((self.folder / "log").glob("*.log")):
            with contextlib.suppress(OSError):
                texts.append(path.read_text(errors="replace").strip()[-LOG_CHARACTERS:])
        return _line(" ... ".join(texts).replace(str(self.folder), "")) or "empty"


@contextlib.contextmanager
def running_mps(device_type: str) -> Iterator[Mps]:
    """Start the daemon; stop it at the end.

    Raises:
        MpsUnavailableError: no GPU, no such program, or it does not start here.
    """
    if device_type != "cuda":
        raise MpsUnavailableError("the device is a processor")
    binary = shutil.which(CONTROL)
    if binary is None:
        raise MpsUnavailableError(f"{CONTROL} is not on PATH")
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        mps = Mps(binary, Path(folder))
        for path in mps.environment.values():
            Path(path).mkdir()
        try:
            _start(mps)
            yield mps
        finally:
            _stop(mps)


def _start(mps: Mps) -> None:
    output = mps.folder / "start"
    with output.open("w") as file:  # no pipe: the daemon would keep it open
        try:
            code = subprocess.run(
                [mps.binary, "-d"],
                env=os.environ | mps.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=WAIT_SECONDS,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MpsUnavailableError(f"{CONTROL} -d: {type(error).__name__}") from None
    if code:
        said = _line(output.read_text(errors="replace")) or mps.log_tail()
        raise MpsUnavailableError(f"{CONTROL} -d ended with exit status {code}: {said}")


def _stop(mps: Mps) -> None:
    """Ask the daemon to leave; one that does not is ended by the id that it wrote into our folder."""
    with contextlib.suppress(MpsUnavailableError):
        mps.ask("quit")
        return
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((mps.folder / "pipe" / f"{CONTROL}.pid").read_text()), signal.SIGTERM)


def _line(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())
