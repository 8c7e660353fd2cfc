"""Show the sweeps of a store in the browser, also while they run: state, what is left, every trial with its learning
curve, logs of failed trials, reports. Pages follow by themselves. Nothing is written to the store."""

import argparse
import contextlib
import functools
import os
import subprocess
import threading
from collections.abc import Iterator

from cli.options import DEFAULT_STORE, not_empty, port
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "show the sweeps of a store in the browser, also while they run"
EXAMPLES = (
    "serve",
    "serve --store runs --store s3://bucket/prefix --port 9000",
    "serve --host 0.0.0.0",
)
PORT = 8642
NICENESS = 10
"""How much lower the priority of a server is that stands beside a run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        action="append",
        type=not_empty,
        metavar="DIR",
        help="a folder, or s3://bucket/prefix; repeatable (default: runs/)",
    )
    parser.add_argument("--port", type=port, default=PORT, metavar="N", help=f"default: {PORT}; 0 is any free one")
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
    from sweep.status.listing import nothing_text

    locations = arguments.store or [DEFAULT_STORE]
    stores = [open_store(location) for location in locations]
    board = Board(stores, locations)
    with (
        board.hurried(),
        PageServer(board, arguments.host, arguments.port) as server,
    ):
        say(serving_text(server), flush=True)
        for store in stores:
            if store.is_missing():
                say(nothing_text(store), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the usual way to end it: nothing needs to be said
            if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
                os._exit(ExitCode.INTERRUPTED)  # requests to a bucket are under way, and would be waited for
            return ExitCode.INTERRUPTED
    return ExitCode.DONE


@contextlib.contextmanager
def beside(number: int, store: str) -> Iterator[str]:
    """Serve a store inside this context, in a child process that ends with this one; give the line with its URL.

    Raises:
        UserError: the port is in use, or the store cannot be read.
    """
    from cli.child import COMMAND, ERROR

    with subprocess.Popen(  # noqa: S603 (our own program)
        [*COMMAND, "serve", f"--store={store}", f"--port={number}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # a terminal's Ctrl-C is for the run, which may take a while to stop
        preexec_fn=functools.partial(os.nice, NICENESS),
    ) as child:
        try:
            line = child.stdout.readline() if child.stdout else ""
            if not line and child.stderr:
                raise UserError(child.stderr.read().strip().removeprefix(ERROR).replace("--port", "--serve"))
            yield line.strip()
        finally:
            child.terminate()
