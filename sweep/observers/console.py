"""Where progress is printed."""

import os
import sys

from rich.console import Console


class PatientConsole(Console):
    """Goes on when nobody reads any more (`| head`): the sweep matters more than its progress lines."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console() -> Console:
    return PatientConsole(soft_wrap=True)
