"""Read every record of a sweep and its trials, or of the whole store, and name each damaged file and line with what
is to be done (docs/troubleshooting.md lists all that it may say). The exit code is 1 if anything is damaged."""

import argparse

from cli.options import add_store
from trainable.wording import say

SUMMARY = "read every record of a sweep or of the store, and name what is damaged"
EXAMPLES = ("verify", "verify quickstart", "verify quickstart --repair")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", nargs="?", help="name of a sweep in the store (default: everything in it)")
    add_store(parser)
    parser.add_argument(
        "--repair", action="store_true", help="do what `run` would do about it, and say what is lost; not in a bucket"
    )


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.exit_codes import ExitCode
    from sweep.repair import repair
    from sweep.verification import verify

    store = open_store(arguments.store)
    found = verify(store, arguments.sweep)
    say(found.text(store))
    if arguments.repair and found.findings:
        for line in repair(store, arguments.sweep, found):
            say(line)
        found = verify(store, arguments.sweep)
        say(found.text(store))
    return ExitCode.INCOMPLETE if found.findings else ExitCode.DONE
