"""List the sweeps of a store, a line each: trials, state, best result, size of its files, and how long ago it
changed."""

import argparse

from cli.options import add_json, add_store
from trainable.wording import say

SUMMARY = "list the sweeps of the store: trials, state, best result, size, age"
EXAMPLES = ("list", "list --store s3://bucket/prefix --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.status.listing import listing_json, listing_text, summaries

    store = open_store(arguments.store)
    found = summaries(store)
    say(listing_json(found) if arguments.json else listing_text(store, found))
    return 0
