"""A table whose rows link to other parts of the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from results.tables.layout import Column, row_values


@dataclass(frozen=True, slots=True)
class LinkedTable:
    """A table with an anchor for each row, optionally with a heading and a note."""

    columns: list[Column]
    anchors: Sequence[str | None]
    """Anchor that each row links to; None for no link."""
    heading: str = ""
    note: str = ""

    @property
    def rows(self) -> list[list[str]]:
        return row_values(self.columns)
