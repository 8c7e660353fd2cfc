"""The text of `docs/cli.md`, made from the parser."""

import argparse

from cli.options import EXIT_CODES
from cli.parser import build_parser

HEAD = """\
# Commands

<!-- Made by `python docs/generate.py`. Change cli/ instead of this page. -->

After `pip install .` the program is called `batchscape`. In a checkout `python tune_main.py` does the same.
`batchscape COMMAND --help` shows the help of a command, `batchscape --version` the version, and
`batchscape completion bash` (or `zsh`) prints a script that completes commands and options.
"""


def markdown() -> str:
    """Write the whole page: every command with its arguments, options and examples, and the exit codes."""
    parser = build_parser()
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    commands: dict[str, argparse.ArgumentParser] = subparsers.choices
    summaries = {action.dest: action.help or "" for action in subparsers._choices_actions}
    overview = ["| command | what it does |", "|:--|:--|"]
    overview += [f"| [`{name}`](#{name}) | {_cell(summaries[name])} |" for name in commands]
    sections = [_section(name, command) for name, command in commands.items()]
    codes = [line.split(maxsplit=1) for line in EXIT_CODES.splitlines()[1:]]
    exits = [
        "## Exit codes",
        "",
        "| code | meaning |",
        "|--:|:--|",
        *(f"| {code} | {text} |" for code, text in codes),
    ]
    return "\n".join([HEAD, *overview, "", *sections, *exits]) + "\n"


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    rows = [
        f"| {_names(action)} | {_cell(action.help or '')} |"
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    table = ["| argument | meaning |", "|:--|:--|", *rows, ""] if rows else []
    examples = [line.strip() for line in (parser.epilog or "").splitlines() if line.startswith("  batchscape ")]
    description = " ".join((parser.description or "").split())
    return "\n".join([f"## {name}", "", description, "", *table, "```", *examples, "```", ""])


def _names(action: argparse.Action) -> str:
    """Write how an argument is typed: `--store DIR`, or `SWEEP` where its position names it."""
    value = "" if action.nargs == 0 else _value(action)
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{f'{option} {value}'.strip()}`" for option in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        name = "|".join(action.choices)
    else:
        name = str(action.metavar or (action.dest if not action.option_strings else action.dest.upper()))
    name = name.replace("|", " or ")
    return {"?": f"[{name}]", "+": f"{name} ..."}.get(str(action.nargs), name)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
