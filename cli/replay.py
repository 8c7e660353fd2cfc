"""Replay a scheduler on the recorded learning curves of a sweep: how many epochs it would have saved, and how
often it would have stopped the best trial."""

import argparse

from cli.options import add_json, add_store, add_sweep, positive_whole
from trainable.wording import say

SUMMARY = "show what a scheduler would have saved on a sweep's recorded learning curves, and at what risk"
EXAMPLES = ("replay quickstart --scheduler asha", "replay quickstart --scheduler median --min-trials 5 --json")
SCHEDULER_OPTIONS = {
    "grace_epochs": "epochs before the first trial may be stopped (default: 1)",
    "reduction_factor": "asha, promotion, hyperband: keep the best 1/N at each rung (default: 3)",
    "brackets": "asha, hyperband: number of brackets (default: 1, hyperband 3)",
    "min_trials": "median: least number of trials to compare with (default: 3)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    schedulers = ("asha", "promotion", "hyperband", "median")
    parser.add_argument("--scheduler", choices=schedulers, default="asha", help="default: asha")
    for name, meaning in SCHEDULER_OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=positive_whole, metavar="N", help=meaning)
    parser.add_argument(
        "--workers", type=positive_whole, default=1, metavar="N", help="trials that run at the same time (default: 1)"
    )
    parser.add_argument(
        "--orders", type=positive_whole, default=200, metavar="N", help="random orders of the trials (default: 200)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.parquet.files import read_epochs, read_trials
    from results.parquet.trials import epochs_from_table, trials_from_table
    from results.store.opening import open_store
    from sweep.search.curves import recorded_curves

    store, sweep = open_store(arguments.store), arguments.sweep
    trials = trials_from_table(read_trials(store, sweep))
    recorded = recorded_curves(sweep, trials, epochs_from_table(read_epochs(store, sweep)))

    from sweep.search.replay import replay, replay_json, replay_text, scheduler_spec

    options = {name: getattr(arguments, name) for name in SCHEDULER_OPTIONS}
    spec = scheduler_spec({"type": arguments.scheduler, **options})
    result = replay(recorded.curves, spec, arguments.workers, arguments.orders)
    if arguments.json:
        say(replay_json(result, sweep, recorded.metric))
    else:
        say(replay_text(result, sweep, recorded.objective))
    return 0
