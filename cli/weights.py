"""Copy the weights of a completed trial out of the store, as a safetensors file that loads without this program.
Which weights a sweep keeps is set by keep_weights in its space: by default those of the three best trials."""

import argparse
from pathlib import Path

from cli.options import add_store, add_sweep, add_trial, output_file
from trainable.wording import say

SUMMARY = "copy the weights of the best trial, or of another one, out of the store"
EXAMPLES = ("weights quickstart --to best.safetensors", "weights quickstart 3f9a --to model.safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_trial(parser)
    parser.add_argument(
        "--to", required=True, type=output_file, metavar="FILE", help="the file to write; one that exists is replaced"
    )
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.trial_weights import copy_weights, find_weights

    store = open_store(arguments.store)
    say(copy_weights(store, find_weights(store, arguments.sweep, arguments.trial), Path(arguments.to)))
    return 0
