"""Damage that is noticed while records are read, for commands that answer from many records at once."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_NOTICED: ContextVar[dict[str, None] | None] = ContextVar("noticed", default=None)


@contextlib.contextmanager
def noticing() -> Iterator[dict[str, None]]:
    """Collect what is found damaged inside the block, in the order in which it is found.

    The keys name the files, with the line, relative to the store.
    """
    found: dict[str, None] = {}
    token = _NOTICED.set(found)
    try:
        yield found
    finally:
        _NOTICED.reset(token)


def notice(location: str) -> None:
    """Note that a record is damaged and was left out."""
    found = _NOTICED.get()
    if found is not None:
        found[location] = None
