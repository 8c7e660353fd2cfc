"""Print a script that makes a shell complete the commands and options of `batchscape`."""

import argparse

from trainable.errors import UserError
from trainable.wording import say

SUMMARY = "print a script that makes bash or zsh complete commands and options"
EXAMPLES = (
    "completion bash > ~/.local/share/bash-completion/completions/batchscape",
    "completion zsh > ~/.zfunc/_batchscape",
)


FILES = ("space", "store", "data", "to", "tensorboard")
"""Arguments that take a path."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise UserError("completion: needs the package shtab: pip install shtab") from None

    (commands,) = (action for action in arguments.parser._actions if action.dest == "command_name")
    for command in commands.choices.values():
        for action in command._actions:
            if action.dest in FILES:
                action.complete = shtab.FILE
    say(shtab.complete(arguments.parser, shell=arguments.shell))
    return 0
