"""The entry: parse the command line, run the command, turn mistakes into one line and an exit code."""

import errno
import io
import logging
import os
import sys
from collections.abc import Sequence

from cli.parser import build_parser
from sweep.exit_codes import ExitCode
from trainable.cache_folder import home_folder
from trainable.errors import RunEndedError, UserError
from trainable.ledger.noticed import noticing
from trainable.wording import command, counted, printable_line, say

ANSWERS_FROM_MANY = ("plan", "list", "logs", "export")
"""Commands that leave damaged records out and have no words of their own for them."""

STDIN, STDOUT, STDERR = range(3)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments without the program's name; None takes those of the process.

    Returns:
        The exit code: 0 done, 1 trials failed or are left, 2 a mistake, 130 interrupted.
    """
    try:
        _settle_process()
        arguments = build_parser().parse_args(argv)
        with noticing() as damaged:
            code: int = arguments.command(arguments)
        sys.stdout.flush()
        if damaged and arguments.command_name in ANSWERS_FROM_MANY:
            say(_damage_text(list(damaged)), file=sys.stderr)
    except SystemExit as end:  # argparse: after --help, or a mistake that it has printed
        return end.code if isinstance(end.code, int) else ExitCode.MISTAKE
    except UserError as error:
        say(f"batchscape: {printable_line(str(error))}", file=sys.stderr)
        return ExitCode.INCOMPLETE if isinstance(error, RunEndedError) else ExitCode.MISTAKE
    except BrokenPipeError:  # the reader of our output has gone, `| head` for example
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except OSError as error:
        say(f"batchscape: {error.strerror or error}: {error.filename or 'standard output'}", file=sys.stderr)
        return ExitCode.MISTAKE
    except KeyboardInterrupt:
        say("\nstopped", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return code


def _settle_process() -> None:
    """Make up for what a process may lack: standard streams, an encoding for all text, a home folder.

    Raises:
        OSError: standard output is closed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:  # else the next file would get this number
        if descriptor == STDOUT:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    os.close(descriptor)
    sys.stdin, sys.stderr = sys.stdin or os.fdopen(STDIN), sys.stderr or os.fdopen(STDERR, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("HOME", str(home_folder()))  # Ray's import asks for it
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it tells of a home folder that cannot be written


def _damage_text(damaged: list[str]) -> str:
    more = f" and {counted(len(damaged) - 1, 'other record')} are" if len(damaged) > 1 else " is"
    return f"note: {printable_line(damaged[0])}{more} damaged and left out: `{command('verify')}` says what to do"
