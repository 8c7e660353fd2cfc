"""Refresh docs/cli.md, which describes every command, from the parser."""

import argparse

from cli.options import EXIT_CODES
from cli.parser import COMMANDS, build_parser
from trainable.reference_pages import markdown_table, refreshed


def refresh(page: str) -> str:
    """Return the page with every command, its arguments, options and examples, and with the exit codes."""
    parser = build_parser()
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    commands: dict[str, argparse.ArgumentParser] = subparsers.choices
    overview = [(f"[`{name}`](#{name})", COMMANDS[name].SUMMARY) for name in commands]
    codes = [line.split(maxsplit=1) for line in EXIT_CODES.splitlines()[1:]]
    made = {
        "overview": markdown_table(["command", "what it does"], overview),
        "commands": "\n".join(_section(name, command) for name, command in commands.items()),
        "exit_codes": markdown_table(["code", "meaning"], codes),
    }
    return refreshed(page, made)


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    table = markdown_table(["argument", "meaning"], [(_names(action), action.help or "") for action in actions])
    examples = [f"{parser.prog.split()[0]} {line}" for line in COMMANDS[name].EXAMPLES]
    description = " ".join(str(COMMANDS[name].__doc__).split())
    return "\n".join([f"## {name}", "", description, "", table, "```", *examples, "```", ""])


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
