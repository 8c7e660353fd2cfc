"""List the search spaces that ship with the program, a line each; or show one space with its trials."""

import argparse

from cli.options import add_space_options
from trainable.wording import say

SUMMARY = "list the spaces that ship, or show one with its trials"
EXAMPLES = ("spaces", "spaces quickstart", "spaces my_sweep.yaml --set epochs=5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", nargs="?", help="name of a shipped space, or path of a YAML file")
    add_space_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from search_spaces.listing import list_spaces, show_space

    if arguments.space is None:
        say(list_spaces())
    else:
        say(show_space(arguments.space, arguments.overrides, arguments.scale))
    return 0
