"""Look through the results of a sweep, or through the published tables, for what a careful reader would question:
outliers, misprints, best rates at the edge of a grid."""

import argparse

from cli.options import PUBLISHED, add_store
from trainable.wording import say

SUMMARY = "look for what is odd in a sweep's results or in the published tables"
EXAMPLES = ("lint quickstart", "lint published")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP|published", help="a sweep in the store, or the published tables")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.lint.rows import rows_of_cells, rows_of_published
    from results.lint.rules import lint_text

    if arguments.sweep == PUBLISHED:
        from results.published.cells import all_cells

        say(lint_text(rows_of_published(all_cells())))
        return 0

    from results.parquet.files import read_trials
    from results.parquet.trials import group_repeats, trials_from_table
    from results.store.opening import open_store

    cells = group_repeats(trials_from_table(read_trials(open_store(arguments.store), arguments.sweep)))
    say(lint_text(rows_of_cells(cells)))
    return 0
