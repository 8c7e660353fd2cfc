"""How a command refuses."""

import pytest

import tune_main


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the command prints; assert one line on stderr, nothing on stdout, and status 2."""
    status = tune_main.main(arguments)
    output = capsys.readouterr()
    assert (status, output.out, output.err.count("\n")) == (2, "", 1), output
    assert output.err.startswith("batchscape: ")
    assert "Traceback" not in output.err
    return output.err
