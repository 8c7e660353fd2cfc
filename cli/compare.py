"""Set every published configuration that a sweep has trained beside the published error, with a verdict that
allows for noise: reproduced, different, or cannot tell. Several sweeps, or the arms of one (`--by`), are compared
with the first of them, configuration by configuration, paired over seeds and test images: better, worse, no
difference, or cannot tell. The word `published` in the place of the sweep compares the remedies for large batches
that were published (LARS, ghost batch norm, ...) with the published runs without them."""

import argparse
import sys
from pathlib import Path

from cli.options import PUBLISHED, add_format, add_store, not_empty, output_folder, positive, probability
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "compare a sweep with the published tables, with other sweeps, or its arms with each other"
EXAMPLES = (
    "compare linear_scaling_cosine --table linear_scaling_cosine",
    "compare initial_lr-smoke --table initial_lr_128 --anyway",
    "compare published",
    "compare my_sweep other_sweep --to my_folder",
    "compare my_sweep --by optimizer --best lr",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP|published", help="a sweep in the store, or the published rows")
    parser.add_argument("others", nargs="*", metavar="OTHER", help="sweeps to compare with the first")
    add_store(parser)
    parser.add_argument(
        "--by",
        type=not_empty,
        metavar="FIELD[=VALUE]",
        help="compare the values of a training field within the sweep with its first value (the least number, the "
        "first word of the space), or with VALUE; also of a variable of `derive`, or of code, device, execution, "
        "precision_resolved or num_threads",
    )
    parser.add_argument(
        "--best",
        type=not_empty,
        metavar="FIELD",
        help="of configurations that differ in this field alone, compare the best of each side, for example lr",
    )
    parser.add_argument(
        "--to",
        type=output_folder,
        metavar="DIR",
        help="draw the differences of sweeps or arms, too: DIR/comparison.svg",
    )
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
    _check_options(arguments)
    if arguments.sweep == PUBLISHED:
        from results.statistics.sequel import sequel_answers
        from results.statistics.sequel_text import render_answers

        say(render_answers(sequel_answers(arguments.margin, arguments.alpha), arguments.format), end="")
        return 0
    if arguments.by is not None or arguments.others not in ([], [PUBLISHED]):
        return _compare_arms(arguments)

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


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    names, given = [arguments.sweep, *arguments.others], {name for name, value in vars(arguments).items() if value}
    words = " ".join(names)
    if arguments.sweep == PUBLISHED:
        if arguments.others:
            raise UserError(
                f"compare {words}: write `compare {arguments.others[0]}` for a sweep and the published tables"
            )
        for name in ("by", "best", "to", "table", "anyway"):
            if name in given:
                raise UserError(f"compare published --{name}: needs a sweep")
        return
    if PUBLISHED in names and len(names) > 2:
        raise UserError(f"compare {words}: compare one sweep at a time with the published tables")
    if len(set(names)) < len(names):
        raise UserError(f"compare {words}: a sweep is named twice; `--by FIELD` compares the arms of one")
    is_published = "by" not in given and arguments.others in ([], [PUBLISHED])
    if "by" in given and arguments.others:
        raise UserError(f"compare {words} --by: arms are those of one sweep: name one sweep, or leave --by out")
    for name in ("best", "to") if is_published else ("table", "anyway"):
        if name in given:
            needed = "a second sweep or --by FIELD" if is_published else "one sweep without --by"
            raise UserError(f"compare {words} --{name}: needs {needed}")


def _compare_arms(arguments: argparse.Namespace) -> int:
    """Compare several sweeps, or the arms of one."""
    from results.parquet.files import read_trials
    from results.parquet.search_results import read_search
    from results.parquet.trials import trials_from_table
    from results.statistics.paired import compare_arms
    from results.statistics.paired_text import render_pairs
    from results.statistics.pairing import SWEEP, arms_by, sweep_arm
    from results.store.opening import open_store

    store, names = open_store(arguments.store), [arguments.sweep, *arguments.others]
    tables = {name: read_trials(store, name) for name in names}
    sweeps = {name: trials_from_table(table, with_superseded=True) for name, table in tables.items()}
    if arguments.by is None:
        arms = [sweep_arm(name, trials) for name, trials in sweeps.items()]
    else:
        search = read_search(tables[arguments.sweep])
        parameters = search.parameters if search else ()
        arms = arms_by(sweeps[arguments.sweep], arguments.by, arguments.sweep, parameters)
    by = SWEEP if arguments.by is None else arguments.by.partition("=")[0]
    comparison = compare_arms(arms, by=by, best=arguments.best, margin=arguments.margin, alpha=arguments.alpha)
    say(render_pairs(comparison, arguments.format), end="")
    if arguments.to is not None:
        from results.figures.forest import forest_pages
        from results.figures.style import save

        for stem, page in forest_pages(comparison, "" if arguments.by is None else arguments.sweep):
            for path in save(page, Path(arguments.to) / stem):
                say(path, file=sys.stderr)
    return 0
