"""`list`: the sweeps of a store."""

import argparse

from cli.options import Commands, add_command, add_json, add_store


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "list",
        "list the sweeps of the store: trials, state, best result, size, age",
        "List the sweeps of a store, a line each: trials, state, best result, size of its files, and how long ago it "
        "changed.",
        "list\nlist --store s3://bucket/prefix --json",
    )
    add_store(parser)
    add_json(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.status.listing import listing_json, listing_text, summaries

    store = open_store(arguments.store)
    found = summaries(store)
    print(listing_json(found) if arguments.json else listing_text(store, found))
    return 0
