"""How a command refuses, and how a driver stops that has lost its sweep."""

import contextlib
from collections.abc import Iterator

import pytest

import tune_main
from trainable.errors import SweepLostError


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the command prints; assert one line on stderr, nothing on stdout, and status 2."""
    status = tune_main.main(arguments)
    output = capsys.readouterr()
    assert (status, output.out, output.err.count("\n")) == (2, "", 1), output
    assert output.err.startswith("batchscape: ")
    assert "Traceback" not in output.err
    return output.err


@contextlib.contextmanager
def loses_sweep(match: str | None = None) -> Iterator[None]:
    """Assert that the block raises SweepLostError. A failed assertion in it shows, which a lost lease hides."""
    with pytest.raises(SweepLostError, match=match) as caught:
        yield
    hidden = caught.value.__context__
    while hidden is not None:
        if isinstance(hidden, AssertionError | pytest.fail.Exception):
            raise hidden
        hidden = hidden.__context__
