"""Print the table of a sweep in the form of the published tables. The best configuration, as `best` chooses it, is
bold; of a search for several objectives all that are on its Pareto front. CSV and JSON have every field that trains a
row again, settings with all digits and results with 12. The word `published` in place of the sweep prints published
tables as they were printed: the first 16, the `sequel` on large batches, or one of them."""

import argparse

from cli.options import PUBLISHED, add_format, add_store
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "print a sweep's table in the form of the published ones, or a published table"
EXAMPLES = (
    "table quickstart",
    "table quickstart --format csv --mean",
    "table quickstart --sort total_seconds:desc",
    "table tuned --all",
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
    parser.add_argument(
        "--sort",
        metavar="FIELD",
        help="sort by a column, by its name in CSV and JSON, the smallest first; FIELD:desc puts the largest first",
    )
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--mean", action="store_true", help="add mean +- std over the repeats")
    rows.add_argument(
        "--all",
        action="store_true",
        help="a row for each trial, with its status and, for a search, its proposal and the objective's value",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.sweep == PUBLISHED:
        from results.published.tables import ALL, published_table

        for option in ("mean", "all", "sort"):
            if getattr(arguments, option):
                raise UserError(f"table --{option}: needs a sweep: published tables are shown as they were printed")
        say(published_table(arguments.name or ALL, arguments.format), end="")
        return 0
    if arguments.name is not None:
        raise UserError(f"table {arguments.sweep} {arguments.name}: only `table published` takes the name of a table")

    from results.parquet.files import read_trials
    from results.store.opening import open_store
    from results.tables.search_table import sweep_table
    from results.tables.trial_table import trial_table

    table = read_trials(open_store(arguments.store), arguments.sweep)
    if arguments.all:
        say(trial_table(table, arguments.format, sort=arguments.sort), end="")
    else:
        say(sweep_table(table, arguments.format, with_mean=arguments.mean, sort=arguments.sort), end="")
    return 0
