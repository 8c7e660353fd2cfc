"""Which configurations are the same trial: canonical form, key, round trip."""

import dataclasses
import json
from typing import Any

import pytest

from trainable.config import FIELD_NAMES, LATER_FIELDS, SETTABLE_FIELDS, TrainConfig
from trainable.errors import FieldError

CHANGES: dict[str, Any] = {
    "model": "resnet_20",
    "model_args": {"width": 64},
    "model_fingerprint": "0123456789abcdef",
    "dataset": "cifar10",
    "dataset_fingerprint": "0123456789abcdef",
    "train_subset": 100,
    "test_subset": 50,
    "holdout": 0.1,
    "epochs": 100,
    "batch_size": 64,
    "lr": 0.2,
    "schedule": "constant",
    "milestones": (0.25, 0.5),
    "lr_min_factor": 0.01,
    "warmup_epochs": 5.0,
    "warmup_start_factor": 0.1,
    "optimizer": "lars",
    "momentum": 0.8,
    "nesterov": False,
    "betas": (0.9, 0.99),
    "eps": 1e-6,
    "weight_decay": 0.0,
    "weight_decay_on": "no_bn",
    "clip_grad_norm": 1.0,
    "label_smoothing": 0.1,
    "loss": "my_loss.py:focal",
    "loss_fingerprint": "0123456789abcdef",
    "ghost_batch_size": 32,
    "augmentation": "none",
    "cutout_size": 8,
    "mixup_alpha": 0.2,
    "precision": "fp32",
    "noise_scale": True,
    "seed": 1,
    "recipe_version": 2,
    "parent": "0123456789abcdef",
}

ADAMW = TrainConfig(optimizer="adamw")
WARM = TrainConfig(warmup_epochs=5)
OWN = TrainConfig(model="my_net.py:Net", loss="my_loss.py:loss")
BASES = {"milestones": TrainConfig(schedule="multistep", epochs=160), "betas": ADAMW, "eps": ADAMW}
BASES |= {"warmup_start_factor": WARM}
BASES |= dict.fromkeys(("model_args", "model_fingerprint", "loss", "loss_fingerprint"), OWN)


def multistep(**changes: Any) -> TrainConfig:  # noqa: ANN401 (fields of several types)
    return TrainConfig(**{"schedule": "multistep", "epochs": 160, **changes})


def test_keys_are_pinned() -> None:
    """A change of identity makes every stored result worthless: raise RECIPE_VERSION, or undo it."""
    assert TrainConfig().trial_key == "fd8454ec75c1fac5"


def test_every_field_has_a_change() -> None:
    assert set(CHANGES) == set(FIELD_NAMES)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_changes_the_key(name: str) -> None:
    base = BASES.get(name, TrainConfig())
    assert dataclasses.replace(base, **{name: CHANGES[name]}).trial_key != base.trial_key


def test_identity_fields_are_not_set_by_users() -> None:
    computed = {"dataset_fingerprint", "model_fingerprint", "loss_fingerprint", "recipe_version", "parent"}
    assert set(FIELD_NAMES) - set(SETTABLE_FIELDS) == computed


def test_key_is_16_hex_digits() -> None:
    assert len(TrainConfig().trial_key) == 16
    int(TrainConfig().trial_key, 16)


@pytest.mark.parametrize("milestones", [(80, 120), [80, 120], (0.5, 120), (0.5, 0.75), (80.0, 0.75), None])
def test_milestones_in_epochs_and_in_fractions_are_the_same_trial(milestones: Any) -> None:  # noqa: ANN401
    assert multistep(milestones=milestones) == multistep(milestones=(0.5, 0.75))
    assert multistep(milestones=milestones).trial_key == multistep(milestones=(0.5, 0.75)).trial_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"lr_min_factor": 0.001}),
        ({"schedule": "constant"}, {"schedule": "constant", "lr_min_factor": 0.5, "milestones": (0.1,)}),
        ({}, {"milestones": (0.1, 0.2)}),
        ({"schedule": "multistep"}, {"schedule": "multistep", "lr_min_factor": 0.1}),
        ({"momentum": 0}, {"momentum": 0.0, "nesterov": False}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"epochs": 200.0, "seed": 3.0}, {"epochs": 200, "seed": 3}),
        ({"weight_decay": 0}, {"weight_decay": 0.0, "weight_decay_on": "matrices"}),
        ({}, {"optimizer": "sgd", "weight_decay_on": "all"}),
        (
            {},
            {
                "warmup_epochs": 0,
                "warmup_start_factor": 0.1,
                "label_smoothing": 0,
                "mixup_alpha": 0.0,
                "cutout_size": 0,
            },
        ),
        ({}, {"ghost_batch_size": 128}),
        ({"batch_size": 64}, {"batch_size": 64, "ghost_batch_size": 256}),
        ({"warmup_epochs": 5}, {"warmup_epochs": 5.0, "warmup_start_factor": 0.001}),
        (
            {},
            {"optimizer": None, "weight_decay_on": None, "noise_scale": None},
        ),  # columns that older Parquet files lack
        ({"optimizer": "adamw"}, {"optimizer": "adamw", "betas": [0.9, 0.999], "eps": 1e-8, "momentum": 0.5}),
        ({"optimizer": "lars"}, {"optimizer": "lars", "eps": 1e-9, "nesterov": False}),
        ({"weight_decay": 0.0}, {"weight_decay": -0.0}),
        ({}, {"model_args": {}, "model_fingerprint": "0123456789abcdef"}),
        ({"model": "my_net.py:Net"}, {"model": "../nets/my_net.py:Net", "model_args": None}),
        (
            {"model": "n.py:N", "model_args": {"a": 1, "b": [2, -0.0]}},
            {"model": "n.py:N", "model_args": '{"b":[2,0.0],"a":1}'},
        ),
    ],
)
def test_equal_trainings_have_equal_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert TrainConfig(**one) == TrainConfig(**other)
    assert TrainConfig(**one).trial_key == TrainConfig(**other).trial_key


@pytest.mark.parametrize(("schedule", "factor"), [("cosine", 0.001), ("multistep", None), ("constant", None)])
def test_lr_min_factor_belongs_to_cosine(schedule: str, factor: float | None) -> None:
    assert TrainConfig(schedule=schedule).lr_min_factor == factor


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        multistep(milestones=(50, 100, 150)),
        TrainConfig(train_subset=7, holdout=0.25),
        TrainConfig(parent="0123456789abcdef"),
        TrainConfig(optimizer="muon", betas=(0.8, 0.9)),
        TrainConfig(model="my_net.py:Net", model_args={"widths": [8, 16], "p": 0.5}, model_fingerprint="0" * 16),  # type: ignore[arg-type]
    ],
)
def test_dict_round_trip_through_json(config: TrainConfig) -> None:
    again = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.trial_key == config.trial_key


def test_dict_has_every_field_in_plain_values() -> None:
    changes = {name: CHANGES[name] for name in LATER_FIELDS} | {"optimizer": "adamw", "model": "my_net.py:Net"}
    del changes["label_smoothing"]  # it does not go with a loss
    values = multistep(**changes).to_dict()
    assert tuple(values) == tuple(name for name in FIELD_NAMES if name != "label_smoothing")
    assert values["betas"] == [0.9, 0.99]
    assert values["milestones"] == [0.5, 0.75]


def test_a_later_field_with_its_default_is_not_written() -> None:
    assert set(FIELD_NAMES) - set(multistep().to_dict()) == {*LATER_FIELDS}


@pytest.mark.parametrize("parent", ["", "..", "0123456789abcdeg", "0123456789ABCDEF", "0123456789abcdef0"])
def test_a_parent_is_the_key_of_a_trial(parent: str) -> None:
    with pytest.raises(FieldError, match="parent must be a trial's key of 16 hex digits"):
        TrainConfig(parent=parent)


def test_canonical_milestones_follow_a_change_of_length() -> None:
    assert dataclasses.replace(multistep(milestones=(80, 120)), epochs=200).milestones == (0.5, 0.75)
