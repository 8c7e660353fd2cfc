"""Print a script that makes a shell complete the commands and options of `batchscape`."""

import argparse

from trainable.errors import UserError

SUMMARY = "print a script that makes bash or zsh complete commands and options"
EXAMPLES = (
    "completion bash > ~/.local/share/bash-completion/completions/batchscape",
    "completion zsh > ~/.zfunc/_batchscape",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise UserError("completion: needs the package shtab: pip install shtab") from None

    print(shtab.complete(arguments.parser, shell=arguments.shell))
    return 0
