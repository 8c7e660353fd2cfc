"""Evaluate the kept weights of a trial on the test images of its sweep's data set, or of another one with the same
classes: error, loss, confusion matrix, and a picture of the images with the largest loss. A model of your own is
built again from the source in the store: that file is run."""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import add_data, add_json, add_store, add_sweep, add_trial, output_folder
from trainable.wording import say

if TYPE_CHECKING:
    from results.store.store import Store
    from sweep.evaluation import Evaluation

SUMMARY = "evaluate the weights of a trial: error, confusions, the worst images"
EXAMPLES = ("evaluate quickstart", "evaluate my_sweep 3f9a --data ~/other_photos --to worst --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_trial(parser)
    add_data(parser)
    parser.add_argument(
        "--to", type=output_folder, metavar="DIR", help="folder for the picture (default: STORE/SWEEP/figures)"
    )
    add_store(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.evaluation import evaluate_weights, evaluation_json, evaluation_text, images_for
    from sweep.trial_weights import find_weights

    store = open_store(arguments.store)
    found = find_weights(store, arguments.sweep, arguments.trial)
    with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):  # notes on the images
        data, is_own = images_for(found, arguments.data, arguments.label)
    evaluation = evaluate_weights(found, data, is_own=is_own)
    picture = _draw(store, evaluation, arguments.to)
    say(evaluation_json(evaluation, picture) if arguments.json else evaluation_text(evaluation))
    if not arguments.json:
        say(f"\nimages with the largest loss: {picture}")
    return 0


def _draw(store: "Store", evaluation: "Evaluation", folder: str | None) -> str:
    """Draw the worst images; return where the picture lies."""
    from results.figures.worst_images import save_png, worst_images_figure
    from results.store.sweep_files import FIGURES

    worst = evaluation.worst
    figure = worst_images_figure(
        evaluation.images[worst],
        [evaluation.classes(position) for position in worst],
        [float(evaluation.losses[position]) for position in worst],
        f"{evaluation.sweep} {evaluation.trial_key} on {evaluation.dataset}: the images with the largest loss",
    )
    file = f"worst_images-{evaluation.trial_key}.png"
    if folder is not None:
        save_png(figure, Path(folder) / file)
        return str(Path(folder) / file)
    with store.writing(evaluation.sweep) as scratch:
        save_png(figure, scratch / FIGURES / file)
    return store.location(evaluation.sweep, f"{FIGURES}/{file}")
