"""What the tests of whole sweeps share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration_tests.running_sweeps import Start


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a driver and come back at once; whatever the test leaves running is ended."""
    drivers: list[subprocess.Popen[str]] = []

    def begin(space: str, store: Path, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "tune_main.py"), "run", space, "--store", str(store), *options]
        drivers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return drivers[-1]

    yield begin
    for driver in drivers:
        with driver:
            driver.kill()
