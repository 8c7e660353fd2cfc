"""Say what the results of a sweep, or the published rows, mean: which learning rates to use and to try at each batch
size, whether the rate may follow the batch size by a rule, and how large a difference must be before it counts."""

import argparse

from cli.options import PUBLISHED, add_json, add_store, positive_whole
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "say what a sweep's results mean: best rates, rules, noise, in plain sentences"
EXAMPLES = ("insight quickstart", "insight published", "insight my_sweep --anchor 128 --all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP|published", help="a sweep in the store, or the published rows")
    add_store(parser)
    parser.add_argument(
        "--anchor",
        type=positive_whole,
        metavar="N",
        help="batch size from whose best rate the rules start (default: the smallest one whose best rate is known)",
    )
    parser.add_argument(
        "--classes",
        type=positive_whole,
        metavar="N",
        help="number of classes of your own data, which tells what guessing would give (default: 10)",
    )
    parser.add_argument("--all", action="store_true", help="show every group of equal settings, also the silent ones")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.insight.findings import findings
    from results.insight.groups import groups_of_published, groups_of_trials
    from results.insight.text import insight_json, insight_text

    if arguments.classes == 1:
        raise UserError("--classes 1: a classifier needs at least 2")
    if arguments.sweep == PUBLISHED:
        if arguments.classes is not None:
            raise UserError("insight published --classes: needs a sweep: the published rows have 10 classes")
        groups = groups_of_published()
    else:
        from results.parquet.files import read_trials
        from results.parquet.schema import METADATA_PREFIX
        from results.parquet.trials import trials_from_table
        from results.store.opening import open_store

        table = read_trials(open_store(arguments.store), arguments.sweep)
        scale = (table.schema.metadata or {}).get(f"{METADATA_PREFIX}scale".encode(), b"").decode()
        groups = groups_of_trials(trials_from_table(table), scale=scale, num_classes=arguments.classes)
    found = findings(groups, arguments.anchor)
    say(insight_json(found) if arguments.json else insight_text(found, everything=arguments.all))
    return 0
