"""The Pareto front: the items that no other item beats."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def pareto_front(items: Iterable[Item], values: Callable[[Item], Sequence[float]]) -> list[Item]:
    """Return the items that no other item dominates, sorted by their values; smaller values are better.

    Items with equal values do not dominate each other and keep their order.
    """
    front: list[Item] = []
    for item in sorted(items, key=lambda item: tuple(values(item))):  # only items sorted before it can dominate it
        if not any(dominates(values(other), values(item)) for other in front):
            front.append(item)
    return front


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether no value of `first` is larger than that of `second`, and at least one is smaller."""
    return tuple(first) != tuple(second) and all(a <= b for a, b in zip(first, second, strict=True))
