"""Train one configuration in this process, without Ray, under a progress bar. The result goes into the store,
where sweeps find it."""

import argparse
import signal
import sys
import threading
from typing import NoReturn

from cli.options import add_compile, add_data, add_set, add_store, positive_whole
from trainable.wording import counted, say

SUMMARY = "train one configuration here, without Ray"
EXAMPLES = ("train resnet_preact_8 --set epochs=2", "train resnet_preact_20 --set dataset=cifar10 --threads 2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name of the model, for example resnet_preact_20, or FILE.py:NAME")
    add_store(parser)
    add_data(parser)
    parser.add_argument(
        "--threads",
        type=positive_whole,
        metavar="N",
        help="threads to compute with (default: as many as there are idle processors, or as the training began with)",
    )
    add_compile(parser)
    add_set(parser)


def run(arguments: argparse.Namespace) -> int:
    from results.store.opening import open_store
    from search_spaces.expansion import parse_config
    from sweep.exit_codes import ExitCode
    from sweep.observers.live_view import make_console
    from trainable.data.labels import check_subsets
    from trainable.data.sources import load_dataset
    from trainable.errors import UserError
    from trainable.execution import COMPILE_NEEDS_GPU, Execution
    from trainable.processors import idle_processors, usable_processors
    from trainable.provenance import gpu_names
    from trainable.records import Status

    config = parse_config(arguments.model, arguments.overrides)
    if arguments.compile and not gpu_names():
        raise UserError(COMPILE_NEEDS_GPU)
    store = open_store(arguments.store)
    store.check_writable()
    data = load_dataset(config.dataset, arguments.data, arguments.label)
    config = config.for_dataset(*data.identity)
    check_subsets(data, [config])

    attempts = store.summaries([config.trial_key])[config.trial_key].attempts
    begun_with = min(attempts[-1].num_threads, usable_processors()) if attempts else idle_processors()
    threads = arguments.threads or begun_with
    work = f"{counted(config.epochs, 'epoch')} with {counted(threads, 'thread')}"
    say(f"{config.model} on {config.dataset}: {work}", flush=True)

    from trainable.standalone import train

    folder = store.ledgers / config.trial_key
    if threading.current_thread() is threading.main_thread():  # no other may have handlers
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):  # they stop as cleanly as Ctrl-C
            signal.signal(number, _interrupt)
    try:
        status = train(config, data, folder, threads, make_console(), Execution(compile=arguments.compile))
    except KeyboardInterrupt:
        say("\nstopped; the same command resumes from the last checkpoint", file=sys.stderr)
        return ExitCode.INTERRUPTED
    say(f"{status}: {folder}")
    return ExitCode.DONE if status.is_final and status is not Status.DIVERGED else ExitCode.INCOMPLETE


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
