"""What the tests ask of a benchmark's process."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks.on_gpu.bench import Bench


def echo(bench: Bench, value: object) -> object:
    return value


def fail(bench: Bench, which: int) -> int:
    """In all processes but those that were told another number before, see `remember`."""
    if os.environ.get("BATCHSCAPE_TEST_NUMBER") == str(which):
        raise RuntimeError(f"number {which} fails\nand says more")
    return which


def remember(bench: Bench, number: int) -> None:
    os.environ["BATCHSCAPE_TEST_NUMBER"] = str(number)


def die(bench: Bench) -> Iterator[str]:
    yield "last words"
    os.kill(os.getpid(), signal.SIGKILL)


def keep_silent(bench: Bench) -> None:
    time.sleep(600)
