"""The parser of the whole command line."""

import argparse
import textwrap
from types import ModuleType

from cli import (
    __version__,
    advise,
    best,
    compare,
    completion,
    delete,
    evaluate,
    export,
    insight,
    lint,
    list_sweeps,
    logs,
    plan,
    plot,
    replay,
    report,
    retry,
    run,
    serve,
    spaces,
    status,
    table,
    train,
    verify,
    weights,
)
from cli.options import EXIT_CODES, CommandParser

COMMANDS: dict[str, ModuleType] = {
    "spaces": spaces,
    "plan": plan,
    "run": run,
    "status": status,
    "serve": serve,
    "list": list_sweeps,
    "best": best,
    "table": table,
    "plot": plot,
    "report": report,
    "compare": compare,
    "insight": insight,
    "logs": logs,
    "export": export,
    "weights": weights,
    "evaluate": evaluate,
    "verify": verify,
    "retry": retry,
    "delete": delete,
    "train": train,
    "lint": lint,
    "advise": advise,
    "replay": replay,
    "completion": completion,
}
"""Name of a command -> its module, in the order in which the help lists them."""
HELP_WIDTH = 79


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
    commands = parser.add_subparsers(
        metavar="COMMAND", dest="command_name", required=True, parser_class=CommandParser
    )
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=textwrap.fill(" ".join(str(module.__doc__).split()), HELP_WIDTH),
            epilog="\n".join(["examples:", *(f"  {prog} {line}" for line in module.EXAMPLES), "", EXIT_CODES]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(command=module.run)
    return parser
