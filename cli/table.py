"""Print the table of a sweep in the form of the published tables. The word `published` in place of the sweep
prints published tables as they were printed: the first 16, the `sequel` on large batches, or one of them."""

import argparse

from cli.options import PUBLISHED, add_format, add_store
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "print a sweep's table in the form of the published ones, or a published table"
EXAMPLES = (
    "table quickstart",
    "table quickstart --format csv --mean",
    "table published",
    "table published initial_lr_128",
    "table published sequel",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP|published", help="a sweep in the store, or the published tables")
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="with `published`: one table, or `sequel` (default: the 16 first tables)",
    )
    add_store(parser)
    add_format(parser)
    parser.add_argument("--mean", action="store_true", help="add mean +- std over the repeats")


def run(arguments: argparse.Namespace) -> int:
    if arguments.sweep == PUBLISHED:
        from results.published.tables import ALL, published_table

        if arguments.mean:
            raise UserError("table --mean: needs a sweep: published tables hold one number a configuration")
        say(published_table(arguments.name or ALL, arguments.format), end="")
        return 0
    if arguments.name is not None:
        raise UserError(f"table {arguments.sweep} {arguments.name}: only `table published` takes the name of a table")

    from results.parquet.files import read_trials
    from results.store.opening import open_store
    from results.tables.search_table import sweep_table

    table = read_trials(open_store(arguments.store), arguments.sweep)
    say(sweep_table(table, arguments.format, with_mean=arguments.mean), end="")
    return 0
