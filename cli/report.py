"""Write everything that there is to say about a sweep into one HTML file, which any browser opens without a
network, and one Markdown file. The HTML page is interactive: its table sorts and filters, its charts are linked, and
a click on a trial shows its curve, configuration, attempts and, if it failed, the end of its log."""

import argparse
from pathlib import Path

from cli.options import add_store, add_sweep, output_folder
from trainable.wording import say

SUMMARY = "write report.html and report.md: everything about a sweep"
EXAMPLES = ("report quickstart", "report quickstart --to my_folder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_store(parser)
    parser.add_argument("--to", type=output_folder, metavar="DIR", help="default: STORE/SWEEP")


def run(arguments: argparse.Namespace) -> int:
    from results.report.files import write_report
    from results.store.opening import open_store

    store = open_store(arguments.store)
    if arguments.to:
        locations = [str(path) for path in write_report(store, arguments.sweep, Path(arguments.to))]
    else:
        with store.writing(arguments.sweep) as scratch:
            paths = write_report(store, arguments.sweep, scratch)
        locations = [store.location(arguments.sweep, path.name) for path in paths]
    for location in locations:
        say(location)
    return 0
