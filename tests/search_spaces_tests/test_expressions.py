"""What an expression of `derive` computes."""

import pytest

from search_spaces.expressions import Expression, Number

VALUES: dict[str, Number] = {"a": 6, "b": 4, "x": 0.5, "zero": 0, "batch_size": 512, "base_lr": 0.1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b", 10),
        ("a - b", 2),
        ("a * b", 24),
        ("a / b", 1.5),
        ("a // b", 1),
        ("a % b", 2),
        ("a ** 2", 36),
        ("2 ** -1", 0.5),
        ("-a", -6),
        ("+a", 6),
        ("base_lr * batch_size / 128", 0.4),
        ("1e-3 * 2", 0.002),
    ],
)
def test_arithmetic(text: str, value: float) -> None:
    assert Expression(text).compute(VALUES) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("2 - 3 - 4", -5),
        ("16 / 4 / 2", 2),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("7 // 2 * 2", 6),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("not 0 + 1", 0),
        ("1 or 0 and 0", 1),
    ],
)
def test_precedence(text: str, value: float) -> None:
    assert Expression(text).compute({}) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 if a > b else 2", 1),
        ("1 if a < b else 2", 2),
        ("1 if b < a <= 6 else 2", 1),
        ("1 if b < a < 6 else 2", 2),
        ("1 if a == 6 else 2", 1),
        ("1 if a != 6 else 2", 2),
        ("1 if a >= 6 else 2", 1),
        ("1 if a > b and x > b else 2", 2),
        ("1 if a > b or x > b else 2", 1),
        ("1 if not zero else 2", 1),
        ("1 if zero else 2 if x else 3", 2),
        ("1 / zero if zero else 7", 7),
        ("3 if zero and 1 / zero else 4", 4),
        ("3 if a or 1 / zero else 4", 3),
    ],
)
def test_conditions(text: str, value: float) -> None:
    assert Expression(text).compute(VALUES) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("min(a, b, x)", 0.5),
        ("max(a, b, x)", 6),
        ("sqrt(b)", 2),
        ("log2(batch_size)", 9),
        ("round(a / b)", 2),
        ("round(1.2345, 2)", 1.23),
        ("int(1.9)", 1),
        ("max(min(a, 5), sqrt(16))", 5),
    ],
)
def test_functions(text: str, value: float) -> None:
    assert Expression(text).compute(VALUES) == value


def test_the_names_it_needs_are_known_functions_apart() -> None:
    assert Expression("max(base_lr, 0.1) * sqrt(batch_size) if a else b").names == {
        "base_lr",
        "batch_size",
        "a",
        "b",
    }


def test_a_name_like_a_function_is_a_name() -> None:
    assert Expression("min * 2").compute({"min": 3}) == 6


def test_space_around_is_allowed() -> None:
    assert Expression("  1 + 1\n").compute({}) == 2


def test_or_gives_the_first_value_that_counts() -> None:
    """`and` and `or` return an operand, as in Python: `warm or 0.1` means 'warm, else 0.1'."""
    assert Expression("(zero or x) * 2").compute(VALUES) == 1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("schedule == 'cosine'", 1),
        ("'cosine' != schedule", 0),
        ("schedule == 'constant' or a == 6", 1),
        ("2 if schedule == 'cosine' else 3", 2),
        ("a == 'cosine'", 0),
    ],
)
def test_words_can_be_compared(text: str, value: float) -> None:
    assert Expression(text).compute({**VALUES, "schedule": "cosine"}) == value
