"""Lists in words."""

from collections.abc import Sequence


def listed(parts: Sequence[str], most: int) -> str:
    """`a, b and 4 more`: at most so many by name."""
    left_out = len(parts) - most
    return ", ".join(parts) if left_out <= 0 else f"{', '.join(parts[:most])} and {left_out} more"


def shortened(text: str, width: int) -> str:
    """As many of its parts between commas as `width` characters hold, at least the first: `lr 0.1 and 4 more`."""
    parts = text.split(", ")
    fitting = [most for most in range(1, len(parts) + 1) if len(listed(parts, most)) <= width]
    return listed(parts, max(fitting, default=1))
