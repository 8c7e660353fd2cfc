"""The assignments of a finite space, enumerated. An assignment gives every active parameter a value."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from results.store.search_log import Params
from search_spaces.parameters import SearchParameter
from sweep.search.settings import IsActive

MAX_COUNTED = 10_000
"""Number of assignments up to which a space counts as finite."""


def assignments(parameters: Sequence[SearchParameter], is_active: IsActive) -> Iterator[Params]:
    """Yield every distinct assignment of a finite space; the last parameter varies fastest."""

    def complete(index: int, chosen: dict[str, Any]) -> Iterator[Params]:
        if index == len(parameters):
            yield dict(chosen)
            return
        parameter = parameters[index]
        if not is_active(chosen, parameter.name):
            yield from complete(index + 1, chosen)
            return
        for value in _values(parameter):
            yield from complete(index + 1, {**chosen, parameter.name: value})

    return complete(0, {})


def count_assignments(parameters: Sequence[SearchParameter], is_active: IsActive) -> int | None:
    """Return the number of assignments; None where there are more than MAX_COUNTED."""
    if any(_num_values(parameter) > MAX_COUNTED for parameter in parameters):
        return None
    count = sum(1 for _ in itertools.islice(assignments(parameters, is_active), MAX_COUNTED + 1))
    return count if count <= MAX_COUNTED else None


def identity(params: Params) -> tuple[tuple[str, Any], ...]:
    """Return a hashable value that is equal for equal assignments only; `True` and 1 differ."""
    return tuple((name, repr(value)) for name, value in params.items())


def _num_values(parameter: SearchParameter) -> float:
    """Return the number of values of a parameter, infinity where it is continuous."""
    if parameter.choices is not None:
        return len(parameter.choices)
    if parameter.step is None and parameter.kind == "float":
        return math.inf
    return round((parameter.high - parameter.low) / (parameter.step or 1)) + 1


def _values(parameter: SearchParameter) -> Iterator[Any]:
    if parameter.choices is not None:
        yield from parameter.choices
        return
    for index in range(int(_num_values(parameter))):
        yield parameter.snap(parameter.low + index * (parameter.step or 1))
