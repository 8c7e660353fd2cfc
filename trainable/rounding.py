"""Rounding to significant digits, above all of learning rates."""

from collections.abc import Mapping
from typing import Any, TypeVar

PRINTED_LR_DIGITS = 6
COMPUTED_DIGITS = 12
Value = TypeVar("Value")


def round_significant(value: float, digits: int) -> float:
    """Round to a number of significant digits."""
    return float(f"{value:.{digits}g}")


def tidied(value: Value) -> Value | float:
    """Remove the rounding errors of a computed number: 0.1 + 0.2 is 0.3. What is whole, or no float, stays."""
    if not isinstance(value, float) or value.is_integer():
        return value
    return round_significant(value, COMPUTED_DIGITS)


def tidied_results(value: Any) -> Any:  # noqa: ANN401 (what JSON can hold)
    """Apply `tidied` to all numbers in the results that a program gets: a mean of 77.6 and 77.8 is 77.7."""
    if isinstance(value, Mapping):
        return {name: tidied_results(part) for name, part in value.items()}
    return [tidied_results(part) for part in value] if isinstance(value, list | tuple) else tidied(value)


def printed_lr(lr: float) -> float:
    """Round a learning rate as tables print it, so that a computed one equals a published one."""
    return round_significant(lr, PRINTED_LR_DIGITS)
