"""Rounding to significant digits, above all of learning rates."""

from typing import TypeVar

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


def printed_lr(lr: float) -> float:
    """Round a learning rate as tables print it, so that a computed one equals a published one."""
    return round_significant(lr, PRINTED_LR_DIGITS)
