"""`derive` computes fields from other keys."""

from pathlib import Path

import pytest

from search_spaces.expansion import expand
from tests.search_spaces_tests.space_samples import expand_text, load_text
from trainable.config import TrainConfig
from trainable.errors import UserError

LINEAR = """
    grid: {batch_size: [64, 256], base_lr: [0.1]}
    derive: {lr: base_lr * batch_size / 128}
"""


def test_the_linear_scaling_rule(tmp_path: Path) -> None:
    trials = expand_text(tmp_path, LINEAR).trials
    assert [trial.config.lr for trial in trials] == [0.05, 0.2]


def test_what_it_was_fed_with_is_recorded(tmp_path: Path) -> None:
    assert [trial.variables for trial in expand_text(tmp_path, LINEAR).trials] == [{"base_lr": 0.1}] * 2


def test_without_variables_nothing_is_recorded(tmp_path: Path) -> None:
    (trial,) = expand_text(tmp_path, "rows: [{batch_size: 64}]\nderive: {lr: batch_size / 640}").trials
    assert trial.config.lr == 0.1
    assert trial.variables == {}


def test_fields_that_nobody_gave_can_be_used(tmp_path: Path) -> None:
    (trial,) = expand_text(tmp_path, "rows: [{lr: 0.2}]\nderive: {epochs: batch_size / 64}").trials
    assert trial.config.epochs == 2


def test_a_derived_field_feeds_the_next(tmp_path: Path) -> None:
    text = "rows: [{base_lr: 0.4}]\nderive: {lr: base_lr * 2, weight_decay: lr / 100}"
    (trial,) = expand_text(tmp_path, text).trials
    assert trial.config.lr == 0.8
    assert trial.config.weight_decay == pytest.approx(0.008)


def test_a_chain_written_backwards_never_takes_the_default_in_silence(tmp_path: Path) -> None:
    text = "rows: [{base_lr: 0.4}]\nderive: {weight_decay: lr / 100, lr: base_lr * 2}"
    try:
        (trial,) = expand_text(tmp_path, text).trials
    except UserError as refusal:
        assert "weight_decay" in str(refusal)
    else:
        assert trial.config.weight_decay == pytest.approx(0.008)


def test_set_on_a_derived_key_wins(tmp_path: Path) -> None:
    trials = expand_text(tmp_path, LINEAR, {"lr": 0.7}).trials
    assert [trial.config.lr for trial in trials] == [0.7, 0.7]
    assert [trial.config.batch_size for trial in trials] == [64, 256]


def test_set_on_a_variable_feeds_the_expression(tmp_path: Path) -> None:
    trials = expand_text(tmp_path, LINEAR, {"base_lr": 1.28}).trials
    assert [trial.config.lr for trial in trials] == pytest.approx([0.64, 2.56])
    assert [trial.variables for trial in trials] == [{"base_lr": 1.28}] * 2


def test_set_on_a_field_feeds_the_expression(tmp_path: Path) -> None:
    (trial,) = expand_text(tmp_path, LINEAR, {"batch_size": 128}).trials
    assert trial.config.lr == 0.1


def test_every_row_has_its_own_value(tmp_path: Path) -> None:
    text = "rows: [{base_lr: 1}, {base_lr: 2, batch_size: 256}]\nderive: {lr: base_lr * batch_size / 128}"
    assert [trial.config.lr for trial in expand_text(tmp_path, text).trials] == [1, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: [{lr: 1}]\nderive:\n  lr: 2 * epochs\n", "lr.*derived too"),
        ("defaults: {lr: 1}\ngrid: {seed: [1]}\nderive:\n  lr: 2 * epochs\n", "lr.*derived too"),
        ("rows: [{seed: 1}]\nderive:\n  lr: 2 *\n", r"space.yaml:3: derive.lr: cannot read the expression"),
        ("rows: [{seed: 1}]\nderive:\n  lr: open(1)\n", r"space.yaml:3: derive.lr: no function 'open'"),
        (
            "rows: [{seed: 1}]\nderive:\n  lrr: '1'\n",
            r"space.yaml:3: derive.lrr: unknown key 'lrr': did you mean 'lr'",
        ),
        ("rows: [{seed: 1}]\nderive: {lr: lr * 2}\n", r"is circular: lr -> lr"),
        ("rows: [{seed: 1}]\nderive: {lr: base_lr}\n", r"derive.lr: 'base_lr' has no number"),
        ("rows: [{seed: 1}]\nderive: {lr: 1 / seed - 1 / 0}\n", r"derive.lr: .*cannot be computed"),
        ("rows: [{seed: 1}]\nderive: {recipe_version: 1 + seed}\n", "computed by the program"),
        ("rows: [{base: words}]\nderive: {lr: base}\n", r"derive.lr: 'base' is the word 'words', not a number"),
        ("rows: [{base: true}]\nderive: {lr: base}\n", "lr must be a number, got True"),
    ],
)
def test_what_cannot_be_derived(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        expand_text(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "lr"),
    [
        ("rows: [{base_lr: 0.1, batch_size: 96}]\nderive: {lr: base_lr * batch_size / 128}", 0.075),
        ("rows: [{base_lr: 0.1}]\nderive: {lr: base_lr + 0.2}", 0.3),
        ("rows: [{lr: 0.07500000000000001}]", 0.07500000000000001),  # as it was written
    ],
)
def test_a_computed_value_has_no_rounding_errors(tmp_path: Path, text: str, lr: float) -> None:
    (trial,) = expand_text(tmp_path, text).trials
    assert trial.config.lr == lr


def test_a_scale_computes_without_rounding_errors(tmp_path: Path) -> None:
    text = "rows: [{lr: 0.1, batch_size: 96}]\nscales: {small: {derive: {lr: lr * batch_size / 128}}}"
    (trial,) = expand(load_text(tmp_path, text), {}, "small").trials
    assert trial.config.trial_key == TrainConfig(lr=0.075, batch_size=96).trial_key


@pytest.mark.parametrize(
    ("text", "momenta"),
    [
        ("grid: {nesterov: [true, false]}\nderive: {momentum: 0.9 if nesterov else 0.5}", [0.9, 0.5]),
        ("grid: {flag: [true, false]}\nderive: {nesterov: flag, momentum: 0.9 if nesterov else 0.5}", [0.9, 0.5]),
        ("rows: [{flag: true}, {flag: false}]\nderive: {momentum: 0.5 + 0.4 * flag}", [0.9, 0.5]),
        ("grid: {flag: [true, false]}\nderive: {momentum: 0.9 if not flag else 0.5}", [0.5, 0.9]),
    ],
)
def test_true_is_1_and_false_is_0(tmp_path: Path, text: str, momenta: list[float]) -> None:
    trials = expand_text(tmp_path, text).trials
    assert [trial.config.momentum for trial in trials] == momenta
    assert not any(isinstance(value, bool) for trial in trials for value in trial.variables.values())
