"""`completion`: what makes a shell complete our commands."""

import argparse

from cli.options import Commands, add_command
from trainable.errors import UserError


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "completion",
        "print a script that makes bash or zsh complete commands and options",
        "Print a script that makes a shell complete the commands and options of `batchscape`.",
        "completion bash > ~/.local/share/bash-completion/completions/batchscape\n"
        "completion zsh > ~/.zfunc/_batchscape",
    )
    parser.add_argument("shell", choices=("bash", "zsh"))
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise UserError("completion: needs the package shtab: pip install shtab") from None

    print(shtab.complete(arguments.parser, shell=arguments.shell))
    return 0
