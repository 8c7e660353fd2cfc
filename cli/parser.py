"""The parser of the whole command line."""

import argparse

from cli import (
    __version__,
    best,
    compare,
    completion,
    delete,
    export,
    lint,
    list_sweeps,
    logs,
    plan,
    plot,
    replay,
    report,
    run,
    spaces,
    status,
    table,
    train,
)
from cli.options import EXIT_CODES, CommandParser

COMMANDS = (
    spaces, plan, run, status, list_sweeps, best, table, plot, report, compare, logs, export, delete,
    train, lint, replay, completion,
)  # fmt: skip
"""In the order in which the help lists them."""


def build_parser(prog: str = "batchscape") -> CommandParser:
    """Build the parser; `parse_args` gives a namespace whose `command` is the function to call with it."""
    parser = CommandParser(
        prog=prog,
        description="Map how learning rate, batch size, schedule and training length decide the\nerror of an image "
        "classifier.",
        epilog=f"`{prog} COMMAND --help` explains a command and gives examples.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(parser=parser)  # `completion` is about all of it
    parser.add_argument("--version", action="version", version=f"batchscape {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    for module in COMMANDS:
        module.add_parser(commands)
    return parser
