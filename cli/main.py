"""The entry: parse the command line, run the command, turn mistakes into one line and an exit code."""

import os
import sys
from collections.abc import Sequence

from cli.parser import build_parser
from sweep.exit_codes import ExitCode
from trainable.errors import RunEndedError, UserError
from trainable.ledger.noticed import noticing
from trainable.wording import command, counted, printable_line, say

ANSWERS_FROM_MANY = ("plan", "list", "logs", "export")
"""Commands that leave damaged records out and have no words of their own for them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments without the program's name; None takes those of the process.

    Returns:
        The exit code: 0 done, 1 trials failed or are left, 2 a mistake, 130 interrupted.
    """
    arguments = build_parser().parse_args(argv)
    try:
        with noticing() as damaged:
            code: int = arguments.command(arguments)
        sys.stdout.flush()
        if damaged and arguments.command_name in ANSWERS_FROM_MANY:
            say(_damage_text(list(damaged)), file=sys.stderr)
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


def _damage_text(damaged: list[str]) -> str:
    more = f" and {counted(len(damaged) - 1, 'other record')} are" if len(damaged) > 1 else " is"
    return f"note: {printable_line(damaged[0])}{more} damaged and left out: `{command('verify')}` says what to do"
