"""Write the two Parquet files of a sweep again, with a data card, to any place that pyarrow can write to; or write
a search into an Optuna storage, for optuna-dashboard."""

import argparse

from cli.options import add_store, add_sweep, not_empty, output_location
from trainable.wording import counted, say

SUMMARY = "write the Parquet files again, anywhere, or a search as an Optuna study"
EXAMPLES = (
    "export quickstart",
    "export quickstart --to s3://bucket/prefix",
    "export my_search --optuna sqlite:///search.db",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--to", type=output_location, metavar="DIR", help="a folder, or a URI such as s3://bucket/prefix"
    )
    target.add_argument(
        "--optuna", type=not_empty, metavar="URL", help="write a search as a study into this storage: sqlite:///FILE"
    )


def run(arguments: argparse.Namespace) -> int:
    from results.parquet.collect import Collector
    from results.parquet.files import export_into_store, export_tables
    from results.store.opening import open_store

    store = open_store(arguments.store)
    manifest = store.manifest(arguments.sweep)
    trials, epochs = Collector(store, manifest).tables()
    if arguments.optuna:
        from sweep.search.optuna_export import export_search

        say(export_search(store, manifest.name, trials, arguments.optuna))
        return 0
    if arguments.to:
        target = export_tables(trials, epochs, arguments.to)
    else:
        target = export_into_store(trials, epochs, store, manifest.name)
    superseded = sum(trials["superseded"].to_pylist())
    kept = f" ({superseded} of them superseded)" if superseded else ""
    say(f"{counted(len(trials), 'trial')}{kept} and {counted(len(epochs), 'epoch')} written to {target}")
    return 0
