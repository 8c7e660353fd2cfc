"""The one exception for mistakes that a user can mend, and words for people."""

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator


class UserError(Exception):
    """A mistake of the user's: printed as one line on stderr, exit status 2, nothing created."""


class FieldError(UserError):
    """A wrong value or name of one field, so that whoever read it can say where it stood."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@contextlib.contextmanager
def located(where: str | Callable[[str | None], str]) -> Iterator[None]:
    """Put the place in front of every user error inside.

    Args:
        where: the place, or how to find it from the field that is wrong (None where no single one is).
    """

    def place(field: str | None) -> str:
        return where if isinstance(where, str) else where(field)

    try:
        yield
    except FieldError as error:
        raise FieldError(error.field, f"{place(error.field)}: {error}") from None
    except UserError as error:
        raise UserError(f"{place(None)}: {error}") from None


def nearest(word: str, valid: Iterable[str]) -> str:
    """'; did you mean X?' for the valid word closest to `word`, or the whole list where none is close."""
    words = list(valid)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(words)}"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def one_line(error: Exception) -> str:
    """Its type, and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
