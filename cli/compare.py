"""Set every published configuration that a sweep has trained beside the published error, with a verdict that
allows for noise: reproduced, different, or cannot tell; or, with the word `published` in the place of the sweep, set
the remedies for large batches that were published (LARS, ghost batch norm, ...) beside the published runs without
them: better, worse, no difference, or cannot tell."""

import argparse

from cli.options import PUBLISHED, add_format, add_store, positive, probability
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "set a sweep beside the published tables: reproduced, different, or cannot tell"
EXAMPLES = (
    "compare linear_scaling_cosine --table linear_scaling_cosine",
    "compare initial_lr-smoke --table initial_lr_128 --anyway",
    "compare published",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP|published", help="a sweep in the store, or the published rows")
    add_store(parser)
    parser.add_argument("--table", metavar="NAME", help="one published table; shows what the sweep lacks, too")
    parser.add_argument(
        "--margin",
        type=positive,
        default=0.5,
        metavar="POINTS",
        help="smallest difference in test error that matters, in percentage points (default: 0.5)",
    )
    parser.add_argument(
        "--alpha",
        type=probability,
        default=0.05,
        metavar="P",
        help="probability of any wrong verdict of one kind (default: 0.05)",
    )
    add_format(parser)
    parser.add_argument(
        "--anyway", action="store_true", help="give verdicts on runs that were trained differently, too"
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.sweep == PUBLISHED:
        from results.statistics.sequel import sequel_answers
        from results.statistics.sequel_text import render_answers

        if arguments.table is not None or arguments.anyway:
            raise UserError(f"compare published {'--anyway' if arguments.anyway else '--table'}: needs a sweep")
        say(render_answers(sequel_answers(arguments.margin, arguments.alpha), arguments.format), end="")
        return 0

    from results.parquet.files import read_trials
    from results.parquet.trials import group_repeats, trials_from_table
    from results.statistics.compare import compare
    from results.statistics.comparison_text import render_comparison
    from results.store.opening import open_store

    cells = group_repeats(trials_from_table(read_trials(open_store(arguments.store), arguments.sweep)))
    comparison = compare(
        arguments.sweep,
        cells,
        table=arguments.table,
        margin=arguments.margin,
        alpha=arguments.alpha,
        anyway=arguments.anyway,
    )
    say(render_comparison(comparison, arguments.format), end="")
    return 0
