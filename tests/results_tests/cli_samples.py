"""How a command refuses."""

import pytest

import tune_main


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; asserts status 2 and nothing on stdout."""
    try:
        status = tune_main.main(arguments)
    except SystemExit as error:  # argparse
        assert isinstance(error.code, int)
        status = error.code
    output = capsys.readouterr()
    assert (status, output.out, output.err.count("\n")) == (2, "", 1), output
    return output.err
