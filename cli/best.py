"""`best`: the best configuration of a sweep."""

import argparse

from cli.options import Commands, add_command, add_store, add_sweep


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "best",
        "show the best configuration of a sweep, or a space that trains it again",
        "Show the best configuration of a sweep with its error and the number of runs behind it; with --yaml print a "
        "space that trains it again.",
        "best quickstart\nbest quickstart --yaml > best.yaml",
    )
    add_sweep(parser)
    add_store(parser)
    parser.add_argument("--yaml", action="store_true", help="print a space that trains the configuration again")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from results.parquet.files import read_trials
    from results.store.opening import open_store
    from sweep.status.best import best_configuration, best_text, best_yaml

    best = best_configuration(arguments.sweep, read_trials(open_store(arguments.store), arguments.sweep))
    print(best_yaml(best) if arguments.yaml else best_text(best))
    return 0
