"""Errors name the location of a wrong key or value."""

from pathlib import Path

import pytest

from tests.search_spaces_tests.space_samples import expand_text, refusal

UNKNOWN = "unknown key 'learnrate'"
NEGATIVE = "lr must be greater than 0, got -1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults:\n  epochs: 3\n  lr: -1\nrows:\n  - seed: 1\n", f"FILE:3: defaults.lr: {NEGATIVE}"),
        ("rows:\n  - lr: 1\n  - seed: 1\n    lr: -1\n", f"FILE:4: rows[1].lr: {NEGATIVE}"),
        ("grid:\n  seed: [1]\n  lr: [1, -1]\n", f"FILE:3: grid.lr: {NEGATIVE}"),
        ("rows:\n  - seed: 1\nderive:\n  lr: 0 - 1\n", NEGATIVE),
        ("rows:\n  - lr: fast\n", "FILE:2: rows[0].lr: lr must be a number, got 'fast'"),
        ("rows:\n  - lr: .inf\n", "FILE:2: rows[0].lr: lr must be a finite number, got inf"),
        ("rows:\n  - epochs: 2.5\n", "FILE:2: rows[0].epochs: epochs must be a whole number, got 2.5"),
        (
            "rows:\n  - schedule: cosin\n",
            "FILE:2: rows[0].schedule: schedule 'cosin' is unknown: did you mean 'cosine'?",
        ),
    ],
)
def test_impossible_values(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("defaults:\n  epochs: 1\n  batchsize: 3\nrows: [{seed: 1}]\n", "FILE:3: defaults.batchsize"),
        ("rows:\n  - seed: 1\n  - batchsize: 3\n", "FILE:3: rows[1].batchsize"),
        ("grid:\n  batchsize: [3]\n", "FILE:2: grid.batchsize"),
    ],
)
def test_unknown_keys_name_the_nearest(tmp_path: Path, text: str, place: str) -> None:
    assert refusal(tmp_path, text) == f"{place}: unknown key 'batchsize': did you mean 'batch_size'?"


def test_a_variable_that_derive_does_not_use_is_unknown(tmp_path: Path) -> None:
    message = refusal(tmp_path, "rows:\n  - {bse_lr: 1, base_lr: 1}\nderive: {lr: base_lr}\n")
    assert message == "FILE:2: rows[0].bse_lr: unknown key 'bse_lr': did you mean 'base_lr'?"


def test_a_variable_that_is_misspelt_is_named_with_the_name_that_derive_uses(tmp_path: Path) -> None:
    message = refusal(tmp_path, "rows:\n  - bse_lr: 1\nderive: {lr: base_lr}\n")
    assert message == (
        "FILE:3: derive.lr: 'base_lr' has no number: did you mean 'bse_lr'? (nothing uses 'bse_lr' of line 2)"
    )


def test_a_word_from_elsewhere_is_translated(tmp_path: Path) -> None:
    assert refusal(tmp_path, "rows:\n  - learning_rate: 1\n").endswith("did you mean 'lr'?")


def test_a_wrong_default_that_a_row_overrides_does_no_harm(tmp_path: Path) -> None:
    assert len(expand_text(tmp_path, "defaults: {lr: -1}\nrows: [{lr: 1}]").trials) == 1


def test_set_is_named_as_the_location(tmp_path: Path) -> None:
    text = "defaults: {lr: 1}\nrows: [{seed: 1}]"
    derived = "rows: [{batch_size: 64}]\nderive: {lr: batch_size / 640}\n"
    wanted = "--set: batch_size must be a whole number, got [10, 64]"
    assert refusal(tmp_path, derived, {"batch_size": [10, 64]}) == wanted
    assert refusal(tmp_path, text, {"lr": -1}) == f"--set: {NEGATIVE}"
    assert refusal(tmp_path, text, {"learnrate": 1}).startswith(f"--set: {UNKNOWN}")


@pytest.mark.parametrize("field", ["dataset_fingerprint", "recipe_version"])
def test_what_the_program_finds_out_is_not_set(tmp_path: Path, field: str) -> None:
    wanted = f"{field!r} is computed by the program and cannot be set"
    assert refusal(tmp_path, f"rows: [{{{field}: 1}}]").endswith(wanted)
    assert refusal(tmp_path, "rows: [{lr: 1}]", {field: 1}) == f"--set: {wanted}"


def test_fields_that_do_not_go_together_are_named_at_the_field(tmp_path: Path) -> None:
    text = "defaults:\n  schedule: multistep\n  milestones: [5]\nrows:\n  - epochs: 4\n"
    assert refusal(tmp_path, text).startswith("FILE:3: defaults.milestones: milestones must rise and lie inside")
