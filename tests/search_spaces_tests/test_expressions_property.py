"""On random arithmetic an expression gives what Python gives."""

import math
import random

import pytest

from search_spaces.expressions import FUNCTIONS, Expression, Number
from trainable.errors import UserError

VALUES: dict[str, Number] = {"a": 3, "b": -2.5, "c": 0.125, "batch_size": 128, "epochs": 200}
BINARY = ("+", "-", "*", "/", "//", "%")
COMPARE = ("<", "<=", ">", ">=", "==", "!=")


def random_text(dice: random.Random, depth: int) -> str:
    """An expression, with the spaces and brackets of a careless writer."""
    if depth == 0 or dice.random() < 0.1:
        return dice.choice([*VALUES, str(dice.randint(0, 9)), f"{dice.uniform(0, 3):.3f}", "1e-3"])
    one, two, three = (random_text(dice, depth - 1) for _ in range(3))
    match dice.randrange(7):
        case 0 | 1:
            return f"{one} {dice.choice(BINARY)} {two}"
        case 2:
            return f"({one}) {dice.choice(BINARY)} ({two})"
        case 3:
            return f"-({one})"
        case 4:
            return f"({one} if {two} {dice.choice(COMPARE)} {three} else {two})"
        case 5:
            return f"{dice.choice(['min', 'max'])}({one}, {two}, {three})"
    return f"({one}) ** {dice.randint(0, 3)}"


def python_value(text: str) -> float | None:
    """None where Python finds no finite real number either."""
    try:
        value = eval(text, {"__builtins__": {}}, {**FUNCTIONS, **VALUES})  # noqa: S307 (made above)
        return float(value) if math.isfinite(value) else None
    except (ArithmeticError, ValueError):
        return None


@pytest.mark.parametrize("seed", range(5))
def test_as_python_computes_it(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 (no secret)
    texts = [text for text in (random_text(dice, 3) for _ in range(150)) if len(text) <= 500]
    computed = 0
    for text in texts:
        expected = python_value(text)
        if expected is None:
            with pytest.raises(UserError):
                Expression(text).compute(VALUES)
        else:
            computed += 1
            assert Expression(text).compute(VALUES) == pytest.approx(expected, rel=1e-12), text
    assert computed > 75
