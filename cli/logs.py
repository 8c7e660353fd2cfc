"""Show what the processes of a trial wrote, and why it failed; or that of all failed trials of a sweep."""

import argparse

from cli.options import add_store, not_empty
from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "show what a trial's processes wrote, and why it failed"
EXAMPLES = ("logs 3f9a", "logs --failed --sweep quickstart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trial", nargs="?", type=not_empty, help="the trial's key, or the beginning of it")
    parser.add_argument("--failed", action="store_true", help="all failed trials of the sweep")
    parser.add_argument("--sweep", type=not_empty, help="look among the trials of this sweep only")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from sweep.status.logs import failed_trials, find_trial, trial_text

    if (arguments.trial is None) != arguments.failed:
        raise UserError("logs: give either a trial's key, or the beginning of one, or --failed with --sweep SWEEP")
    if arguments.failed and arguments.sweep is None:
        raise UserError("logs --failed: of which sweep? add --sweep SWEEP")
    store = open_store(arguments.store)
    if arguments.failed:
        names = failed_trials(store, arguments.sweep)
    else:
        names = [find_trial(store, arguments.trial, arguments.sweep)]
    say("\n\n".join(trial_text(store, name) for name in names) or f"no trial of {arguments.sweep} has failed")
    return 0
