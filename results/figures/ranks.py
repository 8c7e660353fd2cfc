"""Which configurations a figure shows when there are too many for all of them: those at some ranks."""

import re
from dataclasses import dataclass

from trainable.errors import UserError


@dataclass(frozen=True, slots=True)
class Ranks:
    """A range of ranks; the best configuration has rank 1."""

    first: int = 1
    last: int | None = None
    """None for all after `first`."""

    @property
    def positions(self) -> slice:
        """The range as positions in a list that begins with the best."""
        return slice(self.first - 1, self.last)


ALL_RANKS = Ranks()


def parse_ranks(text: str) -> Ranks:
    """Parse `all`, `N` (the best N), or `N-M`.

    Raises:
        UserError: The text is none of these.
    """
    if text == "all":
        return ALL_RANKS
    if found := re.fullmatch(r"(?:([1-9][0-9]{0,8})-)?([1-9][0-9]{0,8})", text):
        ranks = Ranks(int(found[1] or 1), int(found[2]))
        if ranks.first <= int(found[2]):
            return ranks
    raise UserError(f"--curves {text}: write all, a number (the best 24: 24), or a range of ranks (25-48)")


def shown_words(ranks: Ranks, total: int, what: str) -> str:
    """Return which of all things are shown: `the best 24 of 250 configurations`; empty if all of them are."""
    last = total if ranks.last is None else min(ranks.last, total)
    if ranks.first == 1:
        return f"the best {last} of {total} {what}" if last < total else ""
    return f"ranks {ranks.first} to {last} of {total} {what}, the best first"
