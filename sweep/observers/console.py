"""The console on which progress is printed."""

import os
import sys

from rich.console import Console


class PatientConsole(Console):
    """Keeps the run alive when nobody reads its output any more (`| head`)."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console() -> Console:
    return PatientConsole(soft_wrap=True)
