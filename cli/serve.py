"""Show the sweeps of a store in the browser, also while they run: state, what is left, every trial with its learning
curve, logs of failed trials, reports. Pages follow by themselves. Nothing is written to the store."""

import argparse

from cli.options import DEFAULT_STORE, not_empty, port
from trainable.wording import say

SUMMARY = "show the sweeps of a store in the browser, also while they run"
EXAMPLES = (
    "serve",
    "serve --store runs --store s3://bucket/prefix --port 9000",
    "serve --host 0.0.0.0",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        action="append",
        type=not_empty,
        dest="stores",
        metavar="DIR",
        help="a folder, or s3://bucket/prefix; repeatable (default: runs/)",
    )
    parser.add_argument("--port", type=port, default=8642, metavar="N", help="default: 8642; 0 is any free one")
    parser.add_argument(
        "--host",
        type=not_empty,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine alone; at others the printed URL holds a token, "
        "without which nothing is shown)",
    )


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.exit_codes import ExitCode
    from sweep.serving.board import Board
    from sweep.serving.server import PageServer, serving_text

    locations = arguments.stores or [DEFAULT_STORE]
    board = Board([open_store(location) for location in locations], locations)
    with (
        board.hurried(),
        PageServer(board, arguments.host, arguments.port) as server,
    ):
        say(serving_text(server), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the usual way to end it: nothing needs to be said
            return ExitCode.INTERRUPTED
    return ExitCode.DONE
