"""Show the best configuration of a sweep with its error and the number of runs behind it; with --yaml print a
space that trains it again."""

import argparse

from cli.options import add_store, add_sweep
from trainable.wording import say

SUMMARY = "show the best configuration of a sweep, or a space that trains it again"
EXAMPLES = ("best quickstart", "best quickstart --yaml > best.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    parser.add_argument("--yaml", action="store_true", help="print a space that trains the configuration again")


def run(arguments: argparse.Namespace) -> int:
    from results.parquet.files import read_trials
    from results.store.opening import open_store
    from sweep.status.best import best_configuration, best_text, best_yaml

    best = best_configuration(arguments.sweep, read_trials(open_store(arguments.store), arguments.sweep))
    say(best_yaml(best) if arguments.yaml else best_text(best))
    return 0
