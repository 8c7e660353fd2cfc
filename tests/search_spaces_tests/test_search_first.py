"""The first points of a search, as a space declares them: read, checked with file and line, and shown."""

from pathlib import Path

import pytest

from search_spaces.expansion import expand
from search_spaces.listing import search_lines, show_space
from tests.search_spaces_tests.search_samples import SEARCH, maker_of
from tests.search_spaces_tests.space_samples import load_text, refusal

PARAMETERS = """\
parameters:
  lr: {min: 0.01, max: 1.0, distribution: log_uniform_values}
  batch_size: {values: [32, 64, 128]}
  momentum: {min: 0.8, max: 0.9, distribution: q_uniform, q: 0.05, when: batch_size >= 64}
  nesterov: {values: [true, false]}
"""


def test_points_have_the_types_of_their_parameters(tmp_path: Path) -> None:
    text = f"{SEARCH}{PARAMETERS}first: [{{batch_size: 128.0, lr: 1, momentum: 0.85, nesterov: true}}, {{lr: 0.1}}]\n"
    maker = maker_of(tmp_path, text)
    assert maker.first == [{"lr": 1.0, "batch_size": 128, "momentum": 0.85, "nesterov": True}, {"lr": 0.1}]
    assert [type(value) for value in maker.first[0].values()] == [float, int, float, bool]
    assert "  first            lr=1 batch_size=128 momentum=0.85 nesterov=True" in search_lines(maker)


def test_what_set_fixes_is_no_part_of_a_point(tmp_path: Path) -> None:
    text = f"{SEARCH}{PARAMETERS}first: [{{lr: 0.1, batch_size: 32}}, {{lr: 0.2, batch_size: 32}}, {{lr: 0.3}}]\n"
    assert maker_of(tmp_path, text, {"lr": 0.5}).first == [{"batch_size": 32}]


def test_points_that_are_not_tried_are_noted(tmp_path: Path) -> None:
    points = [{"lr": lr} for lr in (0.1, 0.2, 0.1, 0.3, 0.4, 0.5)]
    load_text(tmp_path, f"{SEARCH}{PARAMETERS}first: {points}\n")
    *_, repeated, too_many = show_space(str(tmp_path / "space.yaml"), []).splitlines()
    assert repeated == "note: first: 1 point is left out, equal to an earlier one"
    assert too_many == "note: first: of 5 different points some are not tried: the search has 4 trials"


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("[{lr: 2}]", "first[0].lr: must be a number from 0.01 to 1, got 2"),
        ("[{lr: 0.1}, {lr: true}]", "first[1].lr: must be a number from 0.01 to 1, got True"),
        ("[{lr: null}]", "first[0].lr: must be a number from 0.01 to 1, got None"),
        ("[{lr: .nan}]", "first[0].lr: must be a number from 0.01 to 1, got nan"),
        ("[{lr: high}]", "first[0].lr: must be a number from 0.01 to 1, got 'high'"),
        ("[{batch_size: 48}]", "first[0].batch_size: is not one of 32, 64, 128: got 48"),
        ("[{nesterov: 1}]", "first[0].nesterov: is not one of True, False: got 1"),
        ("[{momentum: 0.82}]", "first[0].momentum: 0.82 is between two steps: the nearest value is 0.8"),
        (
            "[{batch_size: 32, momentum: 0.8}]",
            "first[0].momentum: is not proposed here, where batch_size >= 64 is false: leave it out",
        ),
        (
            "[{learning_rate: 0.1}]",
            "first[0].learning_rate: is not a parameter: valid: lr, batch_size, momentum, nest",
        ),
        ("[{batchsize: 32}]", "first[0].batchsize: is not a parameter: did you mean 'batch_size'?"),
        ("[{}]", "first[0]: is empty: leave it out"),
        ("", "first: is empty: for example first: [{lr: 0.1, batch_size: 128}], or leave it out"),
        ("{lr: 0.1}", "first: must be a list, got {'lr': 0.1}"),
        ("[{lr: [0.1]}]", "first[0].lr: must be one number or word, got [0.1]"),
    ],
)
def test_a_wrong_point_is_one_line_with_its_key(tmp_path: Path, first: str, message: str) -> None:
    assert refusal(tmp_path, f"{SEARCH}{PARAMETERS}first: {first}\n").partition(":7: ")[2].startswith(message)


def test_a_point_that_no_trial_can_have_is_refused(tmp_path: Path) -> None:
    text = (
        f"{SEARCH}parameters: {{base_lr: {{min: 0.0, max: 1.0}}, gap: {{min: 0.0, max: 1.0}}}}\n"
        "derive: {lr: '0.1 / ((base_lr - 0.75) ** 2 + (gap - 0.25) ** 2)'}\nfirst: [{base_lr: 0.75, gap: 0.25}]\n"
    )
    assert "(proposed: base_lr=0.75 gap=0.25)" in refusal(tmp_path, text)


def test_a_point_may_hold_null_where_it_is_a_value(tmp_path: Path) -> None:
    text = f"{SEARCH}parameters: {{clip_grad_norm: {{values: [null, 1.0]}}}}\nfirst: [{{clip_grad_norm: null}}]\n"
    expand(load_text(tmp_path, text), {})


def test_points_belong_to_a_search_and_fit_a_first_generation(tmp_path: Path) -> None:
    assert "first: belongs to a search" in refusal(tmp_path, "rows: [{lr: 0.1}]\nfirst: [{lr: 0.1}]\n")
    text = (
        "search: {algorithm: random, num_trials: 4}\nscheduler: {type: pbt, population: 2}\n"
        "defaults: {schedule: constant}\nparameters: {lr: {min: 0.1, max: 1.0}}\n"
    )
    expand(load_text(tmp_path, f"{text}first: [{{lr: 0.1}}, {{lr: 0.2}}]\n"), {})
    with_three = refusal(tmp_path, f"{text}first: [{{lr: 0.1}}, {{lr: 0.2}}, {{lr: 0.3}}]\n")
    assert "first: holds 3 points: the first generation of the population has 2" in with_three
