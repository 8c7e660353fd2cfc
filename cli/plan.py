"""Show which trials of a space `run` would still train, and estimate how long they take from the store's own
trials. With the word `published` in place of the space, show how many trainings, epochs and GPU-hours the published
tables took. Nothing is trained or written."""

import argparse

from cli.options import (
    PUBLISHED,
    add_data,
    add_extend,
    add_name,
    add_space_options,
    add_store,
    add_trial_resources,
    positive_whole,
    request_from,
)
from trainable.wording import say

SUMMARY = "show what `run` would train and how long it takes"
EXAMPLES = (
    "plan quickstart",
    "plan my_sweep.yaml --probe --slots 8 16",
    "plan initial_lr --scale smoke --verbose",
    "plan published",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "space", metavar="SPACE|published", help="name of a shipped space, path of a YAML file, or the published rows"
    )
    parser.add_argument("--verbose", action="store_true", help="print a line for every trial")
    add_name(parser)
    add_extend(parser)
    add_store(parser)
    add_data(parser)
    parser.add_argument(
        "--probe", action="store_true", help="time a few steps on this machine where the store cannot tell"
    )
    add_trial_resources(parser)
    parser.add_argument(
        "--slots",
        type=positive_whole,
        nargs="+",
        metavar="N",
        help="estimate the time for these numbers of parallel trials (default: up to what this machine can run)",
    )
    add_space_options(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.space == PUBLISHED:
        from results.published.counts import published_plan

        say(published_plan())
        return 0

    from results.store.opening import open_store
    from search_spaces.own_code import missing_import
    from sweep.plan.text import PlanRequest, plan_parts, planned_data
    from sweep.preparation import read_space
    from sweep.request import SpaceRequest
    from trainable.ledger.remote import is_uri

    asked = request_from(arguments, SpaceRequest)
    space = read_space(asked)
    store = open_store(arguments.store)
    if not is_uri(arguments.store):  # in a bucket the check would write an object
        store.check_writable(space.sweep)
    request = PlanRequest(
        store=store,
        sweep=space.sweep,
        data=planned_data(asked, space.trials, store, space.sweep),
        rule=space.rule,
        probe=arguments.probe,
        slots=arguments.slots,
        verbose=arguments.verbose,
        extend=arguments.extend,
        keep_weights=space.loaded.space.keep_weights,
    )
    for part in plan_parts(request, space.expansion):
        say(part, flush=True)
    if (missing := missing_import(space.expansion.sources)) is not None:
        say(f"note: {missing}")
    return 0
