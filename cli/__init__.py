"""The command line: one module a command, each with `add_parser` and `run`. Only `run` imports what is heavy."""

__version__ = "0.2.0"
