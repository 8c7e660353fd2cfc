"""Have one trial trained again: its results are kept as superseded, and the next run of its sweep trains it from the
beginning. It says which trial that is, and which sweeps have it. A proposal of a search cannot be retried, since the
later proposals rest on its result; the confirmations of a search can."""

import argparse

from cli.options import add_store, not_empty
from trainable.wording import say

SUMMARY = "have one finished trial trained again by the next run"
EXAMPLES = ("retry 3f9a", "retry 3f9a --sweep quickstart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trial", type=not_empty, help="the trial's key, or the beginning of it")
    parser.add_argument("--sweep", type=not_empty, help="look among the trials of this sweep only")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.retry import put_aside, retry_of, retry_text

    store = open_store(arguments.store)
    retry = retry_of(store, arguments.trial, arguments.sweep)
    say(retry_text(retry))
    put_aside(store, retry)
    return 0
