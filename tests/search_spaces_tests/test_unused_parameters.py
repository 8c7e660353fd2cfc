"""A parameter that other fields leave without effect is refused, or noted with the `when` that it needs."""

from pathlib import Path
from typing import Any

import pytest

from search_spaces.unused import causes, make_point
from tests.search_spaces_tests.search_samples import maker_of
from tests.search_spaces_tests.space_samples import expand_text, refusal
from trainable.canonical import UNUSED_VALUES, unused_because
from trainable.config import TrainConfig

HEAD = """\
search: {algorithm: tpe, num_trials: 4}
defaults: {model: resnet_8, dataset: digits, epochs: 4}
parameters:
  lr: {min: 0.01, max: 1.0}
"""
OPTIMIZERS = "optimizer: {values: [adamw, sgd, lars]}"
NESTEROV = "nesterov: {values: [true, false]}"
WARMUP = "warmup_start_factor: {min: 0.0, max: 0.1}"


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_spaces.proposals.NUM_DRAWN", 20)


def space_of(*parameters: str) -> str:
    return HEAD + "".join(f"  {parameter}\n" for parameter in parameters)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        (["optimizer: {values: [adamw, lars]}", NESTEROV], "nesterov: has no effect with optimizer adamw or lars"),
        ([WARMUP], "warmup_start_factor: has no effect without warmup_epochs"),
        (
            ["batch_size: {values: [32, 64]}", "ghost_batch_size: {values: [64, 128]}"],
            "ghost_batch_size: has no effect with batch_size 32 or 64",
        ),
    ],
)
def test_a_parameter_that_never_has_an_effect_is_refused(tmp_path: Path, parameters: list[str], why: str) -> None:
    text = space_of(*parameters)
    line = 4 + len(parameters)
    assert refusal(tmp_path, text) == f"FILE:{line}: parameters.{why}: leave it out"


@pytest.mark.parametrize(
    ("parameters", "note"),
    [
        (
            [OPTIMIZERS, "momentum: {min: 0.8, max: 0.95}"],
            "momentum has no effect with optimizer adamw: give it `when: optimizer != 'adamw'`",
        ),
        (
            [NESTEROV, OPTIMIZERS, "momentum: {values: [0.0, 0.9], when: optimizer != 'adamw'}"],
            "nesterov has no effect with optimizer adamw or lars, nor with momentum 0: move it below optimizer and "
            "momentum and give it `when: optimizer != 'adamw' and optimizer != 'lars' and momentum != 0.0`",
        ),
        (
            [OPTIMIZERS, "nesterov: {values: [true, false], when: optimizer != 'lars' or lr > 9}"],
            "nesterov has no effect with optimizer adamw: give it "
            "`when: (optimizer != 'lars' or lr > 9) and optimizer != 'adamw'`",
        ),
        (
            ["batch_size: {values: [30, 120]}", "ghost_batch_size: {values: [30, 60]}"],
            "ghost_batch_size has no effect with batch_size 30: give it `when: batch_size != 30`",
        ),
        (
            ["warmup_epochs: {min: 0, max: 3}", WARMUP],
            "warmup_start_factor has no effect with warmup_epochs 0: give it `when: warmup_epochs > 0`",
        ),
        (
            ["schedule: {values: [constant, cosine]}", "lr_min_factor: {values: [0.1, 0.01]}"],
            "lr_min_factor has no effect with schedule constant: give it `when: schedule != 'constant'`",
        ),
        (
            ["weight_decay: {values: [0, 1e-4]}", "weight_decay_on: {values: [all, no_bn]}"],
            "weight_decay_on has no effect with weight_decay 0: give it `when: weight_decay != 0`",
        ),
        (
            ["recipe: {rows: [{optimizer: adamw}, {optimizer: muon}]}", NESTEROV],
            "nesterov has no effect with optimizer adamw: give it `when: optimizer != 'adamw'`",
        ),
        (["warmup_epochs: {values: [null, 2]}", WARMUP], "warmup_start_factor has no effect without warmup_epochs"),
    ],
)
def test_what_some_trials_do_not_use_is_noted_with_its_condition(
    tmp_path: Path, parameters: list[str], note: str
) -> None:
    maker = maker_of(tmp_path, space_of(*parameters))
    assert maker.notes == [note]
    _, given, condition = note.partition("give it `")
    if given:  # with the condition, and at its position, nothing is noted
        name = note.partition(" ")[0]
        (own,) = (parameter for parameter in parameters if parameter.startswith(f"{name}:"))
        bare = own.partition(", when")[0].rstrip("}")
        others = [parameter for parameter in parameters if parameter != own]
        better = maker_of(tmp_path, space_of(*others, f"{bare}, {condition.removesuffix('`')}}}"))
        assert better.notes == []


def test_values_of_probability_zero_and_used_parameters_are_not_noted(tmp_path: Path) -> None:
    continuous = ["momentum: {min: 0.0, max: 0.9}", NESTEROV, "weight_decay: {min: 0.0, max: 0.1}"]
    assert maker_of(tmp_path, space_of(*continuous, "weight_decay_on: {values: [all, no_bn]}")).notes == []


def test_what_set_or_a_scale_leaves_without_effect_is_only_noted(tmp_path: Path) -> None:
    note = ["momentum has no effect with optimizer adamw"]
    text = space_of("optimizer: {values: [sgd, adamw]}", "momentum: {min: 0.8, max: 0.95}")
    assert maker_of(tmp_path, text, {"optimizer": "adamw"}).notes == note
    scaled = space_of("momentum: {min: 0.8, max: 0.95}") + "scales: {smoke: {set: {optimizer: adamw}}}\n"
    assert maker_of(tmp_path, scaled).notes == []
    assert maker_of(tmp_path, scaled, scale="smoke").notes == note


def test_trials_left_out_of_a_grid_are_explained(tmp_path: Path) -> None:
    text = """
        defaults: {model: resnet_8, dataset: digits, epochs: 4}
        grid: {optimizer: [sgd, adamw], nesterov: [true, false], momentum: [0.8, 0.9]}
        """
    expansion = expand_text(tmp_path, text)
    assert len(expansion.trials) == 5
    assert expansion.notes == [
        "3 of 8 trials left out: same configuration as another trial "
        "(nesterov has no effect with optimizer adamw; momentum has no effect with optimizer adamw)"
    ]


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("momentum", 0.5, {"optimizer": "adamw"}),
        ("nesterov", True, {"optimizer": "lars"}),
        ("nesterov", True, {"momentum": 0.0}),
        ("milestones", (0.25,), {"schedule": "linear"}),
        ("lr_min_factor", 0.5, {"schedule": "multistep"}),
        ("warmup_start_factor", 0.5, {"warmup_epochs": 0.0}),
        ("weight_decay_on", "no_bn", {"weight_decay": 0.0}),
        ("ghost_batch_size", 64, {"batch_size": 64}),
    ],
)
def test_a_field_without_effect_has_one_value(name: str, value: object, other: dict[str, Any]) -> None:
    config = TrainConfig.from_dict({"model": "resnet_8", name: value, **other})
    assert getattr(config, name) == UNUSED_VALUES[name]
    assert unused_because(name, make_point(config, {name: value, **other})) == next(iter(other))
    assert causes(name, [make_point(config, {name: value, **other})]) == {key: [other[key]] for key in other}
