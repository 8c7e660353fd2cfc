"""`spaces`: list the spaces that ship, or show one."""

import argparse

from cli.options import Commands, add_command, add_space_options


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "spaces",
        "list the spaces that ship, or show one with its trials",
        "List the search spaces that ship with the program, a line each; or show one space with its trials.",
        "spaces\nspaces quickstart\nspaces my_sweep.yaml --set epochs=5",
    )
    parser.add_argument("space", nargs="?", help="name of a shipped space, or path of a YAML file")
    add_space_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from search_spaces.listing import list_spaces, show_space

    print(list_spaces() if arguments.space is None else show_space(arguments.space, arguments.set, arguments.scale))
    return 0
