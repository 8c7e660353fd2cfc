"""Count the trials of a sweep that are finished, running, failed and left, and show the best so far. Works from
any machine that sees the store, also while the sweep runs."""

import argparse

from cli.options import add_json, add_store, add_sweep, positive
from trainable.wording import say

SUMMARY = "count the trials that are finished, running, failed and left"
EXAMPLES = ("status quickstart", "status quickstart --watch", "status my_sweep --store s3://bucket/prefix --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    add_json(parser)
    parser.add_argument(
        "--watch",
        nargs="?",
        type=positive,
        const=0.0,
        metavar="SECONDS",
        help="look again and again until the sweep is done (default: every 2 s, in a bucket every 15 s)",
    )


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.exit_codes import ExitCode
    from sweep.status.status import status_json, status_page, sweep_status

    store = open_store(arguments.store)
    if arguments.watch is not None:
        from rich.console import Console

        from sweep.status.watch import default_seconds, sweep_reader, watch

        read = sweep_reader(store, arguments.sweep)
        try:
            watch(read, Console(), arguments.watch or default_seconds(arguments.store), as_json=arguments.json)
        except KeyboardInterrupt:  # the usual way to end it: nothing needs to be said
            return ExitCode.INTERRUPTED
        return ExitCode.DONE
    status = sweep_status(store, store.manifest(arguments.sweep))
    say(status_json(status) if arguments.json else status_page(store, status))
    return ExitCode.DONE
