"""Propose the trials that would tell most about the best learning rate at each batch size, for a budget of time or
of trials, and write a space that trains them beside the finished trials of the sweep. It says what each of them tells
and takes, and how much lower the error could get at all. Nothing is trained."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import PUBLISHED, add_store, add_sweep, output_file, time_limit
from trainable.wording import say

if TYPE_CHECKING:
    from sweep.advice import Budget

SUMMARY = "propose the next trials of a sweep, and write a space that trains them"
EXAMPLES = ("advise quickstart --budget 9trials", "advise my_sweep --budget 4h --to next.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument(
        "--budget",
        type=budget,
        required=True,
        metavar="TIME|Ntrials",
        help="what the new trials may take one after the other, such as 90m or 4h, or their number, such as 20trials",
    )
    parser.add_argument(
        "--to", type=output_file, metavar="FILE.yaml", help="the space to write (default: SWEEP-advised.yaml)"
    )
    add_store(parser)


def budget(text: str) -> "Budget":
    """Accept a time, or a number of trials above 0."""
    from sweep.advice import Budget

    if trials := re.fullmatch(r"([0-9]{1,6}) ?trials?", text):
        if not int(trials[1]):
            raise argparse.ArgumentTypeError("must be at least 1 trial")
        return Budget(num_trials=int(trials[1]))
    try:
        return Budget(seconds=time_limit(text).seconds)
    except argparse.ArgumentTypeError:
        why = f"must be a time or a number of trials, for example 4h or 20trials, got {text!r}"
        raise argparse.ArgumentTypeError(why) from None


def run(arguments: argparse.Namespace) -> int:
    from results.parquet.files import read_trials
    from results.parquet.trials import trials_from_table
    from results.store.opening import open_store
    from sweep.advice import advice_text, advised_yaml, sweep_advice
    from trainable.errors import UserError
    from trainable.wording import command

    if arguments.sweep == PUBLISHED:
        hint = f"train the like of one, for example `{command('run', 'initial_lr')}`, and ask for advice on that"
        raise UserError(f"advise {PUBLISHED}: trials cannot be added to the published tables: {hint}")
    store = open_store(arguments.store)
    manifest = store.manifest(arguments.sweep)
    trials = trials_from_table(read_trials(store, arguments.sweep))
    found = sweep_advice(store, manifest, trials, arguments.budget)
    file = Path(arguments.to or f"{found.name}.yaml")
    if found.advice.proposals:
        write_new(file, advised_yaml(found, str(file)))
    say(advice_text(found, str(file)))
    return 0


def write_new(file: Path, text: str) -> None:
    """Write a file that does not exist yet.

    Raises:
        UserError: it exists, is not called .yaml, or cannot be written.
    """
    from search_spaces.loader import SUFFIXES
    from trainable.errors import UserError

    if file.suffix not in SUFFIXES:
        raise UserError(f"--to {file}: a space is a file that ends in .yaml")
    try:
        with file.open("x", encoding="utf-8") as space:
            space.write(text)
    except FileExistsError:
        raise UserError(f"{file} exists already: move it away, or give another file with --to") from None
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None
