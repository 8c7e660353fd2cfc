"""Make the store hold the trials of a space: reuse finished trials, resume unfinished ones, train the rest.
Interrupt it at any time; the same command resumes."""

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING

from cli.options import (
    add_compile,
    add_data,
    add_extend,
    add_name,
    add_space_options,
    add_store,
    add_trial_resources,
    port,
    positive_whole,
    request_from,
    time_limit,
)
from cli.serve import PORT, beside
from trainable.wording import say

if TYPE_CHECKING:
    from sweep.request import RunRequest

SUMMARY = "train the trials of a space that the store does not hold yet"
EXAMPLES = (
    "run quickstart",
    "run my_sweep.yaml --set epochs=5 --name short",
    "run initial_lr --scale smoke",
    "run initial_lr --time-limit 2h --fail-fast",
    "run my_sweep.yaml --serve",
    "run my_sweep.yaml --store s3://bucket/prefix --address HEAD:6379",
)
RAY_ADDRESS = "RAY_ADDRESS"
"""Environment variable that Ray's own tools read, and that `ray job submit` sets for what it runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", help="name of a shipped space, or path of a YAML file")
    add_store(parser)
    add_name(parser)
    add_extend(parser)
    parser.add_argument(
        "--again",
        dest="retrain",
        action="store_true",
        help="train finished trials again; their old results are kept as superseded",
    )
    add_data(parser)
    parser.add_argument(
        "--address",
        help="address of a running Ray cluster, HOST:PORT or auto (default: $RAY_ADDRESS, else `local`: Ray on this "
        "machine)",
    )
    parser.add_argument(
        "--min-nodes", type=positive_whole, default=1, metavar="N", help="wait until the cluster has N nodes"
    )
    add_trial_resources(parser)
    parser.add_argument(
        "--max-concurrent",
        type=positive_whole,
        metavar="N",
        help="most trials that run at the same time (default: as many as fit)",
    )
    parser.add_argument(
        "--log",
        dest="tracker",
        choices=("mlflow", "wandb"),
        help="show the trials in this tracker, too (pip install it first)",
    )
    parser.add_argument(
        "--serve",
        nargs="?",
        type=_serve_port,
        const=PORT,
        metavar="PORT",
        help="show the store in the browser, too, and print the URL: as `serve --port PORT`, which goes on after the "
        f"run, while this ends with it (default port: {PORT})",
    )
    parser.add_argument(
        "--time-limit",
        type=time_limit,
        metavar="TIME",
        help="stop within this time, with checkpoints written: 90m, 2h, 1d or HH:MM:SS; the same command resumes",
    )
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first trial that fails")
    add_compile(parser)
    add_space_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from sweep.run import run

    if arguments.serve is None:
        return run(request_of(arguments))
    with beside(arguments.serve, arguments.store) as line:
        say(line, flush=True)
        return run(request_of(arguments))


def _serve_port(text: str) -> int:
    try:
        return port(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error} (the space comes first: run SPACE --serve)") from None


def request_of(arguments: argparse.Namespace) -> "RunRequest":
    """Turn what argparse has read into a request."""
    from sweep.request import RunRequest

    request = request_from(arguments, RunRequest)
    return dataclasses.replace(request, address=request.address or os.environ.get(RAY_ADDRESS) or None)
