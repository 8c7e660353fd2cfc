"""Machines that know nothing but a bucket: commands of this program with an environment and a cache of their own."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import tune_main
from tests.conftest import ROOT


@dataclass(frozen=True)
class Machine:
    """A machine that reaches a store on the server."""

    bucket: str
    environment: dict[str, str]
    """Variables added to those of this process."""
    cache: Path
    scratch: Path

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/store"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command in a process of its own."""
        command = [sys.executable, str(ROOT / "tune_main.py"), *arguments, "--store", self.uri]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.Popen(
            command,
            env=inherited | self.environment,
            cwd=self.scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command in this process, to save an interpreter's start: status, output, error output."""
        return answer(self.environment, *arguments, "--store", self.uri)

    def says(self, *arguments: str) -> str:
        """Run the command, which must succeed with nothing on stderr, and return what it prints."""
        status, output, errors = self.answer(*arguments)
        assert (status, errors) == (0, "")
        return output


def answer(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    num_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = tune_main.main(arguments)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(num_threads)
    return status, output.getvalue(), errors.getvalue()
