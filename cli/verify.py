"""Read every record of a sweep and its trials, or of the whole store, and name each damaged file and line with what
is to be done (docs/troubleshooting.md lists all that it may say). Of one sweep, also compute its Parquet files, data
card and report again from the records of its trials, and name each difference; with --retrain also train some of its
trials again, in this process and without writing into the store, and say of each whether it is bit for bit equal. The
exit code is 1 if anything is damaged or differs, but not if another machine or version gives other bits."""

import argparse
from pathlib import Path

from cli.options import add_data, add_store, not_empty, positive_whole
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "read every record of a sweep or of the store, and name what is damaged"
EXAMPLES = (
    "verify",
    "verify quickstart",
    "verify quickstart --copy my_folder",
    "verify quickstart --retrain 2",
    "verify quickstart --repair",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", nargs="?", help="name of a sweep in the store (default: everything in it)")
    add_store(parser)
    parser.add_argument(
        "--copy",
        type=not_empty,
        metavar="DIR",
        help="compare what `export --to DIR` and `report --to DIR` wrote, too",
    )
    parser.add_argument(
        "--retrain", type=positive_whole, metavar="K", help="train K finished trials of the sweep again, and compare"
    )
    parser.add_argument(
        "--seed",
        type=positive_whole,
        metavar="N",
        help="draw other trials for --retrain (default: 1, always the same)",
    )
    add_data(parser)
    parser.add_argument(
        "--repair", action="store_true", help="do what `run` would do about it, and say what is lost; not in a bucket"
    )


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.exit_codes import ExitCode
    from sweep.repair import repair
    from sweep.verification import verify

    if (arguments.seed or arguments.data or arguments.label) and not arguments.retrain:
        raise UserError("verify --seed, --data and --label: only with --retrain, which uses them")
    if arguments.retrain and not arguments.sweep:
        raise UserError("verify --retrain: needs the name of the sweep whose trials are to be trained again")
    if arguments.copy and not arguments.sweep:
        raise UserError("verify --copy: needs the name of the sweep that was exported")
    store = open_store(arguments.store)
    copy = Path(arguments.copy).expanduser() if arguments.copy else None
    found = verify(store, arguments.sweep, copy)
    say(found.text(store))
    if arguments.repair and found.findings:
        for line in repair(store, arguments.sweep, found):
            say(line)
        found = verify(store, arguments.sweep, copy)
        say(found.text(store))
    is_damaged = bool(found.findings)
    if arguments.retrain:
        from sweep.retraining import Draw, retrain

        draw = Draw(arguments.retrain, arguments.seed or 1, arguments.data, arguments.label)
        for told in retrain(store, arguments.sweep, draw):
            say(told.text, flush=True)
            is_damaged = is_damaged or told.is_damage
    return ExitCode.INCOMPLETE if is_damaged else ExitCode.DONE
