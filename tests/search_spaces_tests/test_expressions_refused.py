"""An expression can do arithmetic and nothing else."""

import pytest

from search_spaces.expressions import MAX_EXPONENT, MAX_LENGTH, Expression
from trainable.errors import UserError


def refusal(text: str, values: dict[str, int | float] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        Expression(text).compute({"a": 1, "b": -1.5, "zero": 0} if values is None else values)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "text",
    [
        "a.real",
        "a.__class__",
        "().__class__.__bases__",
        "a[0]",
        "'text'",
        "'a' * 3",
        "b'1'",
        "f'{a}'",
        "None",
        "...",
        "1j",
        "lambda: 1",
        "(lambda: 1)()",
        "[a for a in (1, 2)]",
        "{a for a in (1, 2)}",
        "max(x for x in (1, 2))",
        "(a := 3)",
        "[1, 2]",
        "(1, 2)",
        "{}",
        "max(*a)",
        "round(a, ndigits=1)",
        "a @ a",
        "a << 2",
        "a >> 2",
        "a | 1",
        "a & 1",
        "a ^ 1",
        "~a",
        "a is a",
        "a in a",
        "a not in a",
        "await a",
        "yield",
        "a.b()",
        "max.__call__(1, 2)",
    ],
)
def test_anything_but_arithmetic(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text", ["", "   ", "1 +", "a b", "a = 1", "import os", "1; 2", "a\nb", "\0", "(" * 300 + "1"]
)
def test_no_expression_at_all(text: str) -> None:
    assert "cannot read the expression" in refusal(text)


@pytest.mark.parametrize("call", ["open('x')", "eval('1')", "__import__('os')", "abs(a)", "exp(a)", "print(a)"])
def test_other_functions_are_refused_before_anything_is_computed(call: str) -> None:
    with pytest.raises(UserError):
        Expression(call)


def test_the_nearest_function_is_named() -> None:
    assert refusal("squrt(a)") == "no function 'squrt' in 'squrt(a)': did you mean 'sqrt'?"


def test_a_name_without_a_number_names_the_nearest() -> None:
    assert refusal("bsae_lr * 2", {"base_lr": 0.1}) == "'bsae_lr' has no number: did you mean 'base_lr'?"


@pytest.mark.parametrize("text", ["1 / zero", "1 // zero", "1 % zero", "0 ** -1", "log2(zero)", "sqrt(b)"])
def test_undefined_arithmetic(text: str) -> None:
    assert "cannot be computed" in refusal(text)


@pytest.mark.parametrize("text", ["b ** 0.5", "(-1) ** 0.25"])
def test_complex_results(text: str) -> None:
    assert "root of a negative number" in refusal(text)


@pytest.mark.parametrize("text", [f"2 ** {MAX_EXPONENT + 1}", "2 ** 1e9", "9 ** 9 ** 9", "2 ** -65"])
def test_huge_powers(text: str) -> None:
    assert "the exponent" in refusal(text)


def test_the_largest_power() -> None:
    assert Expression(f"2 ** {MAX_EXPONENT}").compute({}) == 2**64


@pytest.mark.parametrize("text", ["1e308 * 10", "1e308 * 10 - 1e308 * 10", "(1e300) ** 2", "10 ** 64 * 1e300"])
def test_results_that_are_not_finite(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("text", ["max()", "min(1)", "sqrt()", "sqrt(1, 2)", "round(1.5, 0.5)", "int(1, 2, 3)"])
def test_wrong_arguments(text: str) -> None:
    assert "cannot be computed" in refusal(text)


def test_too_long() -> None:
    assert Expression("+" * (MAX_LENGTH - 1) + "1").compute({}) == 1
    assert f"longer than {MAX_LENGTH}" in refusal("1" + " " * MAX_LENGTH)


@pytest.mark.parametrize("text", ["-" * 499 + "1", "not " * 120 + "1", "(" * 150 + "1" + ")" * 150])
def test_deep_nesting_is_computed_or_refused_but_never_a_crash(text: str) -> None:
    try:
        value = Expression(text).compute({})
    except UserError:
        return
    assert abs(value) in (0, 1)


@pytest.mark.parametrize(
    "text", ["word < 'a'", "a < 'b'", "1 < a == 'b'", "'a' + 'b' == word", "word * 3", "word", "-word"]
)
def test_words_are_for_equality_alone(text: str) -> None:
    with pytest.raises(UserError) as caught:
        Expression(text).compute({"a": 1, "word": "text"})
    assert "\n" not in str(caught.value)
