"""The command line: one module for each command. Its docstring opens the help; only `run` imports what is heavy."""

__version__ = "0.2.0"
