"""The rule for names of sweeps. A sweep's name is also the name of its folder in the store."""

import re

from trainable.errors import UserError

SWEEP_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Such a name cannot lead out of the store."""
SWEEP_NAME_RULE = "at most 100 letters, digits, '.', '_' or '-'"
TRIALS = "trials"
"""Folder of the store that holds the trials of all sweeps; no sweep can have this name."""


def sweep_name(space: str, scale: str | None) -> str:
    """Default name of a sweep. A scaled sweep has another name than the full one, so that they never mix."""
    return space if scale is None else f"{space}-{scale}"


def check_sweep_name(name: str) -> None:
    """Refuse a name that no sweep can have.

    Raises:
        UserError: The message shows the rule.
    """
    if not re.fullmatch(SWEEP_NAME_PATTERN, name) or name == TRIALS:
        raise UserError(f"{name!r} cannot name a sweep: use {SWEEP_NAME_RULE}, and not {TRIALS!r}")
