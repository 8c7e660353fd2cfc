"""Words for people."""

import pytest

from trainable.rounding import printed_lr, round_significant
from trainable.wording import counted, format_value, nearest

VALID = ["run", "--store", "quickstart", "holdout_loss", "holdout_error_percent", "aug_none", "tpe"]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 trials"),
        (0.5, "0.5 trial"),
        (1, "1 trial"),
        (1.5, "1.5 trials"),
        (2, "2 trials"),
        (1234567, "1234567 trials"),
    ],
)
def test_a_count_and_its_noun(count: float, words: str) -> None:
    assert counted(count, "trial") == words


def test_a_plural_that_is_not_regular() -> None:
    assert [counted(count, "trial is", "trials are") for count in (1, 2)] == ["1 trial is", "2 trials are"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.1 + 0.2, "0.3"),
        (1e-5, "1e-05"),
        (128, "128"),
        ("cosine", "cosine"),
        (None, "None"),
        ((0.5, 1 / 3), "0.5 0.333333"),
    ],
)
def test_a_value_in_six_digits(value: object, words: str) -> None:
    assert format_value(value) == words


def test_a_value_as_asked_for() -> None:
    assert format_value(0.123456, digits=4) == "0.1235"
    assert format_value(0.1 + 0.2, digits=None) == "0.30000000000000004"
    assert format_value(None, none="-") == "-"
    assert format_value([0.5, 0.75], digits=None, separator=",") == "0.5,0.75"


def test_rounding() -> None:
    assert round_significant(0.1 + 0.2, 12) == 0.3
    assert printed_lr(0.1 * 3 / 7) == 0.0428571


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rum", "did you mean 'run'?"),
        ("--stroe", "did you mean '--store'?"),
        ("Quickstart", "did you mean 'quickstart'?"),
        ("holdout_eror", "did you mean 'holdout_error_percent'?"),
        ("nope", f"valid: {', '.join(VALID)}"),  # not aug_none
        ("bayes", "did you mean 'tpe'?"),
        ("program", "leave it out"),
    ],
)
def test_the_word_that_is_meant(word: str, hint: str) -> None:
    assert nearest(word, VALID, {"bayes": "tpe", "program": "leave it out"}) == hint


def test_of_many_words_the_first_are_named() -> None:
    assert nearest("x", [f"word_{number}" for number in range(100)]).endswith("word_19 and 80 more")
