"""Rounding to significant digits, above all of learning rates."""

PRINTED_LR_DIGITS = 6


def round_significant(value: float, digits: int) -> float:
    """Round to a number of significant digits."""
    return float(f"{value:.{digits}g}")


def printed_lr(lr: float) -> float:
    """Round a learning rate as tables print it, so that a computed one equals a published one."""
    return round_significant(lr, PRINTED_LR_DIGITS)
