"""The exceptions for mistakes that a user can correct."""

import contextlib
from collections.abc import Callable, Iterator


class UserError(Exception):
    """A mistake of the user, printed as one line on stderr; the exit status is 2 and nothing is created."""


class FieldError(UserError):
    """A wrong value or name of one field; whoever read the field can add where it stands."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class RunEndedError(UserError):
    """Something ended a run before its trials. It is printed as one line; the exit status is 1."""


class SweepLostError(RunEndedError):
    """Another run has taken over the sweep that this run drove."""


@contextlib.contextmanager
def located(where: str | Callable[[str | None], str]) -> Iterator[None]:
    """Put a location in front of the message of every user error that is raised inside.

    Args:
        where: the location, or a function that finds it from the name of the wrong field (or from None).
    """

    def location(field: str | None) -> str:
        return where if isinstance(where, str) else where(field)

    try:
        yield
    except FieldError as error:
        raise FieldError(error.field, f"{location(error.field)}: {error}") from None
    except UserError as error:
        raise UserError(f"{location(None)}: {error}") from None
