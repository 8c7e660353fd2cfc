"""Words for people: counts, lists, values, suggestions and errors; and how they reach a terminal."""

import difflib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but line feed and tab, marks that reorder text, line separators, and surrogates."""

CLOSE = 0.6
"""Least similarity, from 0 to 1, of a word that is suggested in place of another."""
SHORTEST_BEGINNING = 3
"""Smallest number of characters that can be the beginning of a word."""
MAX_LISTED = 20
"""Largest number of valid words that are named where none is close."""


def printable(text: str) -> str:
    """Return text of unknown origin in a form that cannot command a terminal; line feeds and tabs stay."""
    return _UNPRINTABLE.sub(_escape, text)


def printable_line(text: str) -> str:
    """Return text of unknown origin as one line that cannot command a terminal."""
    return re.sub(r"[\n\t]", _escape, printable(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return {"\n": "\\n", "\t": "\\t"}.get(match[0], f"\\x{code:02x}" if code < 2**8 else f"\\u{code:04x}")


def say(text: object, *, file: IO[str] | None = None, end: str = "\n", flush: bool = False) -> None:
    """Print text that may hold names and errors of unknown origin. All output to a terminal goes through here."""
    stream = sys.stdout if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = printable(str(text)).encode(encoding, "backslashreplace").decode(encoding)
    print(shown, file=stream, end=end, flush=flush)


def json_text(value: object, indent: int | None = 1) -> str:
    """Return a value as JSON in ASCII without control characters, so that it can be printed as it is."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


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
    """Return the value of a training field or a parameter as one line of text.

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
    if not isinstance(value, float):
        return printable_line(str(value))
    text = f"{value:.{digits or 6}g}"
    return text if digits is not None or float(text) == value else str(value).removesuffix(".0")


def quoted(value: object) -> str:
    """Return a value as Python writes it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def closest(word: str, valid: Iterable[str], most: int = 1) -> list[str]:
    """Return the valid words that are like `word` or begin like it, whatever their case; the closest comes first."""
    written = word.casefold()
    matcher = difflib.SequenceMatcher(b=written, autojunk=False)

    def likeness(name: str) -> float:
        matcher.set_seq1(name)
        return matcher.ratio()

    def score(name: str) -> float:
        beginning = likeness(name[: len(written)].casefold()) if len(written) >= SHORTEST_BEGINNING else 0.0
        return max(likeness(name.casefold()), beginning - 0.05)

    scores = {name: score(name) for name in valid}
    close = [name for name in scores if scores[name] >= CLOSE]
    return sorted(close, key=lambda name: (-scores[name], -difflib.SequenceMatcher(None, word, name).ratio()))[:most]


def nearest(word: str, valid: Iterable[str], translations: Mapping[str, str] | None = None) -> str:
    """Return `did you mean 'X'?` for the valid word that is meant, or the valid words if none is close.

    Args:
        word: what was written.
        valid: what could have been written.
        translations: word of other tools -> our word, or a sentence that says what to write.
    """
    words = list(valid)
    translation = (translations or {}).get(word.casefold(), "")
    if translation and translation not in words:
        return translation if " " in translation else f"our word is {translation!r}"
    close = [translation] if translation else closest(word, words)
    return f"did you mean {close[0]!r}?" if close else f"valid: {listed(words, MAX_LISTED)}"


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
