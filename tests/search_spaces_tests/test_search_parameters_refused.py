"""A mistake in `parameters`, or in what `derive` and `when` make of them, is one line with file, line and key."""

from pathlib import Path

import pytest

from search_spaces.expansion import expand
from tests.search_spaces_tests.search_samples import SEARCH
from tests.search_spaces_tests.space_samples import load_text, refusal

FORMS = "{values: [...]} or {min: ..., max: ...}"


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("lr: [0.1, 0.2]", f"lr: must be {FORMS}, got [0.1, 0.2]"),
        ("lr: 0.1", f"lr: must be {FORMS}, got 0.1"),
        ("lr: {value: 0.1}", "lr.value: unknown key 'value': write values: [...], or put the value into d"),
        ("lr: {}", "lr: give either values: [...] or min: ... and max: ..."),
        ("lr: {min: 1}", "lr: give either values: [...] or min: ... and max: ..."),
        ("lr: {min: 1, max: 2, values: [1]}", "lr: give either values, or min and max (distribution and q go with"),
        ("lr: {values: [1], distribution: uniform}", "lr: give either values, or min and max (distribution and q"),
        ("lr: {values: []}", "lr.values: is empty: give at least one entry"),
        ("lr: {values: [0.1, 0.2, 0.1]}", "lr: values holds 0.1 twice"),
        ("milestones: {values: [[0.5]]}", "milestones.values[0]: must be one number or word, got [0.5]"),
        ("lr: {min: small, max: 1.0}", "lr.min: must be a number, got 'small'"),
        ("lr: {min: 2.0, max: 1.0}", "lr: min must be below max, got min 2.0 and max 1.0"),
        (
            "lr: {min: 1.0, max: 1.0}",
            "lr: min must be below max, got min 1.0 and max 1.0: put a single value into def",
        ),
        ("lr: {min: 0.1, max: .inf}", "lr: min and max must be finite numbers, at most 1e+300 in size"),
        (
            "lr: {min: 0.1, max: 1e400}",
            "lr: min and max must be finite numbers, at most 1e+300 in size",
        ),
        (
            "lr: {min: 0, max: 1, distribution: log_uniform_values}",
            "lr: log_uniform_values needs a min above 0, got min 0 and max 1",
        ),
        (
            "lr: {min: 0.1, max: 1, distribution: log_uniform}",
            "lr.distribution: 'log_uniform' is unknown: did you mean 'log_uniform_values'?",
        ),
        (
            "batch_size: {min: 16.5, max: 64, distribution: int_uniform}",
            "batch_size: batch_size is a whole number: distribution: int_uniform, min: 17, max: 64",
        ),
        (
            "batch_size: {min: 16.5, max: 64, distribution: uniform}",
            "batch_size: batch_size is a whole number: distribution: int_uniform, min: 17, max: 64",
        ),
        (
            "lr: {min: 0.5, max: 2, distribution: int_uniform}",
            "lr: int_uniform is for whole numbers: distribution: uniform, or a whole min and max",
        ),
        ("lr: {min: 2.0, max: 1.0}", "lr: min must be below max, got min 2.0 and max 1.0: swap them"),
        (
            "lr: {min: 0.1, max: 1.0, distribution: q_uniform, q: 1e-320}",
            "lr: q must be above 0 and at most max - min, got q 1e-320, min 0.1 and max 1.0",
        ),
        (f"lr: {{min: 1, max: 1{400 * '0'}}}", "lr: min and max must be finite numbers"),
        ("lr: {values: [0.1]}", "lr: values has only one entry, 0.1: give a second one, or move it to d"),
        ("batch_size: {values: [32, 32.0]}", "batch_size: values holds 32 twice"),
        (
            "milestones: {values: [0.5, 0.6]}",
            "milestones: cannot be a parameter of a search: a parameter is a number or a word",
        ),
        ("lr:", "lr: is empty: must be {values: [...]} or {min: ..., max: ...}"),
        ("lr: {min: 0.1, max: }", "lr.max: is empty: give it a value, or leave it out"),
        (
            "lr: {min: 0.1, max: 0.2, when: }",
            "lr.when: is empty: for example when: batch_size >= 64, or leave it out",
        ),
        ("lr: {min: 0.1, max: 0.2, when: ''}", "lr.when: is empty: for example when: batch_size >= 64, or leave it"),
        ("lr: {min: 0.1, max: 0.2, distribution: }", "lr.distribution: is empty: for example distribution: log_unif"),
        ("base_lr: {min: 0.1, max: 0.2}", "base_lr: unknown key 'base_lr': valid: model, model_args, dataset, "),
        ("lr: {min: 0.1, max: 1.0, q: 0.1}", "lr: q goes with distribution: q_uniform or q_log_uniform_values"),
        ("lr: {min: 0.1, max: 1.1, distribution: q_uniform}", "lr: q_uniform needs q, its step: q: 0.1"),
        (
            "lr: {min: 0.1, max: 1.0, distribution: q_uniform, q: 2}",
            "lr: q must be above 0 and at most max - min, got q 2, min 0.1 and max 1.0",
        ),
        (
            "batch_size: {min: 8.0, max: 64.0}",
            "batch_size: batch_size is a whole number: distribution: int_uniform",
        ),
        (
            "batch_size: {min: 8, max: 64, distribution: log_uniform_values}",
            "batch_size: batch_size is a whole number: distribution: q_log_uniform_values, q: 1",
        ),
        ("bach_size: {values: [8, 16]}", "bach_size: unknown key 'bach_size': did you mean 'batch_size'?"),
        ("learning_rate: {min: 0.1, max: 1.0}", "learning_rate: unknown key 'learning_rate': did you mean 'lr'?"),
        ("momentum: {min: 0.8, max: 1.0}", "momentum: momentum must be between 0 and below 1, got 1"),
        ("lr: {min: -1.0, max: 1.0}", "lr: lr must be greater than 0, got -1"),
        (
            "augmentation: {values: [crop, flip]}",
            "augmentation: augmentation 'flip' is unknown: did you mean 'crop_flip",
        ),
        ("augmentation: {min: 0.1, max: 1.0}", "augmentation: augmentation must be a word, got 0.1"),
        (
            "holdout: {min: 0.1, max: 0.2}",
            "holdout: cannot be a parameter of a search: its images guide the search: give it",
        ),
        (
            "seed: {values: [0, 1]}",
            "seed: cannot be a parameter of a search: a search over seeds would select by luck: confirm: {",
        ),
        ("dataset: {values: [digits]}", "dataset: cannot be a parameter of a search: a sweep has one data set"),
    ],
)
def test_mistakes_in_parameters(tmp_path: Path, parameter: str, message: str) -> None:
    text = refusal(tmp_path, f"{SEARCH}parameters:\n  {parameter}\n")
    assert text.startswith(f"FILE:3: parameters.{message}")


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("batch_sise >= 64", "'batch_sise' is not a parameter above 'momentum': did you mean 'batch_size'?"),
        ("lr > 0.1", "'lr' is not above 'momentum': move it there"),
        ("momentum > 0.1", "'momentum' is not above 'momentum': move it there"),
        ("batch_size >=", "cannot read the expression 'batch_size >='"),
        ("batch_size = 64", "cannot read the expression 'batch_size = 64': use == to compare"),
        ("schedule == cosine", "cosine is a word and needs quotes here: 'cosine'"),
        ("schedule > 3", "'schedule' is the word 'cosine', not a number: only == and != work with words"),
    ],
)
def test_mistakes_in_conditions(tmp_path: Path, when: str, message: str) -> None:
    text = (
        f"{SEARCH}parameters:\n  batch_size: {{values: [8, 64]}}\n  schedule: {{values: [cosine, constant]}}\n"
        f"  momentum:\n    min: 0.8\n    max: 0.9\n    when: {when}\n  lr: {{min: 0.1, max: 0.2}}\n"
    )
    assert refusal(tmp_path, text) == f"FILE:8: parameters.momentum.when: {message}"


def test_a_condition_that_is_never_true(tmp_path: Path) -> None:
    text = (
        f"{SEARCH}parameters:\n  schedule: {{values: [cosine, constant]}}\n"
        "  lr_min_factor:\n    values: [0.1, 0.01]\n    when: schedule == 'cosin'\n"
    )
    message = "is never true, the values above are schedule: cosine, constant"
    assert refusal(tmp_path, text) == f"FILE:6: parameters.lr_min_factor.when: {message}"


def test_a_condition_on_a_range_that_is_never_true(tmp_path: Path) -> None:
    text = (
        SEARCH + "parameters:\n  batch_size: {min: 16, max: 64}\n  lr: {min: 0.1, max: 0.2, when: batch_size > %s}\n"
    )
    message = "FILE:4: parameters.lr.when: is never true, the values above are batch_size: 16 to 64"
    assert refusal(tmp_path, text % 64) == message
    assert expand(load_text(tmp_path, text % 63), {}).search is not None


@pytest.mark.parametrize(
    ("parameters", "rest", "message"),
    [
        (
            "base_lr: {min: 0.1, max: 0.2}",
            "derive: {lr: bse_lr * batch_size / 128}",
            "FILE:4: derive.lr: 'bse_lr' has no number: did you mean 'base_lr'? (nothing uses 'base_lr' of line 3)",
        ),
        (
            "base_lr: {min: 0.1, max: 0.2}",
            "derive: {lr: base_lr * bach_size / 128}",
            "FILE:4: derive.lr: 'bach_size' has no number: did you mean 'batch_size'?",
        ),
        (
            "bach_size: {values: [8, 64]}",
            "  lr: {min: 0.1, max: 0.2, when: batch_size > 8}",
            "FILE:3: parameters.bach_size: unknown key 'bach_size': did you mean 'batch_size'?",
        ),
        (
            "lr: {min: 0.1, max: 0.2}",
            "derive: {momentum: lr / (1 - 1)}",
            "FILE:4: derive.momentum: 'lr / (1 - 1)' cannot be computed: float division by zero (proposed: lr=0.1)",
        ),
        (
            "share: {min: 0.1, max: 1.0}",
            "derive: {batch_size: share * 100}",
            "FILE:4: derive.batch_size: batch_size must be a whole number, got ",
        ),
        (
            "trial: {min: 1, max: 9}",
            "derive: {seed: trial}",
            "FILE:4: derive.seed: cannot depend on a parameter of a search: a search over seeds would select by luck",
        ),
        (
            "lr: {min: 0.1, max: 0.2}",
            "derive: {momentum: weight_decay, weight_decay: momentum}",
            "FILE:4: derive: is circular: ",
        ),
    ],
)
def test_a_name_is_blamed_where_it_is_wrong(tmp_path: Path, parameters: str, rest: str, message: str) -> None:
    assert refusal(tmp_path, f"{SEARCH}parameters:\n  {parameters}\n{rest}\n").startswith(message)


def test_set_may_make_a_condition_false(tmp_path: Path) -> None:
    text = f"""{SEARCH}parameters:
  schedule: {{values: [cosine, constant]}}
  momentum: {{values: [0.7, 0.8], when: schedule == 'cosine'}}
  weight_decay: {{values: [0.1, 0.2], when: momentum == 0.7}}
  lr: {{min: 0.1, max: 0.2}}
"""
    assert expand(load_text(tmp_path, text), {"schedule": "constant"}).search is not None


def test_a_conditional_variable_needs_a_default(tmp_path: Path) -> None:
    text = (
        f"{SEARCH}parameters:\n  batch_size: {{values: [8, 64]}}\n"
        "  factor: {min: 0.1, max: 0.9, when: batch_size > 8}\nderive: {lr: factor * batch_size}\n"
    )
    message = "FILE:4: parameters.factor.when: 'factor' has no value where this is false: give one in defaults"
    assert refusal(tmp_path, text) == message
    assert expand(load_text(tmp_path, text + "defaults: {factor: 0.5}\n"), {}).search is not None


def test_a_derived_field_that_some_proposal_makes_impossible(tmp_path: Path) -> None:
    text = f"{SEARCH}parameters: {{shift: {{min: 0, max: 1}}}}\nderive:\n  lr: 0.5 - shift\n"
    assert refusal(tmp_path, text) == ("FILE:4: derive.lr: lr must be greater than 0, got -0.5 (proposed: shift=1)")
