"""Delete a sweep: its files and those of its trials that no other sweep of the store uses. It says what would be
deleted and asks before anything is."""

import argparse

from cli.options import add_store, add_sweep
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "delete a sweep and those of its trials that no other sweep uses"
EXAMPLES = ("delete my_sweep", "delete my_sweep --yes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.deletion import delete_sweep, deletion_of, deletion_text
    from sweep.exit_codes import ExitCode

    store = open_store(arguments.store)
    deletion = deletion_of(store, arguments.sweep)
    say(deletion_text(deletion))
    if not arguments.yes:
        try:
            answer = input(f"delete {arguments.sweep}? [y/N] ")
        except EOFError:
            raise UserError(f"delete {arguments.sweep}: nobody is here to answer: add --yes") from None
        if answer.strip().lower() not in ("y", "yes"):
            say("nothing was deleted")
            return ExitCode.INCOMPLETE
    delete_sweep(store, deletion)
    say(f"deleted {arguments.sweep}")
    return ExitCode.DONE
