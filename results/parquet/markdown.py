"""Text of unknown origin in Markdown: names, descriptions, errors and YAML files."""

import re

from trainable.wording import printable

_INLINE = re.compile(r"[\\`*|$~]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[])|\[(?=\^)|^\[(?=.*\]:)")
"""What is markup inside a line. An underscore inside a word is none, nor are brackets that are no link, which `[a]:`
is at the beginning of a line only."""


def escaped(text: str) -> str:
    """Return the text as one line that Markdown, and HTML inside it, shows unchanged."""
    flat = printable(" ".join(text.split()))
    return _INLINE.sub(r"\\\g<0>", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def paragraph(text: str) -> str:
    """Return the text as a paragraph of one line that Markdown shows unchanged."""
    line = escaped(text)
    number = re.match(r"\d{1,9}(?=[.)])", line)
    if number:
        return f"{number[0]}\\{line[number.end() :]}"
    return f"\\{line}" if re.match(r"[-+=#\[]", line) else line


def code_block(text: str, language: str = "") -> str:
    """Return the text in a code block whose fence the text cannot close."""
    shown = printable(text.replace("\r\n", "\n")).rstrip()
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"
