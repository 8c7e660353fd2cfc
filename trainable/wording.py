"""Words for people: counts, lists, values, suggestions and errors."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def counted(count: float, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 trial`, `2 trials`, `0.5 CPU`.

    Args:
        count: the number of things, not negative.
        singular: the noun, or the noun and its verb (`trial is`).
        plural: the same in the plural (`trials are`); by default `singular` with an s.
    """
    return f"{format_value(count)} {singular if 0 < count <= 1 else plural or f'{singular}s'}"


def listed(parts: Sequence[str], most: int) -> str:
    """Return the first `most` parts and how many are left out: `a, b and 4 more`."""
    left_out = len(parts) - most
    return ", ".join(parts) if left_out <= 0 else f"{', '.join(parts[:most])} and {left_out} more"


def shortened(text: str, width: int) -> str:
    """Return the parts of a comma-separated text that fit into `width` characters, at least one: `a and 4 more`."""
    parts = text.split(", ")
    fitting = [most for most in range(1, len(parts) + 1) if len(listed(parts, most)) <= width]
    return listed(parts, max(fitting, default=1))


def format_value(value: object, *, digits: int | None = 6, none: str = "None", separator: str = " ") -> str:
    """Return the value of a training field or a parameter as text.

    Args:
        value: a number, a text, None, or a list or tuple of numbers.
        digits: the number of significant digits of a float; None writes all that are needed to tell it from others.
            The numbers of a list always have six.
        none: the text that stands for None.
        separator: what stands between the numbers of a list.
    """
    if value is None:
        return none
    if isinstance(value, list | tuple):
        return separator.join(f"{item:g}" for item in value)
    return f"{value:.{digits}g}" if isinstance(value, float) and digits is not None else str(value)


def quoted(value: object) -> str:
    """Return a value as Python writes it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return `did you mean 'X'?` for the valid word closest to `word`, or all valid words if none is close."""
    words = list(valid)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(words)}"


def one_line(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop; the error's type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def command(*arguments: str) -> str:
    """Return a command line of ours as the user would type it: `python tune_main.py table quickstart`."""
    is_installed = Path(sys.argv[0]).name == "batchscape"
    return " ".join(["batchscape" if is_installed else "python tune_main.py", *arguments])
